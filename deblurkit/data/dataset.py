"""The base of data sets of image files: reading, paired transforms, checking before training, and caching.

A data set need not inherit from it: :mod:`deblurkit.contracts` says what one must be and may have.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, overload

import numpy as np

from deblurkit.contracts import transform_traits
from deblurkit.data.cache import DecodedPairs, refuse_too_large
from deblurkit.data.checking.response import measure_set
from deblurkit.data.images import ImageReadError, image_size, read_image, to_tensor
from deblurkit.data.transforms import Augment, Pair, RandomCrop, Resize, Size
from deblurkit.device import usable_cores
from deblurkit.errors import UserError
from deblurkit.registry import TRANSFORMS, Nested

_SHOWN = 10  # problems of one kind
_THREADS = min(8, usable_cores())
_AT_ONCE = 256  # pairs that one call looks at


@dataclass(frozen=True)
class PairFiles:
    """The files of one sample; ``sharp`` is ``None`` where no truth is known."""

    key: str
    blurred: Path
    sharp: Path | None


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


class FileTable(Sequence[PairFiles]):
    """The files of many samples, which become objects when they are asked for; a slice is a list of such."""

    def __init__(self, files: Iterable[PairFiles]) -> None:
        files = list(files)
        self._keys = Texts(pair.key for pair in files)
        self._blurred = Texts(str(pair.blurred) for pair in files)
        self._sharp = Texts("" if pair.sharp is None else str(pair.sharp) for pair in files)  # no path is empty

    def __len__(self) -> int:
        """Returns the number of samples."""
        return len(self._keys)

    @overload
    def __getitem__(self, index: int) -> PairFiles: ...

    @overload
    def __getitem__(self, index: slice) -> list[PairFiles]: ...

    def __getitem__(self, index: int | slice) -> PairFiles | list[PairFiles]:
        """Returns the files of a sample, or of several."""
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        sharp = self._sharp[index]
        return PairFiles(self._keys[index], Path(self._blurred[index]), Path(sharp) if sharp else None)

    def keys(self) -> list[str]:
        """Returns each sample's key, by index."""
        return list(self._keys)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._keys.nbytes + self._blurred.nbytes + self._sharp.nbytes


class Pairs(ABC):
    """Pairs of images, resized, cropped and augmented in this order; subclasses say where they come from.

    Args:
        resize: Side of a square or ``[h, w]`` in pixels; bicubic, before the crop.
        crop: Size of the random crop, given as ``resize``.
        augment: Names of registered transforms, ``{type: NAME, ...}`` where one has arguments.

    Attributes:
        notes: What a log and a report must say of the data, found by :meth:`verify`.
        used: How many of the first pairs are used, all by default; transforms that need a second pair take it from
            these.
        measured: In what the blur was averaged, as :meth:`verify` finds from some of the pairs: ``linear`` (stored
            values), ``gamma`` (light) or ``unclear``; ``None`` before, and where there is no truth.
    """

    nested: ClassVar[dict[str, Nested]] = {"augment": Nested(TRANSFORMS)}
    makes_blur: ClassVar[bool] = False
    """Whether the set makes its blur itself, and so need not measure what it is."""

    def __init__(self, resize: Size | None = None, crop: Size | None = None, augment: Augment = ()) -> None:
        if isinstance(augment, str):
            raise ValueError(f"augment: got {augment!r}, expected a list such as [{augment}]")
        self.notes: list[str] = []
        self.resize = Resize(resize) if resize is not None else None
        self.crop = RandomCrop(crop) if crop is not None else None
        self.augment: list[Callable[..., Pair]] = []
        for i, entry in enumerate(augment):
            component = {"type": entry} if isinstance(entry, str) else entry
            self.augment.append(TRANSFORMS.build(component, where=f"augment[{i}]"))
        self.used: int | None = None
        self.measured: str | None = None
        self._decoded: DecodedPairs | None = None

    def __len__(self) -> int:
        """Returns the number of pairs."""
        return len(self.keys())

    @abstractmethod
    def keys(self) -> list[str]:
        """Returns each sample's key, by index."""

    @abstractmethod
    def load(self, index: int) -> dict[str, Any]:
        """Returns the untouched pair from where it is stored; see :meth:`read`."""

    @abstractmethod
    def size(self, index: int) -> tuple[int, int]:
        """Returns ``(h, w)`` of a stored pair without decoding it.

        Raises:
            UserError: It cannot be read, or the two images differ in size.
        """

    def read(self, index: int) -> dict[str, Any]:
        """Returns the untouched pair: ``blurred`` and ``sharp`` as RGB ``uint8``/``uint16`` ``(h, w, 3)``, and ``key``.

        Raises:
            UserError: A file cannot be read, or the two differ in size.
        """
        kept = self._decoded
        return kept[index] if kept is not None and index < len(kept) else self.load(index)

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """Returns ``blurred`` and, where known, ``sharp``: float32 ``(3, h, w)`` in [0, 1]; and ``key``.

        The transforms draw from ``rng``: equal generators give equal samples.

        Raises:
            UserError: A file cannot be read, the two differ in size, or are smaller than the crop.
        """
        steps = [step for step in (self.resize, self.crop, *self.augment) if step is not None]
        key, images = self.transformed(index, steps, rng)
        sample: dict[str, Any] = {name: to_tensor(image) for name, image in images.items()}
        return {**sample, "key": key}

    def transformed(self, index: int, steps: Sequence[Any], rng: np.random.Generator) -> tuple[str, Pair]:
        """Returns a pair's key, and its images after the given transforms; errors of those name the pair."""
        images = dict(self.read(index))
        key: str = images.pop("key")
        for done, step in enumerate(steps):
            # A partner goes through the steps before this one, so that the two are of one kind.
            more = [partial(self._partner, index, steps[:done], rng)] if transform_traits(step).needs_partner else []
            try:
                images = step(images, rng, *more)
            except UserError as error:
                raise UserError(*(f"{key}: {problem}" for problem in error.problems)) from error
        return key, images

    def _partner(self, index: int, steps: Sequence[Any], rng: np.random.Generator) -> Pair:
        """Draws another pair, each as likely, and takes it through the same steps."""
        count = len(self) if self.used is None else self.used
        if count < 2:
            raise UserError("there is no second pair in the set")
        other = int(rng.integers(count - 1))  # of all but this one, which those behind it move up for
        return self.transformed(other + (other >= index), steps, rng)[1]

    def describe(self) -> dict[str, str | int]:
        """Returns what every report says of the data: the set's name, its variant and part where it has such.

        That images are resized or cropped is among it: scores of the whole images would be others.
        """
        facts: dict[str, str | int] = {"set": type(self).__name__}
        if self.measured is not None:
            facts["measured"] = self.measured
        for name, step in (("resize", self.resize), ("crop", self.crop)):
            if step is not None:
                facts[name] = f"{step.size[0]} x {step.size[1]} pixels (h x w)"
        return facts

    def sample_size(self, index: int) -> tuple[int, int]:
        """Returns ``(h, w)`` of a sample after ``resize`` and ``crop``; what ``augment`` does is not known here."""
        if self.crop is not None:
            return self.crop.size
        return self.resize.size if self.resize is not None else self.size(index)

    def verify(self) -> None:
        """Looks at every pair's header: unreadable files, unequal sizes, images smaller than the crop.

        Where all is well, a few pairs are read to measure in what their blur was averaged.

        Raises:
            UserError: One line for each problem found in the whole set.
        """
        problems: dict[str, list[str]] = {"unreadable": [], "size": [], "crop": []}
        with ThreadPoolExecutor(_THREADS) as pool:
            # A pool holds an object for each call: one a pair would take more memory than all names together.
            for found in pool.map(self._problems, range(0, len(self), _AT_ONCE)):
                for kind, problem in found:
                    problems[kind].append(problem)
        # Each kind is shortened by itself, so that many of one do not hide another.
        lines = [line for of_kind in problems.values() for line in shorten(of_kind)]
        if lines:
            raise UserError(*lines)
        if not self.makes_blur:
            self.measured = measure_set(self)

    def cache(self, count: int | None = None) -> None:
        """Decodes the first ``count`` pairs (all, by default) and keeps them in memory, as stored in their files.

        Raises:
            UserError: They do not fit into the memory that is free, or a file cannot be read.
        """
        indices = range(len(self) if count is None else min(count, len(self)))
        first = self.load(0)
        del first["key"]
        bytes_per_pixel = sum(3 * image.itemsize for image in first.values())
        with ThreadPoolExecutor(_THREADS) as pool:
            pixels = sum(height * width for height, width in pool.map(self.size, indices))
            # Before anything is decoded: a machine out of memory kills the training without a word.
            refuse_too_large(pixels * bytes_per_pixel, len(indices))
            self._decoded = DecodedPairs(pool.map(self.load, indices))

    def _problems(self, start: int) -> list[tuple[str, str]]:
        """Returns the problems of the pairs of one call."""
        of_each = map(self._problem, range(start, min(start + _AT_ONCE, len(self))))
        return [problem for problem in of_each if problem is not None]

    def _problem(self, index: int) -> tuple[str, str] | None:
        """Returns a problem's kind and line, from the files' headers."""
        try:
            size = self.size(index)
        except ImageReadError as error:
            return "unreadable", str(error)
        except UserError as error:
            return "size", str(error)
        if self.resize is not None:
            size = self.resize.size
        # What comes behind the first transform depends on what that one makes of an image.
        first = self.crop or next(iter(self.augment), None)
        needed = transform_traits(first).needed or (0, 0)
        if size[0] >= needed[0] and size[1] >= needed[1]:
            return None
        wanted = f"{needed[0]} x {needed[1]}"
        limit = f"crop of {wanted}" if self.crop else f"{wanted} that {type(first).__name__} needs"
        return "crop", f"{self.place(index)}: {size[0]} x {size[1]} pixels (h x w), smaller than the {limit}"

    def place(self, index: int) -> str:
        """Returns what messages call a pair: its key, or its file."""
        return self.keys()[index]


class ImagePairs(Pairs):
    """Pairs of image files, in the order of their indices."""

    def __init__(
        self, files: Sequence[PairFiles], resize: Size | None = None, crop: Size | None = None, augment: Augment = ()
    ) -> None:
        super().__init__(resize, crop, augment)
        self.files = FileTable(files)

    def __len__(self) -> int:
        """Returns the number of pairs."""
        return len(self.files)

    def keys(self) -> list[str]:
        """Returns each sample's key, by index."""
        return self.files.keys()

    def place(self, index: int) -> str:
        """Returns the blurred image's file."""
        return str(self.files[index].blurred)

    def load(self, index: int) -> dict[str, Any]:
        """Decodes the pair's files."""
        files = self.files[index]
        pair: dict[str, Any] = {"blurred": read_image(files.blurred)}
        if files.sharp is not None:
            pair["sharp"] = read_image(files.sharp)
            size, sharp_size = pair["blurred"].shape[:2], pair["sharp"].shape[:2]
            if size != sharp_size:
                raise UserError(_mismatch(files, size, sharp_size))
        return {**pair, "key": files.key}

    def stamp(self, index: int) -> list[int]:
        """Returns what changes when a pair's files do."""
        files = self.files[index]
        return stamp_of(path for path in (files.blurred, files.sharp) if path is not None)

    def size(self, index: int) -> tuple[int, int]:
        """Returns ``(h, w)`` from the files' headers."""
        files = self.files[index]
        size = image_size(files.blurred)
        sharp_size = size if files.sharp is None else image_size(files.sharp)
        if size != sharp_size:
            raise UserError(_mismatch(files, size, sharp_size))
        return size


def stamp_of(files: Iterable[Path]) -> list[int]:
    """Returns what changes when files do: each one's size in bytes and time of change in nanoseconds."""
    numbers = []
    for file in files:
        stat = file.stat()
        numbers += [stat.st_size, stat.st_mtime_ns]
    return numbers


def shorten(lines: Iterable[str], shown: int = _SHOWN) -> list[str]:
    """Returns the first lines and, where there are more, one that says how many.

    >>> shorten(["a", "b", "c"], shown=2)
    ['a', 'b', '... and 1 more of this kind']
    """
    lines = list(lines)
    if len(lines) <= shown:
        return lines
    return [*lines[:shown], f"... and {len(lines) - shown} more of this kind"]


def _mismatch(files: PairFiles, blurred: tuple[int, ...], sharp: tuple[int, ...]) -> str:
    sizes = f"{blurred[0]} x {blurred[1]} pixels (h x w), but its sharp image {files.sharp} has {sharp[0]} x {sharp[1]}"
    return f"{files.blurred}: {sizes}"
