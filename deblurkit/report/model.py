"""What a report is made of: plain values and encoded pictures, whoever computed them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deblurkit.report.scores import ImageScore

Rows = Mapping[str, Sequence[ImageScore]]
"""Each data set's images."""


@dataclass(frozen=True)
class Candidate:
    """One network, or one folder of restored images, that was scored.

    Attributes:
        name: What it is called in tables.
        metrics: The content of its ``metrics.json``.
        rows: Its images by data set.
    """

    name: str
    metrics: Mapping[str, Any]
    rows: Rows


@dataclass(frozen=True)
class Picture:
    """A full-resolution crop of one image, as each candidate restored it.

    Attributes:
        key: The image's key in its data set.
        title: Why it is shown: ``greatest gain``, ``smallest gain``, ``greatest difference``.
        size: Height and width of the whole image in pixels.
        corner: Row and column of the crop's upper left pixel.
        panels: Encoded images (WebP or PNG, lossless) of one size: ``blurred``, ``sharp`` where it is known, and
            ``restored/NAME`` of each candidate.
        errors: Encoded maps of the absolute difference from ``sharp``, by the same names without ``sharp``.
    """

    key: str
    title: str
    size: tuple[int, int]
    corner: tuple[int, int]
    panels: Mapping[str, bytes]
    errors: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class PageContent:
    """Everything that one ``report.html`` shows.

    Attributes:
        title: The page's heading.
        candidates: One for the report of one network; several are compared.
        comparison: The content of ``comparison.json``; ``None`` for one candidate.
        pictures: Crops by data set, at most a dozen in all.
        thumbnails: By data set and key: a small encoded JPEG or WebP of the restored image (the first candidate's).
        files: By data set and key: paths of full images relative to the page, by the names of ``Picture.panels``.
        protocol: The protocol explained, several lines.
        command: What to run to get these numbers again.
        options: The option file's text; ``None`` where there is none.
        paper: ``title`` of the experiment's paper and the rows that it has ``compared``.
    """

    title: str
    candidates: Sequence[Candidate]
    comparison: Mapping[str, Any] | None
    pictures: Mapping[str, Sequence[Picture]]
    thumbnails: Mapping[str, Mapping[str, bytes]]
    protocol: str
    command: str
    options: str | None = None
    paper: Mapping[str, Any] | None = None
    files: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)
