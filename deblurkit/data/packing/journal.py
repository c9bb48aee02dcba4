"""The journal of an unfinished set: a line for the header, then one for each source image that reached the disk."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from deblurkit.data.packing.records import Header, Item
from deblurkit.errors import UserError
from deblurkit.files import JsonLines

JOURNAL = "journal.jsonl"


class Image(NamedTuple):
    """One image of the source: its stamp when it was stored, and the items of the pieces that it gave, in order."""

    stamp: list[int]
    items: list[Item]


class Journal:
    """Append-only journal of a set that is being written: the images stored so far, in order.

    Args:
        overwrite: Start anew where it was begun as something else than the header says.

    Raises:
        UserError: It was begun as something else, or the folder is no unfinished set.
    """

    def __init__(self, folder: Path, header: Header, overwrite: bool) -> None:
        self.file = folder / JOURNAL
        self.header = header
        self.images: list[Image] = []
        if not self.file.exists() and any(folder.iterdir()):
            raise UserError(f"{folder}: in the way, and not the unfinished set that belongs there: move it elsewhere")
        with contextlib.closing(JsonLines(self.file)) as opened:
            lines = opened.read()
        if not lines:
            self.start(header)
            return
        begun = Header.from_json(lines[0])
        differs = begun.differences(header)
        if differs and not overwrite:
            words = f"{folder}: was begun with other settings or from another source"
            raise UserError(f"{words}: {'; '.join(differs)}; --overwrite starts anew")
        if differs:
            self.start(header)
            return
        self.header = begun
        for stamp, items in lines[1:]:
            self.images.append(Image(stamp, [Item.from_json(item) for item in items]))

    @property
    def items(self) -> list[Item]:
        """Every stored piece, in order."""
        return [item for image in self.images for item in image.items]

    def start(self, header: Header) -> None:
        """Forgets everything, removes what is stored, and begins with this header."""
        self.header, self.images = header, []
        folder = self.file.parent
        with contextlib.closing(JsonLines(self.file)) as opened:
            opened.clear()
            opened.sync()
            # Between the two: after a crash here the empty journal says that the rest is to be removed.
            for path in folder.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
                elif path != self.file:
                    path.unlink()
            opened.append([asdict(header)])
            opened.sync()

    def record(self, images: Sequence[Image]) -> None:
        """Adds images whose pixels have reached the disk."""
        with contextlib.closing(JsonLines(self.file)) as opened:
            for stamp, items in images:
                opened.append([[stamp, [item.as_json() for item in items]]])
            opened.sync()
        self.images += images
