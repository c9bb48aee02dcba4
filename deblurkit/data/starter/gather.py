"""Gathers the photographs from their packages: the same pixels on every machine whose decoders agree."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from deblurkit.data.checking.duplicates import digest
from deblurkit.data.images import ImageReadError, decode_image, read_image, write_image
from deblurkit.data.starter.archives import find_archives, pictures, read_files
from deblurkit.data.starter.table import PHOTOGRAPHS_FILE, Package, StarterPhotograph
from deblurkit.files import saying, write_atomically


@dataclass
class Gathered:
    """The outcome of a gathering, in numbers and names.

    Attributes:
        there: Photographs that had been made before.
        made: Photographs that were made now.
        other: Names of those, made now, whose pixels are not the table's: another decoder or another Pillow.
        lacking: By the package's name, those that no archive holds as the table knows them, each with the reason.
    """

    there: int = 0
    made: int = 0
    other: list[str] = field(default_factory=list)
    lacking: dict[str, list[str]] = field(default_factory=dict)


def gather(
    photographs: Sequence[StarterPhotograph],
    packages: Sequence[Package],
    archives: Path,
    out: Path,
    show: Callable[[str, int, int], None],
) -> Gathered:
    """Makes ``out/train/NAME.png`` and ``out/val/NAME.png``, and a copy of the table beside them.

    A file that is there with the table's pixels is kept, so that a gathering that was stopped goes on.

    Args:
        photographs: Of the table.
        packages: Which carry them.
        archives: The folder with the packages' archives; nothing is downloaded.
        out: The folder to write; made where it lacks.
        show: Called with a name, the number of photographs done and that of all.

    Raises:
        UserError: An archive is damaged, or a file cannot be written.
    """
    gathered = Gathered()
    with saying(f"{out}: it cannot be written"):
        for split in ("train", "val"):
            (out / split).mkdir(parents=True, exist_ok=True)
        write_atomically(out / PHOTOGRAPHS_FILE.name, PHOTOGRAPHS_FILE.read_bytes())
    to_make: dict[str, dict[str, StarterPhotograph]] = defaultdict(dict)
    for photograph in photographs:
        if _is_there(_path(photograph, out), photograph):
            gathered.there += 1
        else:
            to_make[photograph.package][photograph.sha256] = photograph
    for package in packages:
        wanted = to_make[package.name]
        found = find_archives(package, archives)
        seen: set[str] = set()
        for archive in found:
            for name, content in read_files(archive, {photograph.file for photograph in wanted.values()}):
                seen.add(name)
                for picture in pictures(name, content):
                    known = wanted.pop(hashlib.sha256(picture).hexdigest(), None)
                    if known is not None:
                        _make(known, picture, out, gathered)
                        show("photographs", gathered.there + gathered.made, len(photographs))
        if wanted:
            gathered.lacking[package.name] = [_why(photograph, found, seen) for photograph in wanted.values()]
    return gathered


def _path(photograph: StarterPhotograph, out: Path) -> Path:
    return out / photograph.split / f"{photograph.name}.png"


def _is_there(path: Path, photograph: StarterPhotograph) -> bool:
    try:
        return path.exists() and digest(read_image(path)) == photograph.pixels
    except ImageReadError:  # it is made again
        return False


def _make(photograph: StarterPhotograph, picture: bytes, out: Path, gathered: Gathered) -> None:
    image = Image.fromarray(decode_image(picture, photograph.name))
    size = (photograph.width, photograph.height)
    if image.size != size:
        # Pillow's Lanczos filter grows with the reduction, so that nothing aliases, and computes in integers.
        image = image.resize(size, Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    write_image(_path(photograph, out), pixels)
    gathered.made += 1
    if digest(pixels) != photograph.pixels:
        gathered.other.append(photograph.name)


def _why(photograph: StarterPhotograph, found: Sequence[Path], seen: set[str]) -> str:
    if not found:
        return f"{photograph.name} (no archive)"
    kind = "changed" if photograph.file in seen else "missing"
    return f"{photograph.name} ({photograph.member or photograph.file}: {kind})"
