"""The journal of an unfinished set: a line for the settings, then one for each source image that reached the disk."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from deblurkit.errors import UserError
from deblurkit.files import JsonLines

Entry = dict[str, Any]


class Image(NamedTuple):
    """What is recorded of one image of the source."""

    stamp: list[int]
    """What its files were known by when it was stored (:attr:`deblurkit.data.packing.plan.Plan.stamps`)."""
    pieces: list[Entry]
    """The entries of the pieces that it gave, in order."""


JOURNAL = "journal.jsonl"
_COMPARED = {
    "format": "format",
    "kind": "kind of set",
    "source": "source",
    "crop": "crop",
    "step": "step",
    "images": "number of images",
    "digest": "keys or sizes of the images",
}


class Journal:
    """What of a set has reached the disk. A line that a crash cut short is taken for not written.

    Args:
        folder: The unfinished set.
        header: What it is to become (:meth:`deblurkit.data.packing.plan.Plan.header`).
        overwrite: Start anew where it was begun as something else.

    Attributes:
        header: What it was begun as.
        images: What is stored, in order.

    Raises:
        UserError: It was begun as something else, or the folder is no unfinished set.
    """

    def __init__(self, folder: Path, header: Entry, overwrite: bool) -> None:
        self.file = folder / JOURNAL
        self.header = header
        self.images: list[Image] = []
        if not self.file.exists() and any(folder.iterdir()):
            raise UserError(f"{folder}: in the way, and not the unfinished set that belongs there: move it elsewhere")
        with contextlib.closing(JsonLines(self.file)) as opened:
            lines = opened.read()
        differs = differences(lines[0], header) if lines else []
        if differs and not overwrite:
            begun = f"{folder}: was begun with other settings or from another source"
            raise UserError(f"{begun}: {'; '.join(differs)}; --overwrite starts anew")
        if lines and not differs:
            self.header, self.images = lines[0], [Image(*line) for line in lines[1:]]
        else:
            self.start(header)

    @property
    def entries(self) -> list[Entry]:
        """Every piece's entry, in order."""
        return [entry for image in self.images for entry in image.pieces]

    def start(self, header: Entry) -> None:
        """Forgets everything and begin with this header."""
        self.header, self.images = header, []
        with contextlib.closing(JsonLines(self.file)) as opened:
            opened.clear()
            opened.sync()
            _clear(self.file.parent)  # between the two: an empty journal is taken for a set to be cleared
            opened.append([header])
            opened.sync()

    def record(self, images: list[Image]) -> None:
        """Adds images whose pixels have reached the disk."""
        with contextlib.closing(JsonLines(self.file)) as opened:
            opened.append(images)
            opened.sync()
        self.images += images


def differences(begun: Entry, wanted: Entry) -> list[str]:
    """Returns in words how the settings and the source of two sets differ."""
    found = []
    for key, name in _COMPARED.items():
        was, now = begun.get(key), wanted.get(key)
        if was != now:
            found.append(f"other {name}" if key == "digest" else f"{name} was {_shown(was)}, now {_shown(now)}")
    return found


def _shown(value: Any) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def _clear(folder: Path) -> None:
    """Removes everything but the journal."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != JOURNAL:
            path.unlink()
