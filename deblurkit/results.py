"""Scores, as they travel from where they are measured to the reports that show them.

Evaluation fills these types and reports read them. Only ``to_json`` turns them into the content of ``metrics.json`` and
``comparison.json``, where infinite scores are the texts ``inf`` and ``-inf``.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Scores = dict[str, float]  # values by metric
Interval = tuple[float, float]  # the ends of a confidence interval of a mean: see deblurkit.evaluation.statistics
LEVEL, RESAMPLES = 0.95, 9999  # how often an interval covers the mean; bootstrap samples behind it
_LEFT_OUT = ("digest", "note", "infinite")  # keys that JSON lacks where there is nothing to say
Facts = Mapping[str, Any]
"""Facts that a data set or a machine tells of itself: to be shown, not to be read."""


def plain(value: Any) -> Any:
    """Returns a result as JSON holds it: infinities as ``"inf"`` and ``"-inf"``, tuples as lists, types by fields.

    >>> plain({"psnr": math.inf, "sizes": (1, 2)}), plain(ScoreKind("dB"))
    ({'psnr': 'inf', 'sizes': [1, 2]}, {'unit': 'dB', 'higher_is_better': True})

    Raises:
        ValueError: A value is NaN, which no score may be.
    """
    if dataclasses.is_dataclass(value):
        value = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
        # A protocol without a digest, weights without a note and sets of finite scores have no such key in the files.
        value = {name: item for name, item in value.items() if item is not None or name not in _LEFT_OUT}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            raise ValueError("a score is NaN")
        return "inf" if value > 0 else "-inf"
    return value


def gain_of(before: Mapping[str, float] | None, after: Mapping[str, float] | None, metric: str) -> float | None:
    """Returns by how much ``metric`` rose; ``None`` where either score is missing or both are infinite."""
    old, new = (before or {}).get(metric), (after or {}).get(metric)
    if old is None or new is None or math.isnan(new - old):
        return None
    return new - old


@dataclass(frozen=True)
class ImageScore:
    """The scores of one image.

    Attributes:
        key: The image's name in its data set, a relative path without extension.
        blurred, restored: The scores of both images; ``None`` where there are none.
        seconds: Wall-clock time of the restoration alone; ``None`` where it was done elsewhere.
        blurred_facts, restored_facts: What else the protocol found out about each: shifts, the best frame.
    """

    key: str
    blurred: Scores | None
    restored: Scores | None
    seconds: float | None
    blurred_facts: dict[str, str | int | float] = field(default_factory=dict)
    restored_facts: dict[str, str | int | float] = field(default_factory=dict)

    def gain(self, metric: str) -> float | None:
        """Returns by how much ``metric`` rose: see :func:`gain_of`."""
        return gain_of(self.blurred, self.restored, metric)


@dataclass(frozen=True)
class ScoreKind:
    """How the values of a metric are read: their unit, ``dB`` or empty, and which direction is better."""

    unit: str = ""
    higher_is_better: bool = True


@dataclass(frozen=True)
class ProtocolReference:
    """Names a protocol; the digest is of everything in it that decides a score."""

    id: str
    version: int
    digest: str | None = None

    @property
    def title(self) -> str:
        """The name with the version.

        >>> ProtocolReference("gopro-basicsr-v1", 1).title
        'gopro-basicsr-v1 version 1'
        """
        return f"{self.id} version {self.version}"


@dataclass(frozen=True)
class Means:
    """The mean scores of some images; ``None`` where none was scored."""

    images: int
    blurred: Scores | None
    restored: Scores | None


@dataclass(frozen=True)
class Intervals:
    """Intervals of the means of one data set, by metric; a metric without one is missing."""

    blurred: Mapping[str, Interval] = field(default_factory=dict)
    restored: Mapping[str, Interval] = field(default_factory=dict)
    gain: Mapping[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True)
class WithoutInfinite:
    """The mean of one metric over the images whose scores are finite, where those of others are not.

    Attributes:
        left_out: How many images have an infinite score, as PSNR is of identical images. Of gains: how many have one on
            either side; where both are infinite, nothing is known of the gain.
        mean: Of the other images; ``None`` where there are none.
        interval: Of that mean; ``None`` for fewer than 2 images.
    """

    left_out: int
    mean: float | None
    interval: Interval | None


@dataclass(frozen=True)
class InfiniteScores:
    """Tells what infinite scores hide on each side of a data set, by metric; finite metrics are missing."""

    blurred: Mapping[str, WithoutInfinite] = field(default_factory=dict)
    restored: Mapping[str, WithoutInfinite] = field(default_factory=dict)
    gain: Mapping[str, WithoutInfinite] = field(default_factory=dict)


@dataclass(frozen=True)
class SecondsPerImage:
    """The median and the 95th percentile, interpolated linearly, of the seconds that one image took to restore."""

    median: float
    p95: float


@dataclass(frozen=True)
class SecondsSpent:
    """Seconds that a data set took, by part; parts of different images overlap. ``None`` where it was not measured."""

    decode: float | None = None
    network: float | None = None
    metrics: float | None = None
    wall: float | None = None


@dataclass(frozen=True)
class DatasetResult:
    """The result of one candidate on one data set.

    Attributes:
        protocol: How it was scored.
        inference: The mode that was asked for; ``None`` where the images were restored elsewhere.
        images, scored: How many were restored, and how many of them have scores.
        blurred, restored: Mean scores; ``None`` where nothing was scored.
        gain: Mean gains, each over the images that have both scores.
        intervals: Of these means.
        infinite: What infinite scores hide; ``None`` where all are finite.
        seconds_per_image: Of the restoration alone; ``None`` where it was done elsewhere.
        seconds: For all images.
        live_bytes: The most that live tensors took at once, as estimated; ``None`` where that is unknown.
        groups: Means of the groups that the protocol reports, by kind of group (video, poster) and name.
        inference_used: How many images were restored in which mode, fall-backs included.
        data: What the data set says of itself.
        published: Mean scores that the candidate's paper states of this data set.
    """

    protocol: ProtocolReference
    inference: str | None
    images: int
    scored: int
    blurred: Scores | None = None
    restored: Scores | None = None
    gain: Scores | None = None
    intervals: Intervals = field(default_factory=Intervals)
    infinite: InfiniteScores | None = None
    seconds_per_image: SecondsPerImage | None = None
    seconds: SecondsSpent = field(default_factory=SecondsSpent)
    live_bytes: int | None = None
    groups: Mapping[str, Mapping[str, Means]] = field(default_factory=dict)
    inference_used: Mapping[str, int] = field(default_factory=dict)
    data: Facts | None = None
    published: Mapping[str, float] | None = None

    def mean(self, side: Literal["blurred", "restored", "gain"], metric: str) -> tuple[float | None, Interval | None]:
        """Returns a metric's mean on one side and the interval of that mean, where there are such."""
        return (getattr(self, side) or {}).get(metric), getattr(self.intervals, side).get(metric)


@dataclass(frozen=True)
class Weights:
    """The weights that restored the images; ``ema`` says whether averaged ones were used, ``note`` whose they are."""

    file: str
    sha256: str
    iteration: int
    ema: bool
    note: str | None = None


@dataclass(frozen=True)
class RestoredFolder:
    """Where images lie that were restored elsewhere."""

    folder: str


@dataclass(frozen=True)
class CandidateResult:
    """One network, or one folder of restored images, that was scored.

    Attributes:
        name: What it is called in tables.
        metrics: How each score is read, by name.
        weights, restored: The network's weights, or the folder of restored images.
        trained_on: The training set's description of itself; ``None`` where it is not known.
        date: When it was scored, as ISO 8601 has it; ``None`` where that is not known.
        environment: With which software and on which device.
        datasets: The figures of each data set, by name.
        notes: What a reader of the figures must know.
        rows: The scores of each data set's images; they are in ``per_image.csv`` and not in ``metrics.json``.
    """

    name: str
    metrics: Mapping[str, ScoreKind]
    weights: Weights | None
    restored: RestoredFolder | None
    trained_on: Facts | None
    date: str | None
    environment: Facts
    datasets: Mapping[str, DatasetResult]
    notes: Sequence[str]
    rows: Mapping[str, Sequence[ImageScore]]

    def to_json(self) -> dict[str, Any]:
        """Returns the content of ``metrics.json``."""
        content = plain(dataclasses.replace(self, rows={}))
        del content["rows"]
        date = content.pop("date")
        if date is not None:  # which opens the environment in the file
            content["environment"] = {"date": date, **content["environment"]}
        return content


@dataclass(frozen=True)
class PairTest:
    """Two candidates' scores of the same images, compared.

    Attributes:
        images: How many were compared.
        excluded: How many were left out because a score, and so the difference, is infinite.
        difference: Mean of first - second; ``None`` where no image is left.
        interval: Of that mean; ``None`` for fewer than 2 images.
        p_value: Two-sided; ``None`` where nothing was tested.
        test: The test in words, or why there is none.
    """

    images: int
    excluded: int
    difference: float | None
    interval: Interval | None
    p_value: float | None
    test: str


@dataclass(frozen=True)
class Pair:
    """Two candidates compared in one metric, on the images on which both have it."""

    first: str
    second: str
    metric: str
    result: PairTest


@dataclass(frozen=True)
class ComparedDataset:
    """One data set in a comparison.

    Attributes:
        protocol: How all candidates were scored on it.
        images: How many images all candidates have scores of.
        blurred: Mean scores of the blurred images; ``None`` where nothing was scored.
        restored: Mean scores by candidate, each metric over the images on which all candidates have it.
        intervals: Of these means, by candidate.
        pairs: Every two candidates in every metric that both have.
    """

    protocol: ProtocolReference
    images: int
    blurred: Scores | None
    restored: Mapping[str, Scores]
    intervals: Mapping[str, Mapping[str, Interval]]
    pairs: Sequence[Pair]


@dataclass(frozen=True)
class ComparedCandidate:
    """A candidate in a comparison: the file of its own figures, and how it came by its images."""

    metrics: str
    inference: Mapping[str, str | None]
    weights: Weights | None
    restored: RestoredFolder | None


@dataclass(frozen=True)
class Comparison:
    """Candidates side by side, one or several: how scores are read, candidates and data sets by name, and notes."""

    metrics: Mapping[str, ScoreKind]
    candidates: Mapping[str, ComparedCandidate]
    datasets: Mapping[str, ComparedDataset]
    notes: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Returns the content of ``comparison.json``, where a pair and its test are one flat object."""
        content = plain(self)
        for entry in content["datasets"].values():
            for pair in entry["pairs"]:
                pair |= pair.pop("result")
        return content
