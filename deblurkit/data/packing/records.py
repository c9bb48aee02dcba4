"""The records of a stored set: a header, and an item for each pair.

The journal collects them while the set is being written; ``index.json`` holds them once it is whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from deblurkit.files import write_atomically

FORMAT = 1
INDEX = "index.json"
SIDES = ("blurred", "sharp")

_IN_WORDS = {"kind": "kind of set", "images": "number of images", "digest": "keys or sizes of the images"}


@dataclass(frozen=True)
class Header:
    """The facts of a stored set; :mod:`deblurkit.data.packing.packed` describes them."""

    format: int
    kind: str
    source: dict[str, str | int]
    notes: list[str]
    crop: int | None
    step: int | None
    images: int
    digest: str

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Reads a header; what another version did not write is ``None``, and so differs from ours."""
        facts: dict[str, Any] = {field.name: found.get(field.name) for field in fields(cls)}
        return cls(**facts)

    def differences(self, wanted: Header) -> list[str]:
        """Returns in words how the settings and the source of this set differ from those of another."""
        differences = []
        for field in fields(self):
            was, now = getattr(self, field.name), getattr(wanted, field.name)
            # Notes are no setting: they follow from the others.
            if was == now or field.name == "notes":
                continue
            words = _IN_WORDS.get(field.name, field.name)
            if field.name == "digest":  # its digits say nothing to anybody
                differences.append(f"other {words}")
            else:
                differences.append(f"{words} was {_shown(was)}, now {_shown(now)}")
        return differences


def _shown(value: object) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


@dataclass
class StoredImage:
    """One image: numpy's name of its type, the hash of its pixels, and in a packed set its place in bytes."""

    dtype: str
    sha256: str
    offset: int | None = None


@dataclass(frozen=True)
class Item:
    """One pair: its key, its size in pixels, and by side its images, which have one size."""

    key: str
    h: int
    w: int
    images: dict[str, StoredImage]

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Reads an item; what is none raises KeyError, TypeError or ValueError."""
        images = {side: StoredImage(**found[side]) for side in SIDES if side in found}
        return cls(found["key"], int(found["h"]), int(found["w"]), images)

    def as_json(self) -> dict[str, Any]:
        """Returns the item as the journal and the index hold it."""
        found: dict[str, Any] = {"key": self.key, "h": self.h, "w": self.w}
        for side, image in self.images.items():
            found[side] = asdict(image)
            if image.offset is None:
                del found[side]["offset"]
        return found


@dataclass(frozen=True)
class Index:
    """The content of ``index.json``."""

    header: Header
    items: list[Item]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads the index of a set; where there is none, raises OSError, or as :meth:`from_json`."""
        return cls.from_json(json.loads((folder / INDEX).read_text(encoding="utf-8")))

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Reads a parsed index; what is none raises ValueError, KeyError, TypeError or AttributeError."""
        return cls(Header.from_json(found), [Item.from_json(item) for item in found["items"]])

    def write(self, folder: Path) -> None:
        """Writes the index of a set."""
        content = {**asdict(self.header), "items": [item.as_json() for item in self.items]}
        write_atomically(folder / INDEX, json.dumps(content), durable=True)
