"""Figures and findings of a whole set, from its measured pairs.

A *fault* is what training would refuse: images without partner, unreadable, of unequal sizes. A *warning* is for the
user to judge.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deblurkit.contracts import dataset_traits
from deblurkit.data.checking.alignment import ALIKE, TRUSTED, Alignment
from deblurkit.data.checking.discover import FoundSet
from deblurkit.data.checking.duplicates import repeated
from deblurkit.data.checking.pairs import MeasuredPair
from deblurkit.data.checking.response import Drift, verdict
from deblurkit.data.checking.results import Finding, Percentiles, PsnrFigures, SetResult, ShiftFigures
from deblurkit.data.loader import describe
from deblurkit.errors import UserError

SOFTER = 0.9
"""Of the blurred image's gradient energy: a sharp image with less is the blurrier one."""
MISALIGNED_PX = 1.5
"""A longer shift is a finding. Uneven blur moves an aligned pair's centre of mass by up to 1 pixel."""
_SYSTEMATIC_PX = 0.75  # of the median shift of a set: random blur has no direction
_MIN_SYSTEMATIC = 5  # pairs
_BIN_WIDTHS_DB = (0.5, 1, 2, 5, 10)
_MOST_BINS = 12


def assess(found: FoundSet, pairs: Sequence[MeasuredPair]) -> SetResult:
    """Returns everything that is known of one set and its measured pairs, of which there may be none."""
    scores: list[float] = []
    drifts: list[Drift] = []
    shifts: dict[str, Alignment] = {}
    unread: list[Finding] = []
    for pair in pairs:
        if pair.problem:
            unread.append(Finding(pair.problem.kind, pair.problem.text, fault=True, keys=[pair.key]))
        if pair.psnr is not None:
            scores.append(pair.psnr)
        if pair.identical:  # neither its shift nor its drift says anything of the set's blur
            continue
        if pair.drift:
            drifts.append(pair.drift)
        if pair.alignment and pair.alignment.likeness >= TRUSTED:
            shifts[pair.key] = pair.alignment
    unread.sort(key=lambda finding: finding.kind, reverse=True)  # "unreadable" first, then "unequal"
    findings = [*_of_the_set(found, pairs), *unread, *_of_the_shift(shifts), *_of_images(pairs, shifts)]
    # Read last: verify, which is called above, may add to them.
    for note in dataset_traits(found.dataset).notes:
        findings.append(Finding("note", note))
    distances = np.array([shift.distance for shift in shifts.values()])
    return SetResult(
        found=found,
        pairs=pairs,
        facts=describe(found.dataset) if found.dataset is not None else {},
        psnr=_psnr_figures(scores),
        shifts=ShiftFigures(
            _percentiles(distances) if len(distances) else None, int((distances > 1).sum()), len(distances)
        ),
        response=verdict(drifts),
        findings=findings,
    )


def _of_the_set(found: FoundSet, pairs: Sequence[MeasuredPair]) -> list[Finding]:
    if found.missing:  # testing leaves it out
        return [Finding("missing", f"not looked into: {found.missing}")]
    if found.dataset is None or found.faults:
        return [Finding("set", line, fault=True) for line in found.faults]
    traits = dataset_traits(found.dataset)
    if traits.keys is None or traits.read is None:
        kind = type(found.dataset).__name__
        return [Finding("unchecked", f"not looked into: a {kind} has no keys() and read(index)")]
    if not pairs:
        return [Finding("empty", "it holds no images", fault=True)]
    findings = []
    try:
        if traits.verify is not None:
            traits.verify()
    except UserError as error:
        # The pairs that cannot be read have findings of their own; verify names them too, and says how many it left
        # out, which is then of the same kind.
        known = {pair.problem.text for pair in pairs if pair.problem}
        for line in error.problems:
            if line not in known and not (known and line.startswith("... and ")):
                findings.append(Finding("set", line, fault=True))
    return findings


def _of_images(pairs: Sequence[MeasuredPair], shifts: dict[str, Alignment]) -> list[Finding]:
    identical: list[str] = []
    likeness: dict[str, float] = {}
    digests: list[tuple[str, str]] = []
    for pair in pairs:
        if pair.identical:
            identical.append(pair.key)
        if pair.alignment and pair.alignment.likeness < ALIKE:
            likeness[pair.key] = pair.alignment.likeness
        if pair.blurred_digest:
            digests.append((pair.key, pair.blurred_digest))
    unlike = sorted(likeness, key=likeness.__getitem__)
    copies: list[str] = []
    for keys in repeated(digests):
        copies += keys
    far = [key for key, shift in shifts.items() if shift.distance > MISALIGNED_PX]
    far.sort(key=lambda key: shifts[key].distance)
    far.reverse()
    worst = f"; the worst by {shifts[far[0]].distance:.1f}" if far else ""
    misaligned_text = f"blurred is shifted against sharp by more than {MISALIGNED_PX} pixels{worst}"
    unlike_text = "blurred and sharp do not show the same, however they are shifted"
    findings = [
        Finding("identical", f"{_count(identical)}: blurred and sharp are the same, pixel for pixel", keys=identical),
        _swapped(pairs),
        Finding("unlike", f"{_count(unlike)}: {unlike_text}", keys=unlike),
        Finding("misaligned", f"{_count(far)}: {misaligned_text}", keys=far),
        Finding("repeated", f"{_count(copies)} have the blurred image of another pair, pixel for pixel", keys=copies),
    ]
    return [finding for finding in findings if finding.keys]


def _swapped(pairs: Sequence[MeasuredPair]) -> Finding:
    ratios: dict[str, float] = {}
    clear = 0  # pairs that differ enough to say which image is the softer one
    for pair in pairs:
        if pair.sharpness is None or pair.identical:
            continue
        if pair.sharpness < SOFTER:
            ratios[pair.key] = pair.sharpness
        clear += not SOFTER <= pair.sharpness <= 1 / SOFTER
    softer = sorted(ratios, key=ratios.__getitem__)
    # In most of the pairs: then the folders are swapped, not single files.
    if 2 * len(softer) > clear:
        text = f"{len(softer)} of {clear} pairs: the sharp image is the softer one: blurred and sharp are swapped"
    else:
        text = f"{_count(softer)}: the sharp image is softer than the blurred one"
    return Finding("swapped", text, keys=softer)


def _of_the_shift(shifts: dict[str, Alignment]) -> list[Finding]:
    """Finds a shift of the set as a whole, which a crop or a calibration makes, not the motion."""
    if len(shifts) < _MIN_SYSTEMATIC:
        return []
    x, y = np.median([(shift.x, shift.y) for shift in shifts.values()], axis=0)
    if np.hypot(x, y) < _SYSTEMATIC_PX:
        return []
    text = f"the whole set is shifted: blurred lies {x:+.1f} pixels to the right of sharp and {y:+.1f} below (medians)"
    return [Finding("shifted", text)]


def _psnr_figures(values: list[float]) -> PsnrFigures | None:
    if not values:
        return None
    low, high = min(values), max(values)
    # The narrowest bins that are not too many.
    width = next((width for width in _BIN_WIDTHS_DB if high - low < width * (_MOST_BINS - 1)), _BIN_WIDTHS_DB[-1])
    first = np.floor(low / width) * width
    edges = first + width * np.arange(int((high - first) // width) + 2)
    counts, _ = np.histogram(values, edges)
    return PsnrFigures(float(np.mean(values)), _percentiles(np.array(values)), edges.tolist(), counts.tolist())


def _percentiles(values: np.ndarray) -> Percentiles:
    return Percentiles(*np.percentile(values, (0, 5, 25, 50, 75, 95, 100)).tolist())


def _count(keys: Sequence[str]) -> str:
    return f"{len(keys)} pair{'s' * (len(keys) != 1)}"
