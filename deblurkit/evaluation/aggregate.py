"""What is said of a data set: means, intervals, groups and times from its images' rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from deblurkit.evaluation.protocols.protocol import Protocol
from deblurkit.evaluation.scoring import Outcome
from deblurkit.evaluation.statistics import interval
from deblurkit.results import (
    DatasetResult,
    Facts,
    ImageScore,
    Interval,
    Intervals,
    Means,
    ProtocolReference,
    Scores,
    SecondsPerImage,
    SecondsSpent,
)


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
    means, values = summarise(rows, protocol), _values(rows)
    live = [outcome.live_bytes for outcome in outcomes if outcome.live_bytes is not None]
    # Means of gains are over the images that have both scores; without one side there are no gains at all.
    gains = None
    if means.blurred is not None and means.restored is not None:
        gains = _mean_gains(values["gain"], means.restored)
    return DatasetResult(
        protocol=ProtocolReference(protocol.id, protocol.version, protocol.digest),
        inference=inference or None,
        images=means.images,
        scored=sum(row.restored is not None for row in rows),
        blurred=means.blurred,
        restored=means.restored,
        gain=gains,
        intervals=Intervals(**{side: _intervals(by_metric) for side, by_metric in values.items()}),
        seconds_per_image=_per_image(rows),
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


def _values(rows: Sequence[ImageScore]) -> dict[str, dict[str, list[float]]]:
    """Returns the images' scores by side (``blurred``, ``restored``, ``gain``) and metric, those that there are."""
    # A metric need not be defined for every image, so the first row does not have all names.
    names: dict[str, None] = {}
    for row in rows:
        names |= dict.fromkeys(row.restored or row.blurred or {})
    values: dict[str, dict[str, list[float]]] = {"blurred": {}, "restored": {}, "gain": {}}
    for metric in names:
        for by_metric in values.values():
            by_metric[metric] = []
        for row in rows:
            before, after = (row.blurred or {}).get(metric), (row.restored or {}).get(metric)
            for side, value in (("blurred", before), ("restored", after), ("gain", row.gain(metric))):
                if value is not None:
                    values[side][metric].append(value)
    return values


def _mean_gains(gains: Mapping[str, Sequence[float]], restored: Scores) -> Scores:
    """Returns the mean gain of each metric that the restored images have; none where it is infinite both ways."""
    means = {}
    for metric in restored:
        if gains.get(metric):
            mean = sum(gains[metric]) / len(gains[metric])  # sum, not fsum: that refuses infinities of both signs
            if not math.isnan(mean):
                means[metric] = mean
    return means


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


def _per_image(rows: Sequence[ImageScore]) -> SecondsPerImage | None:
    seconds = [row.seconds for row in rows if row.seconds is not None]
    if not seconds:
        return None
    # No mean: the first image, which warms the device up, would weigh as much as a hundred others.
    median, p95 = np.percentile(seconds, [50, 95])
    return SecondsPerImage(float(median), float(p95))
