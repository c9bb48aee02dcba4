"""Candidates side by side: what is compared, on which images, and how sure it is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

from deblurkit.errors import UserError
from deblurkit.evaluation.statistics import interval, paired
from deblurkit.report.ranking import scores_by_key
from deblurkit.results import (
    CandidateResult,
    ComparedCandidate,
    ComparedDataset,
    Comparison,
    DatasetResult,
    ImageScore,
    Interval,
    Pair,
    ProtocolReference,
    ScoreKind,
)

ScoredImages = Mapping[str, ImageScore]
"""A candidate's scored images of one data set, by key."""


def compare(candidates: Sequence[CandidateResult]) -> Comparison:
    """Compares candidates on the data sets that all of them have.

    A metric's means are over the images on which all candidates have it, so that they compare like with like; a pair
    is compared on the images on which both have it. ``difference`` is first - second, whichever direction is better.
    The tests of several pairs and metrics are not corrected for their number.

    Args:
        candidates: One or more, each data set scored by one protocol; names differ.

    Raises:
        UserError: A data set was scored by different protocols.
    """
    first = candidates[0]
    shared = list(first.rows)
    for candidate in candidates:
        shared = [name for name in shared if name in candidate.rows]
    _check_protocols(candidates, shared)
    kinds: dict[str, ScoreKind] = {}
    described: dict[str, ComparedCandidate] = {}
    for candidate in candidates:
        kinds |= candidate.metrics
        described[candidate.name] = ComparedCandidate(
            metrics=f"{candidate.name}/metrics.json",
            inference={name: entry.inference for name, entry in candidate.datasets.items()},
            weights=candidate.weights,
            restored=candidate.restored,
        )
    datasets: dict[str, ComparedDataset] = {}
    notes = _notes(candidates)
    for name in shared:
        scored: dict[str, ScoredImages] = {}
        for candidate in candidates:
            scored[candidate.name] = {row.key: row for row in candidate.rows[name] if row.restored}
        # By key and not by place: folders may hold fewer images, or others.
        common = list(scored[first.name])
        for images in scored.values():
            common = [key for key in common if key in images]
        keys_by_metric = _keys_by_metric(scored, common)
        datasets[name] = _compared([each.datasets[name] for each in candidates], scored, len(common), keys_by_metric)
        notes += _dataset_notes(name, scored, common, keys_by_metric)
    return Comparison(kinds, described, datasets, notes)


def _check_protocols(candidates: Sequence[CandidateResult], shared: Sequence[str]) -> None:
    first, *others = candidates
    problems = []
    for other in others:
        for name in shared:
            wanted, found = first.datasets[name].protocol, other.datasets[name].protocol
            if found != wanted:  # the digest too: a changed protocol of the same name scores in another way
                problems.append(
                    f"{name}: {other.name} was scored by {_exactly(found)}, but {first.name} by {_exactly(wanted)}: "
                    "not comparable"
                )
    if problems:
        raise UserError(*problems)


def _exactly(protocol: ProtocolReference) -> str:
    return protocol.title + (f" (digest {protocol.digest})" if protocol.digest is not None else "")


def _keys_by_metric(scored: Mapping[str, ScoredImages], common: Sequence[str]) -> dict[str, list[str]]:
    """Returns, of each metric that any candidate has, the images on which all candidates have it."""
    found: dict[str, list[str]] = {}
    for key in common:
        sides = [images[key].restored or {} for images in scored.values()]
        for metric in itertools.chain.from_iterable(sides):
            keys = found.setdefault(metric, [])
            # A metric comes up once for each candidate that has it.
            if all(metric in side for side in sides) and keys[-1:] != [key]:
                keys.append(key)
    return found


def _compared(
    entries: Sequence[DatasetResult],
    scored: Mapping[str, ScoredImages],
    common: int,
    keys_by_metric: Mapping[str, Sequence[str]],
) -> ComparedDataset:
    """Compares the candidates on one data set; ``entries`` and ``scored`` are in one order."""
    first = next(iter(scored.values()))
    blurred: dict[str, float] = {}
    restored: dict[str, dict[str, float]] = {}
    intervals: dict[str, dict[str, Interval]] = {}
    for name in scored:
        restored[name], intervals[name] = {}, {}
    for metric, keys in keys_by_metric.items():
        if not keys:
            continue
        before = []  # not every metric that an image has once restored need be defined for it when blurred
        for key in keys:
            value = (first[key].blurred or {}).get(metric)
            if value is not None:
                before.append(value)
        if before:
            blurred[metric] = math.fsum(before) / len(before)
        for entry, (name, images) in zip(entries, scored.items(), strict=True):
            restored[name][metric], ends = _mean(entry, images, metric, keys)
            if ends is not None:
                intervals[name][metric] = ends
    # Pairs need no image that the other candidates have too, so they may be of more images than the means.
    pairs: list[Pair] = []
    for one, other in itertools.combinations(scored, 2):
        pairs += _pairs(one, other, scored)
    return ComparedDataset(entries[0].protocol, common, blurred or None, restored, intervals, pairs)


def _mean(
    entry: DatasetResult, images: ScoredImages, metric: str, keys: Sequence[str]
) -> tuple[float, Interval | None]:
    """Returns a candidate's mean over ``keys`` and its interval: its own report's where that is over the same images.

    Its own protocol may average in another way than over images, and its interval need not be drawn again.
    """
    values = scores_by_key(list(images.values()), metric)
    if len(values) == len(keys) and entry.restored is not None:
        return entry.restored[metric], entry.intervals.restored.get(metric)
    chosen = [values[key] for key in keys]
    return math.fsum(chosen) / len(chosen), interval(chosen)


def _pairs(one: str, other: str, scored: Mapping[str, ScoredImages]) -> Iterator[Pair]:
    """Compares two candidates on the images that both have, metric by metric."""
    values: dict[str, tuple[list[float], list[float]]] = {}
    for key, row in scored[one].items():
        if key not in scored[other]:
            continue
        theirs = scored[other][key].restored or {}
        for metric, value in (row.restored or {}).items():
            if metric in theirs:
                first, second = values.setdefault(metric, ([], []))
                first.append(value)
                second.append(theirs[metric])
    for metric, (first, second) in values.items():
        yield Pair(one, other, metric, paired(first, second))


def _notes(candidates: Sequence[CandidateResult]) -> list[str]:
    """Returns what the candidates' own reports say, once where all say it, and in what they differ."""
    first, *others = candidates
    notes = list(first.notes)
    for other in others:
        notes = [note for note in notes if note in other.notes]
    for candidate in candidates:
        notes += [f"{candidate.name}: {note}" for note in candidate.notes if note not in notes]
    names: dict[str, None] = {}
    for candidate in candidates:
        names |= dict.fromkeys(candidate.rows)
    for name in names:
        modes: dict[str, str | None] = {}
        missing = []
        for candidate in candidates:
            if name in candidate.rows:
                modes[candidate.name] = candidate.datasets[name].inference
            else:
                missing.append(candidate.name)
        if len(set(modes.values())) > 1:
            listed = ", ".join(f"{own} {mode or 'restored elsewhere'}" for own, mode in modes.items())
            notes.append(f"{name}: inference modes differ: {listed}")
        if missing:
            notes.append(f"{name}: not compared, {', '.join(missing)} did not restore it")
    return notes


def _dataset_notes(
    name: str, scored: Mapping[str, ScoredImages], common: Sequence[str], keys_by_metric: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    for candidate, images in scored.items():
        if len(images) > len(common):
            yield f"{name}: {candidate} has {len(images)} scored images, compared are the {len(common)} that all have"
    for metric, keys in keys_by_metric.items():
        if len(scored) == 1:
            break  # nothing is compared: the means are the report's own
        if not keys:
            yield f"{name}: {metric} is not compared: no image has it of all candidates"
        elif len(keys) < len(common):
            yield f"{name}: {metric} is compared on {len(keys)} of {len(common)} images: those on which all have it"
    # The same name need not be the same image: folders of two data sets may look alike.
    first, *others = scored.values()
    if any(other[key].blurred != first[key].blurred for other in others for key in common):
        yield f"{name}: the candidates' blurred inputs score differently: they are not the same images"
