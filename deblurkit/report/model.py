"""The content of a report: results and encoded pictures, whoever computed them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deblurkit.results import CandidateResult, Comparison


@dataclass(frozen=True)
class PublishedRow:
    """Figures of one method on one data set, as a paper prints them; ``values`` by column."""

    method: str
    dataset: str
    values: Mapping[str, str | float]


@dataclass(frozen=True)
class Paper:
    """Scores that an experiment's paper prints: its own scores by data set, and the rows that it compares with."""

    title: str
    published: Mapping[str, Mapping[str, float]]
    compared: Sequence[PublishedRow]


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
        comparison: Of these candidates; of one alone it holds its own means.
        pictures: Crops by data set, at most a dozen in all.
        thumbnails: By data set and key: a small encoded JPEG or WebP of the restored image (the first candidate's).
        files: By data set and key: paths of full images relative to the page, by the names of ``Picture.panels``.
        protocol: The protocol explained, several lines.
        command: What to run to get these numbers again.
        options: The option file's text; ``None`` where there is none.
        paper: What the experiment's paper prints.
    """

    title: str
    candidates: Sequence[CandidateResult]
    comparison: Comparison
    pictures: Mapping[str, Sequence[Picture]]
    thumbnails: Mapping[str, Mapping[str, bytes]]
    protocol: str
    command: str
    options: str | None = None
    paper: Paper | None = None
    files: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)

    @property
    def several(self) -> bool:
        """Whether candidates are compared."""
        return len(self.candidates) > 1

    def datasets(self) -> list[str]:
        """Returns the names of the data sets that all candidates have."""
        return list(self.comparison.datasets)
