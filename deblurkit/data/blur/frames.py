"""The frames of folders and videos, and pairs made of them while training."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import cv2
from numpy.typing import NDArray

from deblurkit.data.blur.averaging import GOPRO_AVERAGE, Exposure, Window, as_average
from deblurkit.data.blur.camera_response import response as response_of
from deblurkit.data.dataset import Pairs, shorten
from deblurkit.data.images import image_size, is_image, read_image
from deblurkit.data.paired import find_images
from deblurkit.data.transforms import Size
from deblurkit.errors import UserError
from deblurkit.registry import DATASETS

Array = NDArray[Any]


@dataclass(frozen=True)
class Frame:
    """One frame; a file is decoded when it is read.

    Attributes:
        name: Its file's name without ending; of a video its number, ``000000`` the first.
        stored: Its file, or its pixels.
    """

    name: str
    stored: Path | Array

    def read(self) -> Array:
        """Returns the pixels, RGB ``(h, w, 3)``."""
        return read_image(self.stored) if isinstance(self.stored, Path) else self.stored


@dataclass(frozen=True)
class FrameFolder:
    """Frames that are image files.

    Attributes:
        name: What stands for the sequence in keys and among results.
        files: The frames in natural order: ``9.png`` before ``10.png``.
    """

    name: str
    files: tuple[Path, ...]

    def __iter__(self) -> Iterator[Frame]:
        """Yields the frames in order."""
        for file in self.files:
            yield Frame(file.stem, file)

    def expected(self) -> int:
        """Returns the number of frames."""
        return len(self.files)

    def identity(self) -> dict[str, str | int]:
        """Returns what tells these frames from others: their number and sizes; digests would read all of them first."""
        size = sum(file.stat().st_size for file in self.files)
        return {"name": self.name, "frames": len(self.files), "bytes": size}


@dataclass(frozen=True)
class Video:
    """Frames of a video file, which can only be read from the first on.

    They are 8-bit RGB as OpenCV decodes them, turned as the file says.

    Attributes:
        name: What stands for the sequence among results.
        file: The video.
        notes: What a reader must be told, known when all frames have been read.
    """

    name: str
    file: Path
    notes: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Frame]:
        """Yields the frames in order, and notes it if there are fewer than promised.

        Raises:
            UserError: The file is no video that OpenCV can decode.
        """
        capture = self._open()
        number = 0
        try:
            while (read := capture.read())[0]:
                yield Frame(f"{number:06d}", cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
                number += 1
        finally:
            capture.release()
        if number == 0:
            raise UserError(f"{self.file}: no frame of it can be decoded")
        if number < self.expected():
            self.notes.append(
                f"{self.file}: {number} frames could be read of the {self.expected()} that its header promises; "
                "it may be cut short, those read were used"
            )

    def expected(self) -> int:
        """Returns how many frames the file's header promises; 0 where it says nothing."""
        capture = self._open()
        promised = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        capture.release()
        return max(0, promised)

    def identity(self) -> dict[str, str | int]:
        """Returns what tells this video from others."""
        return {"name": self.name, "bytes": self.file.stat().st_size}

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self.file))
        if not capture.isOpened():
            raise UserError(f"{self.file}: it cannot be decoded: not a video, damaged, or of an unknown codec")
        return capture


def find_sequences(sources: Sequence[str]) -> list[FrameFolder | Video]:
    """Returns the sequences of frames that folders, globs and video files name.

    Each folder with images in it is a sequence. It is named by its path below the folder that is given, or what the
    wildcards of the glob stand for, else by its own name; a video by its file's name without ending.

    Raises:
        UserError: A line for each source without frames, and for names that occur twice.
    """
    found: list[FrameFolder | Video] = []
    problems: list[str] = []
    for source in sources:
        try:
            found += _sequences_of(source)
        except UserError as error:
            problems += error.problems
    problems += _equal_names(found, "sequences")
    for sequence in found:
        if isinstance(sequence, FrameFolder):
            problems += _equal_names(sequence, f"frames of {sequence.files[0].parent}")
    if problems:
        raise UserError(*problems)
    return found


def _sequences_of(source: str) -> Sequence[FrameFolder | Video]:
    file = Path(source)
    if file.is_file():
        if is_image(file):
            raise UserError(f"{source}: a single image is no sequence; expected the folder of its frames")
        video = Video(file.stem, file)
        video.expected()  # opens it, so that a damaged one is reported together with all other mistakes
        return [video]
    folders = frame_folders(source)
    if not folders:
        what = "expected a folder of images, a folder of such folders, a glob, or a video"
        raise UserError(f"{source}: no frames found; {what}")
    return folders


def frame_folders(pattern: str) -> list[FrameFolder]:
    """Returns the folders with images that a folder or glob names; see :func:`find_sequences`."""
    grouped: dict[Path, list[Path]] = {}
    names: dict[Path, str] = {}
    for key, file in find_images(pattern):
        grouped.setdefault(file.parent, []).append(file)
        names[file.parent] = key.rpartition("/")[0] or file.absolute().parent.name
    folders = []
    for folder, files in grouped.items():
        files.sort(key=lambda file: natural(file.name))
        folders.append(FrameFolder(names[folder], tuple(files)))
    return folders


def natural(name: str) -> list[tuple[int, str]]:
    """Returns a sorting key that takes numbers in names for numbers.

    >>> sorted(["b2", "b10", "a"], key=natural)
    ['a', 'b2', 'b10']
    """
    parts: list[tuple[int, str]] = []
    for part in re.split(r"([0-9]+)", name):
        # Not isdigit, to which a superscript is a digit too, but to int it is none.
        if part.isdecimal():
            parts.append((int(part), ""))
        elif part:
            parts.append((-1, part))
    return parts


@DATASETS.register_module()
class AveragedFrames(Pairs):
    """Pairs made of folders of sharp frames while training; see :mod:`deblurkit.data.blur.averaging`.

    A pair's key is ``SEQUENCE/NAME`` of the frame in the middle. Its pixels before cropping are the same in each
    epoch, and the same that ``deblurkit blur frames`` writes. Each sample decodes a whole window of frames: write the
    pairs to disk first where that keeps the training waiting. A video has no random access: it must be written.

    Args:
        frames: A folder of frames, a folder of such folders, or a glob.
        response: ``gamma`` (GoPro's ``blur_gamma``), ``linear`` (GoPro's ``blur``), ``srgb``, or the file of a measured
            curve. There is no default: reports name it.
        average: Number of frames, or least and greatest.
        quantise: ``truncate`` or ``round``.
        stride: Frames from one window's start to the next; by default they follow each other.
        fraction: Share of the period during which the shutter is open.
        interpolate: Frames put between each two by optical flow.
        gain: Factor on the light, of both images.
        noise: Whether the blurred image gets a sensor's noise: of a full well of 10,000 electrons and 3 of read-out.
        seed: Decides the lengths of the windows and the noise.

    Raises:
        UserError: A line for each thing wrong.
    """

    makes_blur: ClassVar[bool] = True

    def __init__(
        self,
        frames: str,
        response: str,
        average: int | Sequence[int] = GOPRO_AVERAGE,
        quantise: str = "truncate",
        stride: int | None = None,
        fraction: float = 1.0,
        interpolate: int = 0,
        gain: float = 1.0,
        noise: bool = False,
        seed: int = 0,
        resize: Size | None = None,
        crop: Size | None = None,
        augment: Sequence[str | dict[str, Any]] = (),
    ) -> None:
        super().__init__(resize, crop, augment)
        self.exposure = Exposure(
            response_of(response), as_average(average), stride, fraction, interpolate, gain, noise, quantise, seed
        )
        self._windows: list[tuple[FrameFolder, Window]] = []
        for sequence in find_sequences([frames]):
            if isinstance(sequence, Video):
                what = f"a video must be written to disk first: deblurkit blur frames {frames}"
                raise UserError(f"frames: {frames}: {what}")
            before = len(self._windows)
            for window in self.exposure.windows(sequence.name):
                if window.stop > len(sequence.files):
                    break
                self._windows.append((sequence, window))
            if len(self._windows) == before:
                self.notes.append(too_short(sequence.name, len(sequence.files)))
        if not self._windows:
            raise UserError(f"frames: {frames}: no sequence is long enough", *shorten(self.notes))

    def __len__(self) -> int:
        """Returns the number of pairs."""
        return len(self._windows)

    def keys(self) -> list[str]:
        """Returns each pair's key, by index."""
        return [self.place(index) for index in range(len(self))]

    def place(self, index: int) -> str:
        """Returns a pair's key."""
        sequence, window = self._windows[index]
        return f"{sequence.name}/{sequence.files[window.truth].stem}"

    def load(self, index: int) -> dict[str, Any]:
        """Averages the window's frames."""
        sequence, window = self._windows[index]
        blurred, sharp = expose(self.exposure, list(sequence)[window.start : window.stop], window, sequence.name)
        return {"blurred": blurred, "sharp": sharp, "key": self.place(index)}

    def size(self, index: int) -> tuple[int, int]:
        """Returns ``(h, w)`` from the headers of the window's frames."""
        sequence, window = self._windows[index]
        sizes = {image_size(file): file for file in sequence.files[window.start : window.stop]}
        if len(sizes) > 1:
            found = ", ".join(f"{file} {height} x {width}" for (height, width), file in sizes.items())
            raise UserError(f"{self.place(index)}: frames of one window differ in size (h x w): {found}")
        return next(iter(sizes))

    def describe(self) -> dict[str, str | int]:
        """Returns the set's name, the response as its variant, and the number of frames averaged."""
        least, greatest = self.exposure.average
        return {
            "set": type(self).__name__,
            "variant": self.exposure.response.name,
            "average": least if least == greatest else f"{least} to {greatest}",
        }


def expose(exposure: Exposure, frames: Sequence[Frame], window: Window, sequence: str) -> tuple[Array, Array]:
    """Averages the frames of a window; returns blurred and sharp image.

    Raises:
        UserError: A frame cannot be read, or they differ in size; names the window.
    """
    try:
        return exposure.expose((frame.read() for frame in frames), window, sequence)
    except UserError as error:
        place = f"{sequence}, {frames[0].name} to {frames[-1].name}"
        raise UserError(*(f"{place}: {problem}" for problem in error.problems)) from error


def too_short(sequence: str, count: int) -> str:
    """Returns the note that a sequence gave no pair."""
    return f"{sequence}: {count} frames are fewer than its first window needs; left out"


def _equal_names(named: Iterable[Frame | FrameFolder | Video], kind: str) -> list[str]:
    """Returns a line for each name that occurs twice: its results would write over one another."""
    counts = Counter(one.name for one in named)
    problems = [f"{count} {kind} have the name {name!r}; rename one" for name, count in counts.items() if count > 1]
    return shorten(problems)
