"""What the pairs of a set show together: figures of the whole set, and findings, each a fault or a warning.

A *fault* is what training would refuse: images without partner, unreadable, of unequal sizes. A *warning* is for the
user to judge.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deblurkit.data.checking.alignment import ALIKE, TRUSTED, Alignment
from deblurkit.data.checking.discover import FoundSet
from deblurkit.data.checking.duplicates import repeated
from deblurkit.data.checking.pairs import Pair
from deblurkit.data.checking.response import verdict
from deblurkit.data.loader import describe
from deblurkit.errors import UserError

SOFTER = 0.9
"""Of the blurred image's gradient energy: a sharp image with less is the blurrier one."""
MISALIGNED_PX = 1.5
"""A longer shift is a finding. Uneven blur moves an aligned pair's centre of mass by up to 1 pixel."""
_SYSTEMATIC_PX = 0.75  # of the median shift of a set: random blur has no direction
_MIN_SYSTEMATIC = 5  # pairs
_PERCENTILES = {"min": 0, "p5": 5, "p25": 25, "median": 50, "p75": 75, "p95": 95, "max": 100}
_BIN_WIDTHS_DB = (0.5, 1, 2, 5, 10)
_MOST_BINS = 12


@dataclass
class Finding:
    """One thing found in a set.

    Attributes:
        kind: ``set`` (why it cannot be used), ``missing`` (it is not on this machine, and need not be), ``note`` (what
            it notes of itself), ``unreadable``, ``unequal``, ``empty``, ``identical``, ``swapped``, ``unlike``,
            ``misaligned``, ``shifted`` (all of a set), ``repeated`` or ``unchecked``.
        text: What was found, a line.
        fault: Whether training would refuse it.
        keys: The pairs that it is about; the first ones are to be looked at first.
    """

    kind: str
    text: str
    fault: bool = False
    keys: list[str] = field(default_factory=list)


def assess(found: FoundSet, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Returns what is to be said of one set, as it is written to JSON.

    Args:
        found: The set.
        pairs: Its pairs, measured; none where it could not be looked into.
    """
    findings = [*_of_the_set(found, pairs), *_of_reading(pairs), *_of_images(pairs)]
    findings += [Finding("note", note) for note in getattr(found.dataset, "notes", [])]  # verified by now
    flags: dict[str, list[str]] = {}
    for finding in findings:
        for key in finding.keys:
            flags.setdefault(key, []).append(finding.kind)
    distances = np.array([shift.distance for shift in _shifts(pairs).values()])
    response = verdict(pair.drift for pair in pairs if pair.drift and not pair.identical)
    return {
        "name": found.name,
        "split": found.split,
        "component": found.component,
        "facts": describe(found.dataset) if found.dataset is not None else {},
        "pairs": len(pairs),
        "orphans": found.orphans,
        "sizes": dict(Counter(f"{pair.size[0]} x {pair.size[1]}" for pair in pairs if pair.size).most_common()),
        "psnr": _psnr_figures([pair.psnr for pair in pairs if pair.psnr is not None]),
        "shift": {**_percentiles(distances), "above_1": int((distances > 1).sum()), "measured": len(distances)},
        "response": {"variant": response.variant, "share": response.share, "n": response.n, "text": str(response)},
        "findings": [vars(finding) for finding in findings],
        "images": [{**pair.figures(), "flags": flags.get(pair.key, [])} for pair in pairs],
    }


def _shifts(pairs: Sequence[Pair]) -> dict[str, Alignment]:
    """Returns the shifts that were measured and mean something, by key."""
    return {
        pair.key: pair.alignment
        for pair in pairs
        if pair.alignment and pair.alignment.likeness >= TRUSTED and not pair.identical
    }


def _of_the_set(found: FoundSet, pairs: Sequence[Pair]) -> list[Finding]:
    if found.missing:  # testing leaves it out
        return [Finding("missing", f"not looked into: {found.missing}")]
    if found.dataset is None or found.faults:
        return [Finding("set", line, fault=True) for line in found.faults]
    if not (hasattr(found.dataset, "keys") and hasattr(found.dataset, "read")):
        kind = type(found.dataset).__name__
        return [Finding("unchecked", f"not looked into: a {kind} has no keys() and read(index)")]
    if not pairs:
        return [Finding("empty", "it holds no images", fault=True)]
    try:
        if hasattr(found.dataset, "verify"):
            found.dataset.verify()
    except UserError as error:
        known = {pair.problem[1] for pair in pairs if pair.problem}
        new = [line for line in error.problems if line not in known]
        return [Finding("set", line, fault=True) for line in new if not (known and line.startswith("... and "))]
    return []


def _of_reading(pairs: Sequence[Pair]) -> list[Finding]:
    return [
        Finding(kind, pair.problem[1], fault=True, keys=[pair.key])
        for kind in ("unreadable", "unequal")
        for pair in pairs
        if pair.problem and pair.problem[0] == kind
    ]


def _of_images(pairs: Sequence[Pair]) -> list[Finding]:
    identical = [pair.key for pair in pairs if pair.identical]
    likeness = {pair.key: pair.alignment.likeness for pair in pairs if pair.alignment}
    unlike = sorted((key for key, found in likeness.items() if found < ALIKE), key=likeness.__getitem__)
    groups = repeated([(pair.key, pair.blurred_digest) for pair in pairs if pair.blurred_digest])
    copies = [key for keys in groups for key in keys]
    findings = [
        Finding("identical", f"{_count(identical)}: blurred and sharp are the same, pixel for pixel", keys=identical),
        _swapped(pairs),
        Finding(
            "unlike",
            f"{_count(unlike)}: blurred and sharp do not show the same, however they are shifted",
            keys=unlike,
        ),
        _misaligned(pairs),
        Finding(
            "repeated",
            f"{_count(copies)} have the blurred image of another pair, pixel for pixel",
            keys=copies,
        ),
    ]
    return [*_shifted(pairs), *(finding for finding in findings if finding.keys)]


def _swapped(pairs: Sequence[Pair]) -> Finding:
    ratios = {pair.key: pair.sharpness for pair in pairs if pair.sharpness is not None and not pair.identical}
    softer = sorted((key for key, ratio in ratios.items() if ratio < SOFTER), key=ratios.__getitem__)
    clear = len(softer) + sum(ratio > 1 / SOFTER for ratio in ratios.values())
    if 2 * len(softer) > clear:
        text = f"{len(softer)} of {clear} pairs: the sharp image is the softer one: blurred and sharp are swapped"
    else:
        text = f"{_count(softer)}: the sharp image is softer than the blurred one"
    return Finding("swapped", text, keys=softer)


def _misaligned(pairs: Sequence[Pair]) -> Finding:
    distances = {key: shift.distance for key, shift in _shifts(pairs).items()}
    far = sorted((key for key, distance in distances.items() if distance > MISALIGNED_PX), key=distances.__getitem__)
    worst = f"; the worst by {distances[far[-1]]:.1f}" if far else ""
    text = f"{_count(far)}: blurred is shifted against sharp by more than {MISALIGNED_PX} pixels{worst}"
    return Finding("misaligned", text, keys=far[::-1])


def _shifted(pairs: Sequence[Pair]) -> list[Finding]:
    shifts = [(shift.x, shift.y) for shift in _shifts(pairs).values()]
    if len(shifts) < _MIN_SYSTEMATIC:
        return []
    x, y = np.median(shifts, axis=0)
    if np.hypot(x, y) < _SYSTEMATIC_PX:
        return []
    text = f"the whole set is shifted: blurred lies {x:+.1f} pixels to the right of sharp and {y:+.1f} below (medians)"
    return [Finding("shifted", text)]


def _psnr_figures(values: list[float]) -> dict[str, Any]:
    if not values:
        return {}
    low, high = min(values), max(values)
    width = next((width for width in _BIN_WIDTHS_DB if high - low < width * (_MOST_BINS - 1)), _BIN_WIDTHS_DB[-1])
    first = np.floor(low / width) * width
    edges = first + width * np.arange(int((high - first) // width) + 2)
    counts, _ = np.histogram(values, edges)
    figures: dict[str, Any] = {"mean": float(np.mean(values)), **_percentiles(np.array(values))}
    return {**figures, "histogram": {"edges": edges.tolist(), "counts": counts.tolist()}}


def _percentiles(values: np.ndarray) -> dict[str, float]:
    return {name: float(np.percentile(values, at)) for name, at in _PERCENTILES.items()} if len(values) else {}


def _count(things: Sequence[Any]) -> str:
    return f"{len(things)} pair{'' if len(things) == 1 else 's'}"
