"""The page and the picture of a comparison of deblurring methods."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from deblurkit.evaluation.statistics import interval
from deblurkit.metrics.psnr import psnr
from deblurkit.results import Interval

Photograph = NDArray[np.uint8]
"""RGB, ``(h, w, 3)``."""

WINDOW = 208  # side of what the picture shows of an image, in pixels
LINE = 20  # height of a line of text, in pixels
GAP = 4
BACKGROUND, INK, FAINT_INK = (24, 24, 24), (225, 225, 225), (120, 120, 120)


@dataclass(frozen=True)
class Score:
    """What one rival reached on one case: PSNR and its gain over the input in dB, SSIM, and seconds by the clock."""

    rival: str
    key: str
    psnr: float
    gain: float
    ssim: float
    seconds: float


@dataclass(frozen=True)
class Row:
    """A rival's means over a set; ``gain_interval`` is the gain's of 95 %, ``unharmed`` the share that did not lose."""

    rival: str
    images: int
    psnr: float
    gain: float
    gain_interval: Interval | None
    ssim: float
    unharmed: float
    seconds: float


@dataclass(frozen=True)
class Record:
    """All that was measured on a set.

    Attributes:
        name: The set's.
        about: How its cases came about.
        no_kernel: Why no rival had a true kernel; empty where they had.
        rivals: Their names, in the order of the table.
        scores: Of every rival on every case.
        similarities: Of the blind to the true kernel in each case, 0 to 1; empty where none is known.
    """

    name: str
    about: str
    no_kernel: str
    rivals: Sequence[str]
    scores: Sequence[Score]
    similarities: Sequence[float]

    def rows(self) -> list[Row]:
        """Returns the means of each rival that has scores."""
        found = []
        for rival in self.rivals:
            scores = [score for score in self.scores if score.rival == rival]
            if scores:
                gains = [score.gain for score in scores]
                found.append(
                    Row(
                        rival,
                        len(scores),
                        statistics.fmean(score.psnr for score in scores),
                        statistics.fmean(gains),
                        interval(gains),
                        statistics.fmean(score.ssim for score in scores),
                        statistics.fmean(gain >= 0 for gain in gains),
                        statistics.fmean(score.seconds for score in scores),
                    )
                )
        return found


@dataclass(frozen=True)
class Strip:
    """A line of the picture: the same window of each rival's image, ``None`` where it has none, and of the truth."""

    title: str
    names: Sequence[str]
    windows: Sequence[Photograph | None]
    sharp: Photograph


def page(about: Mapping[str, str], records: Sequence[Record]) -> str:
    """Returns the report in Markdown."""
    lines = [
        "# Classical deblurring and networks, side by side",
        "",
        *(f"- {key}: {value}" for key, value in about.items()),
        "- gain: over the input, in dB, with a bootstrap interval of 95 % over images; not harmed: images that did not "
        "lose PSNR; a blind method's seconds include the estimate of the kernel",
    ]
    for record in records:
        lines += [
            "",
            f"## {record.name}",
            "",
            f"{record.about}.",
            "",
            "| rival | PSNR | gain | 95 % | SSIM | not harmed | s / image |",
            "| --- | ---: | ---: | :---: | ---: | ---: | ---: |",
        ]
        rows = {row.rival: row for row in record.rows()}
        for rival in record.rivals:
            cells = _cells(rows[rival]) if rival in rows else [f"n/a: {record.no_kernel}", *[""] * 5]
            lines.append(f"| {' | '.join([rival, *cells])} |")
        if record.similarities:
            lines += ["", f"The blind kernel's similarity to the true one: {_spread(record.similarities)}."]
    return "\n".join([*lines, ""])


def _cells(row: Row) -> list[str]:
    ends = "-" if row.gain_interval is None else "{:+.2f} to {:+.2f}".format(*row.gain_interval)
    return [
        f"{row.psnr:.2f}",
        f"{row.gain:+.2f}",
        ends,
        f"{row.ssim:.4f}",
        f"{100 * row.unharmed:.0f} % of {row.images}",
        f"{row.seconds:.2f}",
    ]


def _spread(values: Sequence[float]) -> str:
    least, middle, greatest = np.percentile(values, (0, 50, 100))
    return f"median {middle:.2f}, from {least:.2f} to {greatest:.2f}"


def strip(title: str, names: Sequence[str], images: Mapping[str, Photograph], sharp: Photograph) -> Strip:
    """Cuts the window with the most detail out of each image."""
    place = most_detailed(sharp, (WINDOW, WINDOW))
    windows = [images[name][place] if name in images else None for name in names]
    return Strip(title, names, windows, sharp[place])


def most_detailed(sharp: Photograph, size: tuple[int, int]) -> tuple[slice, slice]:
    """Returns the rows and columns of the window with the most detail, of ``size`` ``(h, w)`` at most."""
    grey = cv2.cvtColor(sharp, cv2.COLOR_RGB2GRAY).astype(np.float32)
    detail = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    height, width = (min(most, side) for most, side in zip(size, grey.shape, strict=True))
    # A box's mean lies at its middle; only middles of boxes within the image count.
    within = cv2.blur(detail, (width, height))
    valid = within[height // 2 : grey.shape[0] - (height - 1) // 2, width // 2 : grey.shape[1] - (width - 1) // 2]
    top, left = np.unravel_index(valid.argmax(), valid.shape)
    return slice(top, top + height), slice(left, left + width)


def sheet(strips: Sequence[Strip]) -> Photograph:
    """Draws the strips below one another, each window under its rival's name and above its own PSNR, ``(h, w, 3)``."""
    columns = len(strips[0].names) + 1
    heights = [3 * LINE + len(shown.sharp) + 2 * GAP for shown in strips]
    picture = Image.new("RGB", (GAP + columns * (WINDOW + GAP), sum(heights)), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(13)
    top = GAP
    for shown, height in zip(strips, heights, strict=True):
        draw.text((GAP, top), shown.title, fill=FAINT_INK, font=font)
        named = zip([*shown.names, "sharp"], [*shown.windows, shown.sharp], strict=True)
        for column, (name, window) in enumerate(named):
            left, below = GAP + column * (WINDOW + GAP), "n/a"
            if window is not None:
                picture.paste(Image.fromarray(window), (left, top + 2 * LINE))
                below = f"{psnr(window, shown.sharp):.2f} dB"
            if window is shown.sharp:
                below = "the truth"
            draw.text((left, top + LINE), name, fill=INK, font=font)
            draw.text((left, top + 2 * LINE + len(shown.sharp)), below, fill=INK, font=font)
        top += height
    return np.asarray(picture)
