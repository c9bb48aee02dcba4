"""Decoded images kept in one block of memory, which all workers share."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from collections.abc import Iterable
from typing import IO, Any, NamedTuple

import numpy as np

from deblurkit.device import free_memory
from deblurkit.errors import UserError

_GIB = 1 << 30


class DecodedPairs:
    """Pairs of images in a file without a name: forked workers inherit it, spawned ones are handed it, none copies it.

    On Linux the file lies in memory alone; elsewhere it is a temporary one, and the system decides what stays in
    memory. It is gone with the last process that has it, however that ends.

    Args:
        pairs: Each ``key`` and images by name, as :meth:`~deblurkit.data.dataset.Pairs.read` gives them.
    """

    def __init__(self, pairs: Iterable[dict[str, Any]]) -> None:
        try:
            self._file: IO[bytes] = os.fdopen(os.memfd_create("decoded images"), "w+b")
        except AttributeError:  # outside Linux, and in some builds of Python there
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 (held as long as the images are)
        self._index: list[dict[str, Any]] = []
        place = 0
        for pair in pairs:
            found = dict(pair)
            for name, image in pair.items():
                if isinstance(image, np.ndarray):
                    self._file.write(np.ascontiguousarray(image).data)
                    found[name] = _Place(place, image.shape, image.dtype.str)
                    place += image.nbytes
            self._index.append(found)
        self._file.flush()
        self._map()

    def _map(self) -> None:
        self._memory = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        """Returns the number of pairs."""
        return len(self._index)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Returns a pair; its images are views of the block, which cannot be written to."""
        pair = dict(self._index[index])
        for name, value in pair.items():
            if isinstance(value, _Place):
                image = np.frombuffer(self._memory, value.dtype, math.prod(value.shape), value.offset)
                pair[name] = image.reshape(value.shape)
        return pair

    def __reduce__(self) -> tuple[Any, ...]:
        """Hands over the file, not what it holds."""
        from multiprocessing.reduction import DupFd  # there is none on Windows

        return _reopened, (DupFd(self._file.fileno()), self._index)


class _Place(NamedTuple):
    """Where an image lies in the block: offset in bytes, shape and type."""

    offset: int
    shape: tuple[int, ...]
    dtype: str


def _reopened(descriptor: Any, index: list[dict[str, Any]]) -> DecodedPairs:
    pairs = DecodedPairs.__new__(DecodedPairs)  # __init__ would write the images once more
    pairs._file = os.fdopen(descriptor.detach(), "rb")
    pairs._index = index
    pairs._map()
    return pairs


def refuse_too_large(needed: int, count: int) -> None:
    """Refuses to keep ``count`` pairs, ``needed`` bytes together, in more than this process's share of free memory."""
    free = free_memory()
    sharers = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # set by torchrun
    if free is not None and needed > free // sharers:
        among = f" for {sharers} processes, each with a cache of its own" if sharers > 1 else ""
        raise UserError(
            f"cache: {count} pairs take {needed / _GIB:.1f} GiB, of memory {free / _GIB:.1f} GiB is free{among}; "
            "leave cache out, or pack the set (deblurkit prepare-data): a packed set is not held in memory"
        )
