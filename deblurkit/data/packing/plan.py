"""What is to be written of a data set: which windows of which images, in which order, under which keys."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from deblurkit.data.dataset import shorten
from deblurkit.data.loader import describe
from deblurkit.data.packing.crops import Window, check_crop, windows
from deblurkit.data.packing.packed import FORMAT, SIDES, hash_pixels
from deblurkit.device import usable_cores
from deblurkit.errors import UserError


class Piece(NamedTuple):
    """One pair of the set that is written."""

    entry: dict[str, Any]
    """Its ``key``, ``h`` and ``w`` in pixels, and for each side ``dtype`` and ``sha256`` of the pixels."""
    data: dict[str, Any]
    """Its encoded images by side."""


class Plan:
    """What is to be written.

    Args:
        dataset: Any set with ``keys()`` and ``read(index)``; ``size(index)``, ``stamp(index)``, ``describe()`` and
            ``notes`` are used where it has them.
        crop: Side of square windows in pixels, or ``None`` for whole images.
        step: Pixels from one window to the next; by default half a window.

    Attributes:
        stamps: For each image numbers that change when its files do, ``[]`` where the data set has no ``stamp``.

    Raises:
        UserError: The source cannot be stored, the crop makes no grid, or sizes cannot be read.
    """

    def __init__(self, dataset: Any, crop: int | None, step: int | None) -> None:
        for method in ("keys", "read"):
            if not hasattr(dataset, method):
                raise UserError(f"a {type(dataset).__name__} cannot be stored: it has no method {method}")
        self.dataset = dataset
        self.grid = check_crop(crop, step)
        self.keys: list[str] = dataset.keys()
        stamp: Callable[[int], list[int]] = getattr(dataset, "stamp", lambda index: [])
        self.stamps = [stamp(index) for index in range(len(self))]  # taken before anything is read
        self.sizes = self._read_sizes()
        self.areas = [windows(size, *self.grid) if self.grid else None for size in self.sizes]
        self._check_names()

    def __len__(self) -> int:
        """Returns the number of images, each of which may give many pieces."""
        return len(self.keys)

    def header(self, kind: str) -> dict[str, Any]:
        """Returns the facts of the set that is written, as its index holds them."""
        notes = list(getattr(self.dataset, "notes", []))
        whole = self.areas.count(None)
        if self.grid and whole:
            notes.append(f"{whole} of {len(self)} images are smaller than {self.grid[0]} pixels and were kept whole")
        crop, step = self.grid or (None, None)
        return {
            "format": FORMAT,
            "kind": kind,
            "source": describe(self.dataset),
            "notes": notes,
            "crop": crop,
            "step": step,
            "images": len(self),
            "digest": hashlib.sha256(json.dumps([self.keys, self.sizes]).encode()).hexdigest(),
        }

    def names(self, index: int) -> list[str]:
        """Returns the keys of an image's pieces: ``KEY_s001`` and on, as BasicSR names them; ``KEY`` of a whole one."""
        key, areas = self.keys[index], self.areas[index]
        return [key] if areas is None else [f"{key}_s{number:03d}" for number in range(1, len(areas) + 1)]

    def pieces(self, index: int, encode: Callable[[np.ndarray], Any]) -> list[Piece]:
        """Reads an image pair and cut it.

        Raises:
            UserError: It cannot be read.
        """
        pair = self.dataset.read(index)
        sides = {side: pair[side] for side in SIDES if side in pair}
        areas = self.areas[index] or [Window(0, 0, *self.sizes[index])]
        return [_piece(name, area, sides, encode) for name, area in zip(self.names(index), areas, strict=True)]

    def raw_bytes(self, first: int) -> tuple[int, int]:
        """Returns the raw bytes, and the number, of all images from ``first`` on once they are cut.

        All are taken to have as many bits, and a sharp image or none, as the first; where that cannot be read, (0, 0):
        it will be reported with all the others.
        """
        with contextlib.suppress(UserError):
            pair = self.dataset.read(first)
            kinds = [pair[side].itemsize for side in SIDES if side in pair]
            areas = [self.areas[index] or [Window(0, 0, *self.sizes[index])] for index in range(first, len(self))]
            pixels = sum(area.height * area.width for found in areas for area in found)
            return pixels * 3 * sum(kinds), len(kinds) * sum(map(len, areas))
        return 0, 0

    def _read_sizes(self) -> list[tuple[int, int]]:
        found = list(in_order(self._size, range(len(self))))
        problems = [line for size in found if isinstance(size, UserError) for line in size.problems]
        if problems or not found:
            raise UserError(*shorten(problems or ["the source has no images"]))
        return found

    def _size(self, index: int) -> tuple[int, int]:
        if hasattr(self.dataset, "size"):
            size: tuple[int, int] = self.dataset.size(index)
            return size
        height, width = self.dataset.read(index)["blurred"].shape[:2]
        return height, width

    def _check_names(self) -> None:
        seen: set[str] = set()
        twice = []
        for index in range(len(self)):
            twice += [name for name in self.names(index) if name in seen]
            seen.update(self.names(index))
        if twice:
            raise UserError(*shorten(f"two images would be stored under the key {name!r}" for name in twice))


def in_order(
    function: Callable[[int], Any], indices: Iterable[int], workers: int | None = None
) -> Generator[Any, None, None]:
    """Calls ``function`` in threads and yield what it returns, in order, or the :class:`UserError` that it raises.

    Only few calls are ahead of what has been taken, so that memory is bounded.

    Args:
        function: What to call with each index.
        indices: The indices.
        workers: Threads; by default one for each core, 8 at most.
    """
    workers = workers or min(8, usable_cores())
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[Any]] = deque()
    try:
        for index in indices:
            waiting.append(pool.submit(_or_error, function, index))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _or_error(function: Callable[[int], Any], index: int) -> Any:
    try:
        return function(index)
    except UserError as error:
        return error


def _piece(key: str, area: Window, sides: dict[str, np.ndarray], encode: Callable[[np.ndarray], Any]) -> Piece:
    rows, columns = slice(area.top, area.top + area.height), slice(area.left, area.left + area.width)
    cut = {side: np.ascontiguousarray(image[rows, columns]) for side, image in sides.items()}
    stored = {
        side: {"dtype": image.dtype.newbyteorder("<").str, "sha256": hash_pixels(image)} for side, image in cut.items()
    }
    entry = {"key": key, "h": area.height, "w": area.width, **stored}
    return Piece(entry, {side: encode(image) for side, image in cut.items()})
