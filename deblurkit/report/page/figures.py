"""Which plots the page shows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from deblurkit.report.model import Candidate, PageContent
from deblurkit.report.page.numbers import datasets_of, minus, scale_of
from deblurkit.report.plots import Plot, histogram, intervals, parts, scatter
from deblurkit.report.scores import ImageScore

_BLURRED = "blurred"
_MOST_METRICS = 2  # whose gains are plotted; the tables have all
_PARTS = ("decode", "network", "metrics")


def dataset_figures(content: PageContent) -> dict[str, list[Plot]]:
    """Returns each data set's plots: gains, scores before and after, and gain against blur, by its first metric."""
    return {name: list(_figures(content, name)) for name in datasets_of(content)}


def difference_figures(content: PageContent) -> list[Plot]:
    """Returns the paired differences with their intervals, a plot for each protocol, in its first metric."""
    compared = (content.comparison or {}).get("datasets", {})
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, entry in compared.items():
        found.setdefault(entry["protocol"]["id"], {})[name] = entry
    plots = [_differences(content, protocol, sets) for protocol, sets in found.items()]
    return [plot for plot in plots if plot is not None]


def _differences(content: PageContent, protocol: str, sets: Mapping[str, Mapping[str, Any]]) -> Plot | None:
    metric = next((metric for name in sets for metric in _metrics(content, name)), "")
    rows = {}
    for name, entry in sets.items():
        for pair in entry["pairs"]:
            title = minus(pair["first"], pair["second"])
            value = pair["difference"]
            if pair["metric"] == metric and value is not None:  # a mean over finite differences
                rows[title if len(datasets_of(content)) == 1 else f"{name}: {title}"] = (value, pair["interval"])
    label = _axis(content, metric, f"difference in {metric}")
    return intervals(f"Mean differences and their 95 % intervals, {protocol}", label, rows) if rows else None


def speed_figures(content: PageContent) -> list[Plot]:
    """Returns the plots of time: seconds by part, and how the time of an image varies."""
    names = datasets_of(content)
    taken = {
        _bar(content, candidate, name): {
            part: float(entry["seconds"][part]) for part in _PARTS if entry["seconds"].get(part)
        }
        for name in names
        for candidate in content.candidates
        for entry in [candidate.metrics["datasets"][name]]
        if entry.get("seconds")
    }
    made = [parts("Seconds by part", taken)] if any(taken.values()) else []
    for name in names:
        series = {
            own: [row.seconds for row in candidate.rows[name] if row.seconds is not None]
            for own, candidate in _named(content).items()
        }
        if any(len(values) > 1 for values in series.values()):
            made.append(histogram(f"Time of an image: {name}", "seconds an image", series))
    return made


def _bar(content: PageContent, candidate: Candidate, name: str) -> str:
    if len(content.candidates) == 1:
        return name
    return candidate.name if len(datasets_of(content)) == 1 else f"{name}: {candidate.name}"


def _figures(content: PageContent, name: str) -> Iterator[Plot]:
    metrics = _metrics(content, name)
    rows = {own: candidate.rows[name] for own, candidate in _named(content).items()}
    for metric in metrics[:_MOST_METRICS]:
        gains = {own: _gains(images, metric) for own, images in rows.items()}
        if any(gains.values()):
            yield histogram(f"Gain in {metric}", _axis(content, metric, f"gain in {metric}"), gains)
    for metric in metrics[:1]:
        yield from _scores_and_blur(content, metric, rows)


def _scores_and_blur(content: PageContent, metric: str, rows: Mapping[str, Sequence[ImageScore]]) -> Iterator[Plot]:
    first = next(iter(rows.values()))
    before = [row.blurred[metric] for row in first if row.blurred and metric in row.blurred]
    after = {
        own: [row.restored[metric] for row in images if row.restored and metric in row.restored]
        for own, images in rows.items()
    }
    series = {_BLURRED: before, **_renamed(after)} if before else after
    yield histogram(
        f"Distribution of {metric}", _axis(content, metric, metric), series, blurred=_BLURRED if before else None
    )
    keys = [row.key for row in first if row.gain(metric) is not None]
    if keys:
        yield _gain_against_blur(content, metric, rows, keys)


def _gain_against_blur(
    content: PageContent, metric: str, rows: Mapping[str, Sequence[ImageScore]], keys: Sequence[str]
) -> Plot:
    by_key = {own: {row.key: row for row in images} for own, images in rows.items()}
    first = next(iter(by_key.values()))
    blurred = [(first[key].blurred or {})[metric] for key in keys]
    series = {own: [_gain(images.get(key), metric) for key in keys] for own, images in by_key.items()}
    labels = (_axis(content, metric, f"{metric} of the blurred image"), _axis(content, metric, f"gain in {metric}"))
    return scatter("Gain against blur", labels, blurred, series)


def _named(content: PageContent) -> dict[str, Candidate]:
    """Returns the candidates by what they are called in legends; one alone needs no name."""
    if len(content.candidates) == 1:
        return {"restored": content.candidates[0]}
    return {candidate.name: candidate for candidate in content.candidates}


def _renamed(series: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """Keeps a candidate that is called as the blurred input apart from it."""
    return {f"{own} (candidate)" if own == _BLURRED else own: values for own, values in series.items()}


def _gains(rows: Sequence[ImageScore], metric: str) -> list[float]:
    return [gain for row in rows if (gain := row.gain(metric)) is not None]


def _gain(row: ImageScore | None, metric: str) -> float:
    gain = None if row is None else row.gain(metric)
    return math.nan if gain is None else gain


def _metrics(content: PageContent, name: str) -> list[str]:
    rows = (row for candidate in content.candidates for row in candidate.rows[name])
    return list(dict.fromkeys(metric for row in rows for metric in row.restored or {}))


def _axis(content: PageContent, metric: str, label: str) -> str:
    known = scale_of(content, metric).unit
    return f"{label}, {known}" if known else label
