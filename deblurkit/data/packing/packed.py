"""The packed set: pairs as raw pixels in one file, read through a memory map, so that a crop costs its own bytes only.

A folder of two files. ``pixels.bin`` holds the images one after the other, each RGB ``(h, w, 3)``, ``uint8`` or
little-endian ``uint16``, row by row, beginning on a page (4096 bytes). ``index.json`` holds:

* ``format``: 1; ``kind``: ``packed``;
* ``source``, ``notes``: what the packed data set says of itself and of its images;
* ``crop``, ``step``: side of and distance between the windows in pixels, ``null`` where images were kept whole;
* ``images``, ``digest``: how many images were packed, and the SHA-256 of their keys and sizes;
* ``items``: for each ``key``, ``h``, ``w``, and for ``blurred`` and, where known, ``sharp``: ``dtype``, ``offset`` in
  bytes, and ``sha256`` of the pixels.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np

from deblurkit.data.dataset import Pairs, shorten, stamp_of
from deblurkit.data.packing.records import FORMAT, INDEX, SIDES, Header, Index, Item
from deblurkit.data.transforms import Augment, Size
from deblurkit.errors import UserError
from deblurkit.files import sync_file
from deblurkit.registry import DATASETS

_PIXELS = "pixels.bin"
_PAGE = 4096  # bytes; each image begins on a page, so that reading it touches no page of another
_DTYPES = ("|u1", "<u2")


@DATASETS.register_module()
class PackedPairs(Pairs):
    """Pairs, or blurred images without truth, that ``deblurkit prepare-data pack`` wrote.

    ``read`` returns views of the memory map, which cannot be written to: nothing is decoded, and only the pages of the
    crop that is taken are read. The map is opened in each process when it is first needed; the pages are the system's
    cache, shared by all processes that read the set.

    Raises:
        UserError: The folder is no packed set, or a newer version wrote it.
    """

    def __init__(self, path: str, resize: Size | None = None, crop: Size | None = None, augment: Augment = ()) -> None:
        super().__init__(resize, crop, augment)
        self.path = Path(path).expanduser()
        found = _read_index(self.path)
        try:
            self.header, self._items = Header.from_json(found), _table(found["items"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            words = f"damaged: {error!r} in its list of items; pack the set anew"
            raise UserError(f"{self.path / INDEX}: {words}") from None
        self._pixels: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Returns all but the map: another process opens its own."""
        return {**self.__dict__, "_pixels": None}

    def __len__(self) -> int:
        """Returns the number of pairs."""
        return len(self._items)

    def keys(self) -> list[str]:
        """Returns each sample's key, by index."""
        keys: list[str] = self._items["key"].tolist()
        return keys

    def load(self, index: int) -> dict[str, Any]:
        """Returns views of the pair's pixels."""
        item, size = self._items[index], self.size(index)
        pair: dict[str, Any] = {"key": str(item["key"])}
        for side, dtype, offset in zip(SIDES, item["dtype"].tolist(), item["offset"].tolist(), strict=True):
            if dtype:
                pixels = self._map()[offset : offset + _length(size, dtype)]
                pair[side] = pixels.view(dtype).reshape(*size, 3)
        return pair

    def size(self, index: int) -> tuple[int, int]:
        """Returns ``(h, w)`` from the index."""
        height, width = self._items["size"][index].tolist()
        return height, width

    def stamp(self, index: int) -> list[int]:
        """Returns what changes when the set does: its index's size in bytes and time of change in nanoseconds."""
        return stamp_of([self.path / INDEX])

    def place(self, index: int) -> str:
        """Returns the folder and the pair's key."""
        return f"{self.path}: {self._items['key'][index]}"

    def describe(self) -> dict[str, str | int]:
        """Returns what the packed data set said of itself, and how it was packed."""
        return {**super().describe(), **stored_facts(self.header)}

    def verify(self) -> None:
        """Compares the index with the length of the file of pixels, and the sizes with the crop.

        Raises:
            UserError: The file is shorter than the index says, or images are smaller than the crop.
        """
        self._map()
        self.notes = list(self.header.notes)
        super().verify()

    def cache(self, count: int | None = None) -> None:
        """Does nothing: what has been read once lies in the system's cache already, for all processes at once."""

    def _map(self) -> np.ndarray:
        if self._pixels is None:
            file = self.path / _PIXELS
            needed = int(self._items["end"].max())
            found = file.stat().st_size if file.is_file() else 0
            if found < needed:  # else reading behind the end would kill the process
                raise UserError(f"{file}: {found} bytes; its index needs {needed}: damaged or not copied whole")
            self._pixels = np.asarray(np.memmap(file, np.uint8, "r"))
        return self._pixels


def _read_index(folder: Path) -> dict[str, Any]:
    """Returns the index of a packed set as it stands in its file; refuses other kinds and newer versions."""
    file = folder / INDEX
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        partial = folder.with_name(f"{folder.name}.partial")
        begun = f"; {partial} was begun: run the same command again to go on" if partial.is_dir() else ""
        advice = "deblurkit prepare-data makes one"
        raise UserError(f"{folder}: no packed set is here (there is no {INDEX}); {advice}{begun}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: it cannot be read: {error}") from None
    if not isinstance(found, dict) or found.get("kind") != "packed" or not isinstance(found.get("format"), int):
        raise UserError(f"{file}: this is not the index of a packed set")
    if found["format"] > FORMAT:
        raise UserError(f"{file}: format {found['format']}; this version reads up to {FORMAT}: update deblurkit")
    lacking = [key for key in ("source", "notes", "crop", "step", "items") if key not in found]
    if lacking:
        raise UserError(f"{file}: damaged: it lacks {', '.join(lacking)}; write the set anew")
    return found


def verify_hashes(path: Path, progress: Callable[[str, int, int], None]) -> int:
    """Reads a packed set whole, compares every image with the hash taken when it was packed, and counts the pairs.

    ``progress`` is called with a name, the number of pairs done and the number of all.

    Raises:
        UserError: The images that differ.
    """
    packed = PackedPairs(str(path))
    damaged = []
    for index, item in enumerate(Index.read(packed.path).items):
        pair = packed.load(index)
        for side, stored in item.images.items():
            if hash_pixels(pair[side]) != stored.sha256:
                damaged.append(f"{packed.place(index)}: its {side} pixels are not those that were packed")
        progress("verify", index + 1, len(packed))
    if damaged:
        raise UserError(*shorten(damaged))
    return len(packed)


def hash_pixels(image: np.ndarray) -> str:
    """Returns the SHA-256 of an image's pixels, row by row; the same for ``uint16`` on every machine."""
    return hashlib.sha256(_raw(image)).hexdigest()


def stored_facts(header: Header) -> dict[str, str | int]:
    """Returns what a stored set says of itself: all that its source said, and ``stored``: how, also when repeatedly.

    Pairs are stored untouched: what the source would have made of them is left out.
    """
    facts = {key: value for key, value in header.source.items() if key not in ("resize", "crop")}
    cut = "whole images" if header.crop is None else f"crops of {header.crop} step {header.step}"
    before = f"{facts['stored']}, then " if "stored" in facts else ""
    return {**facts, "stored": f"{before}{header.kind}, {cut}"}


class PackedStore:
    """The file of pixels while it is being written (see :func:`deblurkit.data.packing.writer.write_set`).

    What lies behind the given items is cut off; a UserError where the file is shorter.
    """

    kind: ClassVar[str] = "packed"

    def __init__(self, folder: Path, items: list[Item]) -> None:
        path = folder / _PIXELS
        end = _end(items[-1]) if items else 0
        self._file: BinaryIO = open(path, "ab")  # noqa: SIM115  (closed by close)
        if self._file.tell() < end:
            self._file.close()
            raise UserError(f"{path}: shorter than its journal says: damaged; remove {folder} and start again")
        self._file.truncate(end)
        self._file.seek(end)

    @staticmethod
    def least_bytes(raw: int, images: int) -> int:
        """Returns how many bytes so many images of so many raw bytes take."""
        return raw + images * _PAGE

    @staticmethod
    def encode(image: np.ndarray) -> memoryview:
        """Returns the bytes to store."""
        return _raw(image)

    def add(self, item: Item, data: Mapping[str, bytes | memoryview]) -> None:
        """Writes one item's images and records their offsets in it."""
        for side, pixels in data.items():
            self._file.write(bytes(-self._file.tell() % _PAGE))
            item.images[side].offset = self._file.tell()
            self._file.write(pixels)

    def commit(self) -> None:
        """Makes what was added survive a crash of the machine."""
        self._file.flush()
        sync_file(self._file.fileno(), Path(self._file.name).parent)

    def finish(self, header: Header, items: list[Item]) -> None:
        """Does nothing: the index, which every kind of set has, is all that a packed set needs."""

    def close(self) -> None:
        """Closes the file."""
        with contextlib.suppress(OSError):  # of a full disk, which the last commit has met already
            self._file.close()

    @staticmethod
    def component(out: Path) -> dict[str, str]:
        """Returns what an option file writes to read the set."""
        return {"type": "PackedPairs", "path": str(out)}


def _raw(image: np.ndarray) -> memoryview:
    little = np.ascontiguousarray(image, dtype=image.dtype.newbyteorder("<"))
    return little.reshape(-1).view(np.uint8).data


def _table(items: list[dict[str, Any]]) -> np.ndarray:
    """Returns what reading needs of parsed items, all but the hashes: a row for each; no image has the ``dtype`` "".

    An array, as lists of objects would be copied into every worker: it counts references to each that it looks at.

    Raises:
        ValueError: An item is damaged, or there is none.
    """
    if not items:
        raise ValueError("nothing")
    longest = max(len(item["key"]) for item in items)
    sides = (len(SIDES),)
    columns = [("key", str, longest), ("size", np.int64, (2,)), ("dtype", "U3", sides), ("offset", np.int64, sides)]
    table = np.zeros(len(items), [*columns, ("end", np.int64)])
    for row, item in zip(table, map(Item.from_json, items), strict=True):  # one at a time: all take as much as the text
        if "blurred" not in item.images:
            raise ValueError(f"{item.key}: no blurred image")
        row["key"], row["size"], row["end"] = item.key, (item.h, item.w), _end(item)
        for column, side in enumerate(SIDES):
            if side in item.images:
                stored = item.images[side]
                if stored.dtype not in _DTYPES or stored.offset is None or stored.offset < 0:
                    raise ValueError(f"{item.key}: {stored}")
                row["dtype"][column], row["offset"][column] = stored.dtype, stored.offset
    return table


def _length(size: tuple[int, int], dtype: str) -> int:
    return size[0] * size[1] * 3 * np.dtype(dtype).itemsize


def _end(item: Item) -> int:
    """Returns where the last of an item's images ends, in bytes."""
    return max((image.offset or 0) + _length((item.h, item.w), image.dtype) for image in item.images.values())
