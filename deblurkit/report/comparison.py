"""Several candidates side by side: the content of ``comparison.json`` and its page in Markdown."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deblurkit.errors import UserError
from deblurkit.report.model import Candidate
from deblurkit.report.scores import ImageScore
from deblurkit.report.scorings import Scoring, scorings, set_titles, with_version
from deblurkit.report.statistics import INTERVALS, interval, paired
from deblurkit.report.tables import NOTHING, Scale, Table, Value, p_value, published, render, scale

Scored = Mapping[str, ImageScore]
"""A candidate's scored images of one data set, by key."""


def comparison(candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Returns the content of ``comparison.json``.

    A metric's means are over the images on which all candidates have it, so that they compare like with like; a pair
    is compared on the images on which both have it. ``difference`` is first - second, whichever direction is better.
    The tests of several pairs and metrics are not corrected for their number.

    Args:
        candidates: One or more, each data set scored by one protocol; names differ.

    Raises:
        UserError: A data set was scored by different protocols.
    """
    first = candidates[0]
    shared = [name for name in first.rows if all(name in candidate.rows for candidate in candidates)]
    _same_protocols(candidates, shared)
    datasets, notes = {}, _notes(candidates)
    for name in shared:
        scored = {candidate.name: _scored(candidate.rows[name]) for candidate in candidates}
        common = [key for key in scored[first.name] if all(key in images for images in scored.values())]
        datasets[name] = _figures(name, candidates, scored, common)
        notes += _dataset_notes(name, scored, common)
    return {
        "metrics": {name: facts for candidate in candidates for name, facts in candidate.metrics["metrics"].items()},
        "candidates": {candidate.name: _described(candidate) for candidate in candidates},
        "datasets": datasets,
        "notes": notes,
    }


def comparison_tables(compared: Mapping[str, Any]) -> list[Table]:
    """Returns a table of scores for each data set and one of all differences, from ``comparison.json``'s content."""
    scores = [_scores(name, entry, compared) for name, entry in compared["datasets"].items() if entry["images"]]
    titles = set_titles(compared["datasets"])
    rows = [
        _difference(titles[name], pair, compared)
        for name, entry in compared["datasets"].items()
        for pair in entry["pairs"]
    ]
    columns = ["data set", "first - second", "score", "images", "difference", "p"]
    return [*scores, *([Table("Differences", columns, rows, texts=3)] if rows else [])]


def comparison_markdown(
    compared: Mapping[str, Any], protocol: str, command: str, paper: Mapping[str, Any] | None = None
) -> str:
    """Returns ``comparison.md``.

    Args:
        compared: The content of ``comparison.json``.
        protocol: The protocol explained, several lines.
        command: What to run to get these numbers again.
        paper: See :func:`deblurkit.report.tables.published`.
    """
    pairs = [pair for entry in compared["datasets"].values() for pair in entry["pairs"]]
    content = {
        "compared": compared,
        "scorings": scorings_compared(compared),
        "tables": comparison_tables(compared),
        "about_intervals": INTERVALS,
        "tests": list(dict.fromkeys(pair["test"] for pair in pairs)),
        "tested": sum(pair["p_value"] is not None for pair in pairs),
        "paper": paper,
        "published": published(paper),
        "protocol": protocol,
        "command": command,
    }
    return render("comparison.md.j2", content)


def scorings_compared(compared: Mapping[str, Any]) -> list[Scoring]:
    """Returns the protocols of ``comparison.json``'s content."""
    described = compared["candidates"].values()
    modes = {name: [facts["inference"][name] for facts in described] for name in compared["datasets"]}
    return scorings(compared["datasets"], modes)


def _same_protocols(candidates: Sequence[Candidate], shared: Sequence[str]) -> None:
    first, *others = candidates
    problems = [
        f"{name}: {other.name} was scored by {_protocol(other, name)}, but {first.name} by {_protocol(first, name)}: "
        "not comparable"
        for other in others
        for name in shared
        if other.metrics["datasets"][name]["protocol"] != first.metrics["datasets"][name]["protocol"]
    ]
    if problems:
        raise UserError(*problems)


def _protocol(candidate: Candidate, name: str) -> str:
    protocol = candidate.metrics["datasets"][name]["protocol"]
    return with_version(protocol) + (f" (digest {protocol['digest']})" if "digest" in protocol else "")


def _described(candidate: Candidate) -> dict[str, Any]:
    """Returns what ``comparison.json`` says of a candidate, and where its own figures are."""
    metrics = candidate.metrics
    return {
        "metrics": f"{candidate.name}/metrics.json",
        "inference": {name: entry["inference"] for name, entry in metrics["datasets"].items()},
        "weights": metrics.get("weights"),
        "restored": metrics.get("restored"),
    }


def _scored(rows: Sequence[ImageScore]) -> Scored:
    return {row.key: row for row in rows if row.restored}


def _shared(scored: Mapping[str, Scored], common: Sequence[str]) -> dict[str, list[str]]:
    """Returns, of each metric that any candidate has, the images on which all candidates have it."""
    sides = {key: [images[key].restored or {} for images in scored.values()] for key in common}
    metrics = dict.fromkeys(name for listed in sides.values() for side in listed for name in side)
    return {name: [key for key, listed in sides.items() if all(name in side for side in listed)] for name in metrics}


def _figures(
    name: str, candidates: Sequence[Candidate], scored: Mapping[str, Scored], common: Sequence[str]
) -> dict[str, Any]:
    """Returns one data set's means, intervals and pairs."""
    shared = {metric: keys for metric, keys in _shared(scored, common).items() if keys}
    restored, ends = {}, {}
    for candidate in candidates:
        images, entry = scored[candidate.name], candidate.metrics["datasets"][name]
        found = {metric: _mean(entry, images, metric, keys) for metric, keys in shared.items()}
        restored[candidate.name] = {metric: mean for metric, (mean, _) in found.items()}
        ends[candidate.name] = {metric: bounds for metric, (_, bounds) in found.items() if bounds is not None}
    pairs = [
        {"first": one, "second": other, "metric": metric, **found}
        for one, other in itertools.combinations(scored, 2)
        for metric, found in _pair(scored[one], scored[other])
    ]
    return {
        "protocol": candidates[0].metrics["datasets"][name]["protocol"],
        "images": len(common),
        "blurred": _blurred(scored[candidates[0].name], shared) or None,
        "restored": restored,
        "intervals": ends,
        "pairs": pairs,
    }


def _mean(
    entry: Mapping[str, Any], images: Scored, metric: str, keys: Sequence[str]
) -> tuple[Value, Sequence[float] | None]:
    """Return a candidate's mean over ``keys`` and its interval: its own report's where that is over the same images."""
    values = {key: scores[metric] for key, row in images.items() if metric in (scores := row.restored or {})}
    if len(values) == len(keys):
        return entry["restored"][metric], entry["intervals"]["restored"].get(metric)
    chosen = [values[key] for key in keys]
    return math.fsum(chosen) / len(chosen), interval(chosen)


def _blurred(images: Scored, shared: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Returns the blurred images' means over the images of each metric that have it."""
    columns = {
        metric: [scores[metric] for key in keys if metric in (scores := images[key].blurred or {})]
        for metric, keys in shared.items()
    }
    return {metric: math.fsum(values) / len(values) for metric, values in columns.items() if values}


def _pair(first: Scored, second: Scored) -> Iterator[tuple[str, dict[str, Any]]]:
    """Compares two candidates on the images that both have, metric by metric."""
    sides = [(first[key].restored or {}, second[key].restored or {}) for key in first if key in second]
    for metric in dict.fromkeys(name for one, other in sides for name in one if name in other):
        known = [(one[metric], other[metric]) for one, other in sides if metric in one and metric in other]
        yield metric, dataclasses.asdict(paired(*zip(*known, strict=True)))


def _notes(candidates: Sequence[Candidate]) -> list[str]:
    """Returns what the candidates' own reports say, once where all say it, and in what they differ."""
    first, *others = candidates
    notes = [note for note in first.metrics["notes"] if all(note in other.metrics["notes"] for other in others)]
    for candidate in candidates:
        notes += [f"{candidate.name}: {note}" for note in candidate.metrics["notes"] if note not in notes]
    for name in dict.fromkeys(name for candidate in candidates for name in candidate.rows):
        modes = {each.name: each.metrics["datasets"][name]["inference"] for each in candidates if name in each.rows}
        if len(set(modes.values())) > 1:
            listed = ", ".join(f"{own} {mode or 'restored elsewhere'}" for own, mode in modes.items())
            notes.append(f"{name}: inference modes differ: {listed}")
        missing = [candidate.name for candidate in candidates if name not in candidate.rows]
        notes += [f"{name}: not compared, {', '.join(missing)} did not restore it"] if missing else []
    return notes


def _dataset_notes(name: str, scored: Mapping[str, Scored], common: Sequence[str]) -> Iterator[str]:
    for candidate, images in scored.items():
        if len(images) > len(common):
            yield f"{name}: {candidate} has {len(images)} scored images, compared are the {len(common)} that all have"
    for metric, keys in _shared(scored, common).items() if len(scored) > 1 else ():
        if not keys:
            yield f"{name}: {metric} is not compared: no image has it of all candidates"
        elif len(keys) < len(common):
            yield f"{name}: {metric} is compared on {len(keys)} of {len(common)} images: those on which all have it"
    first, *others = scored.values()
    if any(other[key].blurred != first[key].blurred for other in others for key in common):
        yield f"{name}: the candidates' blurred inputs score differently: they are not the same images"


def _scores(name: str, entry: Mapping[str, Any], compared: Mapping[str, Any]) -> Table:
    metrics = list(dict.fromkeys(metric for means in entry["restored"].values() for metric in means or {}))
    scales = [scale(metric, compared["metrics"]) for metric in metrics]
    modes = {candidate: facts["inference"][name] or NOTHING for candidate, facts in compared["candidates"].items()}
    known = set(modes.values()) != {NOTHING}
    blurred = [each.write((entry["blurred"] or {}).get(each.name)) for each in scales]
    rows = [["blurred", *([NOTHING] if known else []), *blurred]] if entry["blurred"] else []
    for candidate, means in entry["restored"].items():
        ends = entry["intervals"][candidate]
        cells = [each.with_interval((means or {}).get(each.name), ends.get(each.name)) for each in scales]
        rows.append([candidate, *([modes[candidate]] if known else []), *cells])
    columns = ["candidate", *(["inference"] if known else []), *(each.title for each in scales)]
    title = f"{name}, {entry['images']} images, {with_version(entry['protocol'])}"
    return Table(title, columns, rows, texts=2 if known else 1)


def _difference(dataset: str, pair: Mapping[str, Any], compared: Mapping[str, Any]) -> list[str]:
    written: Scale = scale(pair["metric"], compared["metrics"])
    images = f"{pair['images']} ({pair['excluded']} left out)" if pair["excluded"] else str(pair["images"])
    value = written.with_interval(pair["difference"], pair["interval"], signed=True)
    return [dataset, f"{pair['first']} - {pair['second']}", written.title, images, value, p_value(pair["p_value"])]
