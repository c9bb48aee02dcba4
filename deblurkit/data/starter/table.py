"""The table of the photographs, each with its package, author, licence and hash, and that of the packages."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

HERE = Path(__file__).parent
PHOTOGRAPHS_FILE = HERE / "photographs.csv"


@dataclass(frozen=True)
class StarterPhotograph:
    """One photograph, which belongs to one split as a whole, together with all others of its series."""

    name: str  # of the PNG file that is made of it, without ending
    split: Literal["train", "val"]
    package: str
    file: str  # in the package
    member: str  # within the file, where that is a Qt resource file; else ""
    author: str  # as the package states it
    licence: str  # as the package states it, by SPDX's name where it has one
    source: str  # where the package says that it comes from; "" where it does not
    sha256: str  # of the image file as the package has it
    width: int  # of the PNG file, in pixels: reduced until it is sharp at the level of pixels
    height: int
    series: str  # photographs of one place or one occasion, which stay in one split
    pixels: str  # digest of the PNG file's pixels, by deblurkit.data.checking.duplicates.digest


@dataclass(frozen=True)
class Package:
    """A package that carries photographs."""

    name: str
    kind: Literal["deb", "wheel"]
    version: str  # the one that the table was made from; another serves where its files are the same
    bytes: int  # of its archive in that version
    statement: str  # where it states authors and licences


def read_photographs() -> tuple[StarterPhotograph, ...]:
    """Returns the photographs in the order of their names."""
    return TypeAdapter(tuple[StarterPhotograph, ...]).validate_python(_rows(PHOTOGRAPHS_FILE))


def read_packages() -> tuple[Package, ...]:
    """Returns the packages in the order of their names."""
    return TypeAdapter(tuple[Package, ...]).validate_python(_rows(HERE / "packages.csv"))


def _rows(file: Path) -> list[dict[str, str]]:
    with open(file, encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))
