"""Figures of a data set: means, intervals, groups and times from its images' rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from deblurkit.evaluation.protocols.protocol import Protocol
from deblurkit.evaluation.scoring import Outcome
from deblurkit.evaluation.statistics import interval
from deblurkit.report.tables import Scale
from deblurkit.results import (
    DatasetResult,
    Facts,
    ImageScore,
    InfiniteScores,
    Interval,
    Intervals,
    Means,
    ProtocolReference,
    Scores,
    SecondsPerImage,
    SecondsSpent,
    WithoutInfinite,
)

Values = dict[str, list[float]]
"""One number an image, by metric."""

_NAMED = 3  # images with infinite scores that a note names


def summarise(rows: Sequence[ImageScore], protocol: Protocol) -> Means:
    """Returns a data set's scores, averaged as ``protocol`` says."""
    blurred = [row.blurred for row in rows if row.blurred]
    restored = [row.restored for row in rows if row.restored]
    return Means(
        images=len(rows),
        blurred=protocol.average(blurred) if blurred else None,
        restored=protocol.average(restored) if restored else None,
    )


def dataset_result(
    outcomes: Sequence[Outcome],
    protocol: Protocol,
    wall: float,
    *,
    inference: str = "",
    data: Facts | None = None,
    published: Mapping[str, float] | None = None,
) -> DatasetResult:
    """Returns what is known of one data set.

    Args:
        outcomes: Its images'.
        protocol: How they were scored.
        wall: Seconds from the first image to the last.
        inference: The mode that was asked for; empty where the images were restored elsewhere.
        data: What the data set says of itself.
        published: What the candidate's paper states of it.
    """
    rows = [outcome.row for outcome in outcomes]
    means, (blurred, restored, gained) = summarise(rows, protocol), _values(rows)
    # Means of gains are over the images that have both scores; without one side there are no gains at all.
    gains: Scores | None = None
    if means.blurred is not None and means.restored is not None:
        gains = {}
        for metric in means.restored:
            if gained.get(metric):
                mean = sum(gained[metric]) / len(gained[metric])  # sum, not fsum: that refuses infinities of both signs
                if not math.isnan(mean):
                    gains[metric] = mean
    seconds, timed = [row.seconds for row in rows if row.seconds is not None], None
    if seconds:
        # No mean: the first image, which warms the device up, would weigh as much as a hundred others.
        timed = SecondsPerImage(*np.percentile(seconds, [50, 95]).tolist())
    live = [outcome.live_bytes for outcome in outcomes if outcome.live_bytes is not None]
    return DatasetResult(
        protocol=ProtocolReference(protocol.id, protocol.version, protocol.digest),
        inference=inference or None,
        images=means.images,
        scored=sum(row.restored is not None for row in rows),
        blurred=means.blurred,
        restored=means.restored,
        gain=gains,
        intervals=Intervals(_intervals(blurred), _intervals(restored), _intervals(gained)),
        infinite=infinite_scores(rows),
        seconds_per_image=timed,
        seconds=SecondsSpent(
            decode=math.fsum(outcome.spent.decode for outcome in outcomes),
            network=math.fsum(outcome.spent.network for outcome in outcomes),
            metrics=math.fsum(outcome.spent.metrics for outcome in outcomes),
            wall=wall,
        ),
        live_bytes=max(live, default=None),
        groups=_groups(rows, protocol),
        inference_used=dict(Counter(outcome.mode for outcome in outcomes if outcome.mode is not None)),
        data=data,
        published=published,
    )


def infinite_notes(rows: Sequence[ImageScore], infinite: InfiniteScores | None) -> list[str]:
    """Says in lines which means are infinite, because of which images, and what they are without those.

    Args:
        rows: A data set's images.
        infinite: What :func:`infinite_scores` found in them.
    """
    lines: list[str] = []
    if infinite is None:
        return lines
    for side, found in (("blurred", infinite.blurred), ("restored", infinite.restored)):
        for metric, without in found.items():
            keys = []
            for row in rows:
                if math.isinf((getattr(row, side) or {}).get(metric, 0.0)):
                    keys.append(row.key)
            named = ", ".join([*keys[:_NAMED], *(["..."] if len(keys) > _NAMED else [])])
            lines.append(
                f"{side}: {metric} is infinite, as of identical images, for {without.left_out} of {len(rows)} images "
                f"({named}), and so is its mean; {_told(metric, without)}"
            )
    for metric, without in infinite.gain.items():
        lines.append(
            f"gain: {metric} is infinite before or after for {without.left_out} of {len(rows)} images; "
            f"{_told(metric, without, signed=True)}"
        )
    return lines


def _told(metric: str, without: WithoutInfinite, signed: bool = False) -> str:
    if without.mean is None:
        return "no other image has a score"
    return f"without them {Scale(metric).with_interval(without.mean, without.interval, signed)}"


def infinite_scores(rows: Sequence[ImageScore]) -> InfiniteScores | None:
    """Returns the means without infinite scores; ``None`` where all are finite."""
    blurred, restored, _ = _values(rows)
    gains: dict[str, WithoutInfinite] = {}
    for metric in blurred:
        every, finite = 0, []
        for row in rows:
            before, after = (row.blurred or {}).get(metric), (row.restored or {}).get(metric)
            if before is not None and after is not None:
                every += 1
                if math.isfinite(before) and math.isfinite(after):
                    finite.append(after - before)
        if len(finite) < every:
            gains[metric] = _without(every, finite)
    found = InfiniteScores(_finite_means(blurred), _finite_means(restored), gains)
    return found if found.blurred or found.restored else None


def _finite_means(by_metric: Values) -> dict[str, WithoutInfinite]:
    means: dict[str, WithoutInfinite] = {}
    for metric, values in by_metric.items():
        finite = [value for value in values if math.isfinite(value)]
        if len(finite) < len(values):
            means[metric] = _without(len(values), finite)
    return means


def _without(every: int, finite: Sequence[float]) -> WithoutInfinite:
    mean = math.fsum(finite) / len(finite) if finite else None
    return WithoutInfinite(every - len(finite), mean, interval(finite))


def _values(rows: Sequence[ImageScore]) -> tuple[Values, Values, Values]:
    """Returns the scores of the blurred images, those of the restored ones, and the gains, as many as there are."""
    # A metric need not be defined for every image, so the first row does not have all names.
    names: dict[str, None] = {}
    for row in rows:
        names |= dict.fromkeys(row.restored or row.blurred or {})
    blurred: Values = {}
    restored: Values = {}
    gained: Values = {}
    for metric in names:
        blurred[metric], restored[metric], gained[metric] = [], [], []
        for row in rows:
            before, after = (row.blurred or {}).get(metric), (row.restored or {}).get(metric)
            for values, value in ((blurred, before), (restored, after), (gained, row.gain(metric))):
                if value is not None:
                    values[metric].append(value)
    return blurred, restored, gained


def _intervals(by_metric: Mapping[str, Sequence[float]]) -> dict[str, Interval]:
    """Returns 95 % intervals of the means over images; no entry where there is none."""
    found = {}
    for metric, values in by_metric.items():
        ends = interval(values)
        if ends is not None:
            found[metric] = ends
    return found


def _groups(rows: Sequence[ImageScore], protocol: Protocol) -> dict[str, dict[str, Means]]:
    """Returns the means of the groups that a protocol reports beside the whole: videos, posters, trajectories."""
    members: dict[str, dict[str, list[ImageScore]]] = {}
    for row in rows:
        for kind, name in protocol.groups(row.key).items():
            members.setdefault(kind, {}).setdefault(name, []).append(row)
    means: dict[str, dict[str, Means]] = {}
    for kind, by_name in members.items():
        means[kind] = {name: summarise(own, protocol) for name, own in by_name.items()}
    return means
