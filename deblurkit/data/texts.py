"""Many strings in two arrays: names of files, of which a data set may have millions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import numpy as np


class Texts:
    """Strings by number, held as the bytes of all of them and the place where each ends.

    A string takes its bytes, without what all begin with, and 8 more. As a Python object each would take 50 bytes more,
    and forked workers would copy it as soon as they look at it, because they count references in it.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        texts = list(texts)
        # the common beginning of all is that of the first and the last in order
        self._start = os.path.commonprefix([min(texts), max(texts)]) if texts else ""  # noqa: RUF071  (letters, not folders)
        cut = [text[len(self._start) :].encode("utf-8", "surrogateescape") for text in texts]
        self._bytes = np.frombuffer(b"".join(cut), np.uint8)
        self._ends = np.cumsum([0, *map(len, cut)])

    def __len__(self) -> int:
        """Returns the number of strings."""
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> str:
        """Returns a string; raises IndexError where there is none."""
        index = range(len(self))[index]
        cut = self._bytes[self._ends[index] : self._ends[index + 1]].tobytes()
        return self._start + cut.decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        """Yields all strings in order."""
        return map(self.__getitem__, range(len(self)))

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._bytes.nbytes + self._ends.nbytes
