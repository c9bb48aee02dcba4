"""What is said of a data set: means, intervals, groups and times from its images' rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import numpy as np

from deblurkit.evaluation.protocols.protocol import Protocol
from deblurkit.evaluation.scoring import Outcome
from deblurkit.report.scores import ImageScore, Scores
from deblurkit.report.statistics import interval


class Summary(TypedDict):
    """The mean scores of a data set; ``None`` where nothing was scored."""

    images: int
    blurred: Scores | None
    restored: Scores | None


def summarise(rows: Sequence[ImageScore], protocol: Protocol) -> Summary:
    """Returns a data set's scores, averaged as ``protocol`` says."""
    blurred = [row.blurred for row in rows if row.blurred]
    restored = [row.restored for row in rows if row.restored]
    return {
        "images": len(rows),
        "blurred": protocol.average(blurred) if blurred else None,
        "restored": protocol.average(restored) if restored else None,
    }


def figures(outcomes: Sequence[Outcome], protocol: Protocol, wall: float) -> dict[str, Any]:
    """Returns what ``metrics.json`` says of a data set, but for what is published of it and its description.

    Args:
        outcomes: Its images'.
        protocol: How they were scored.
        wall: Seconds from the first image to the last.
    """
    rows = [outcome.row for outcome in outcomes]
    summary = summarise(rows, protocol)
    return {
        "images": summary["images"],
        "scored": sum(row.restored is not None for row in rows),
        "blurred": summary["blurred"],
        "restored": summary["restored"],
        "gain": _gains(rows, summary),
        "intervals": intervals(rows),
        "seconds_per_image": _per_image(rows),
        "seconds": {**_spent(outcomes), "wall": wall},
        "live_bytes": max((outcome.live_bytes for outcome in outcomes if outcome.live_bytes is not None), default=None),
        "groups": groups(rows, protocol),
        "inference_used": dict(Counter(outcome.mode for outcome in outcomes if outcome.mode is not None)),
    }


def intervals(rows: Sequence[ImageScore]) -> dict[str, dict[str, tuple[float, float]]]:
    """Returns 95 % intervals of the means over images: side to metric to bounds; no entry where there is none."""
    names = list(dict.fromkeys(name for row in rows for name in (row.restored or row.blurred or {})))
    sides: dict[str, Callable[[ImageScore, str], float | None]] = {
        "blurred": lambda row, name: (row.blurred or {}).get(name),
        "restored": lambda row, name: (row.restored or {}).get(name),
        "gain": lambda row, name: row.gain(name),
    }
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for side, value_of in sides.items():
        values = {name: [value for row in rows if (value := value_of(row, name)) is not None] for name in names}
        bounds = {name: interval(listed) for name, listed in values.items()}
        found[side] = {name: pair for name, pair in bounds.items() if pair is not None}
    return found


def groups(rows: Sequence[ImageScore], protocol: Protocol) -> dict[str, dict[str, Summary]]:
    """Returns the means of the groups that a protocol reports beside the whole: videos, posters, trajectories."""
    members: dict[str, dict[str, list[ImageScore]]] = {}
    for row in rows:
        for group, value in protocol.groups(row.key).items():
            members.setdefault(group, {}).setdefault(value, []).append(row)
    return {
        group: {value: summarise(listed, protocol) for value, listed in values.items()}
        for group, values in members.items()
    }


def _gains(rows: Sequence[ImageScore], summary: Summary) -> Scores | None:
    """Returns the mean gains, each over the images that have it; ``None`` where one side has no scores at all."""
    if summary["blurred"] is None or summary["restored"] is None:
        return None
    gains = {name: [gain for row in rows if (gain := row.gain(name)) is not None] for name in summary["restored"]}
    # sum, not fsum: that refuses infinities of both signs
    means = {name: sum(listed) / len(listed) for name, listed in gains.items() if listed}
    return {name: mean for name, mean in means.items() if not math.isnan(mean)}


def _per_image(rows: Sequence[ImageScore]) -> dict[str, float] | None:
    seconds = [row.seconds for row in rows if row.seconds is not None]
    if not seconds:
        return None
    median, p95 = np.percentile(seconds, [50, 95])
    return {"median": float(median), "p95": float(p95)}


def _spent(outcomes: Sequence[Outcome]) -> dict[str, float]:
    parts = ("decode", "network", "metrics")
    return {part: math.fsum(getattr(outcome.spent, part) for outcome in outcomes) for part in parts}
