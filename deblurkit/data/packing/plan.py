"""The plan of a set to be written: which windows of which images, in which order, under which keys."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np

from deblurkit.contracts import Dataset, dataset_traits
from deblurkit.data.dataset import shorten
from deblurkit.data.loader import describe
from deblurkit.data.packing.crops import Window, check_crop, windows
from deblurkit.data.packing.packed import hash_pixels
from deblurkit.data.packing.records import FORMAT, SIDES, Header, Item, StoredImage
from deblurkit.device import usable_cores
from deblurkit.errors import UserError

Encoded = bytes | memoryview
Result = TypeVar("Result")


class Piece(NamedTuple):
    """One pair of the set that is written: its record, and its encoded images by side."""

    item: Item
    data: Mapping[str, Encoded]


class Plan:
    """The pieces to write, in order.

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

    def __init__(self, dataset: Dataset, crop: int | None, step: int | None) -> None:
        traits = dataset_traits(dataset)
        if traits.keys is None or traits.read is None:
            method = "keys" if traits.keys is None else "read"
            raise UserError(f"a {type(dataset).__name__} cannot be stored: it has no method {method}")
        self.dataset, self.read = dataset, traits.read
        self.grid = check_crop(crop, step)
        self.keys: list[str] = traits.keys()
        indices = range(len(self.keys))
        # Taken before anything is read: an image that changes meanwhile is compared when the writing goes on.
        self.stamps: list[list[int]] = [traits.stamp(index) if traits.stamp else [] for index in indices]
        self.sizes: list[tuple[int, int]] = []
        problems: list[str] = []
        for size in in_order(traits.size or self._decoded_size, indices):
            if isinstance(size, UserError):
                problems += size.problems
            else:
                self.sizes.append(size)
        if problems or not self.keys:
            raise UserError(*shorten(problems or ["the source has no images"]))
        self.areas = [windows(size, *self.grid) if self.grid else None for size in self.sizes]
        seen: set[str] = set()
        for index in indices:
            for name in self.names(index):
                if name in seen:
                    problems.append(f"two images would be stored under the key {name!r}")
                seen.add(name)
        if problems:
            raise UserError(*shorten(problems))

    def _decoded_size(self, index: int) -> tuple[int, int]:
        height, width = self.read(index)["blurred"].shape[:2]
        return height, width

    def __len__(self) -> int:
        """Returns the number of images, each of which may give many pieces."""
        return len(self.keys)

    def header(self, kind: str) -> Header:
        """Returns the facts of the set that is written."""
        notes = list(dataset_traits(self.dataset).notes)
        whole = self.areas.count(None)
        if self.grid and whole:
            notes.append(f"{whole} of {len(self)} images are smaller than {self.grid[0]} pixels and were kept whole")
        crop, step = self.grid or (None, None)
        return Header(
            format=FORMAT,
            kind=kind,
            source=json.loads(json.dumps(describe(self.dataset))),  # as it will be read again, to be compared
            notes=notes,
            crop=crop,
            step=step,
            images=len(self),
            digest=hashlib.sha256(json.dumps([self.keys, self.sizes]).encode()).hexdigest(),
        )

    def names(self, index: int) -> list[str]:
        """Returns the keys of an image's pieces: ``KEY_s001`` and on, as BasicSR names them; ``KEY`` of a whole one."""
        key, areas = self.keys[index], self.areas[index]
        return [key] if areas is None else [f"{key}_s{number:03d}" for number in range(1, len(areas) + 1)]

    def pieces(self, index: int, encode: Callable[[np.ndarray], Encoded]) -> list[Piece]:
        """Reads an image pair and cuts it; a UserError where it cannot be read."""
        pair = self.read(index)
        pieces = []
        areas = self.areas[index] or [Window(0, 0, *self.sizes[index])]
        for name, area in zip(self.names(index), areas, strict=True):
            item = Item(name, area.height, area.width, {})
            data = {}
            for side in SIDES:
                if side in pair:
                    cut = pair[side][area.top : area.top + area.height, area.left : area.left + area.width]
                    image = np.ascontiguousarray(cut)
                    item.images[side] = StoredImage(image.dtype.newbyteorder("<").str, hash_pixels(image))
                    data[side] = encode(image)
            pieces.append(Piece(item, data))
        return pieces

    def raw_bytes(self, first: int) -> tuple[int, int]:
        """Returns the raw bytes, and the number, of all images from ``first`` on once they are cut.

        All are taken to have as many bits, and a sharp image or none, as the first; where that cannot be read, (0, 0):
        it will be reported with all the others.
        """
        with contextlib.suppress(UserError):
            pair = self.read(first)
            bytes_per_value = [pair[side].itemsize for side in SIDES if side in pair]
            pixels = pieces = 0
            for index in range(first, len(self)):
                for area in self.areas[index] or [Window(0, 0, *self.sizes[index])]:
                    pixels += area.height * area.width
                    pieces += 1
            return pixels * 3 * sum(bytes_per_value), pieces * len(bytes_per_value)
        return 0, 0


def in_order(
    function: Callable[[int], Result], indices: Iterable[int], workers: int | None = None
) -> Generator[Result | UserError, None, None]:
    """Calls ``function`` in threads and yields what it returns, in order, or the :class:`UserError` that it raises.

    Only few calls are ahead of what has been taken, so that memory is bounded. There are ``workers`` threads, by
    default one for each core, 8 at most.
    """
    workers = workers or min(8, usable_cores())
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[Result | UserError]] = deque()

    def call(index: int) -> Result | UserError:
        try:
            return function(index)
        except UserError as error:
            return error

    try:
        for index in indices:
            waiting.append(pool.submit(call, index))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
