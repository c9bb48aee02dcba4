"""Which plots the page shows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from deblurkit.report.model import PageContent
from deblurkit.report.page.embedded import restored_metrics
from deblurkit.report.page.numbers import minus, scale_of
from deblurkit.report.plots import Plot, histogram, intervals, parts, scatter
from deblurkit.report.ranking import scores_by_key
from deblurkit.results import ImageScore, Interval

_BLURRED = "blurred"
_MOST_METRICS = 2  # whose gains are plotted; the tables have all

Series = dict[str, Sequence[ImageScore]]
"""One data set's images by what their candidate is called in legends."""


def dataset_figures(content: PageContent) -> dict[str, list[Plot]]:
    """Returns each data set's plots: gains, scores before and after, and gain against blur, by its first metric."""
    return {name: list(_figures(content, name)) for name in content.datasets()}


def difference_figures(content: PageContent) -> list[Plot]:
    """Returns the paired differences with their intervals, a plot for each protocol, in its first metric."""
    sets_of: dict[str, list[str]] = {}
    for name, entry in content.comparison.datasets.items():
        sets_of.setdefault(entry.protocol.id, []).append(name)
    plots = []
    for protocol, sets in sets_of.items():
        metrics: list[str] = []
        for name in sets:
            metrics += restored_metrics(content, name)
        metric = next(iter(metrics), "")
        rows = _differences(content, sets, metric)
        if rows:
            label = _axis(content, metric, f"difference in {metric}")
            plots.append(intervals(f"Mean differences and their 95 % intervals, {protocol}", label, rows))
    return plots


def _differences(content: PageContent, sets: Sequence[str], metric: str) -> dict[str, tuple[float, Interval | None]]:
    """Returns the mean differences in one metric, with their intervals, by what a plot calls them."""
    rows = {}
    for name in sets:
        for pair in content.comparison.datasets[name].pairs:
            title, mean = minus(pair.first, pair.second), pair.result.difference
            if len(content.datasets()) > 1:
                title = f"{name}: {title}"
            if pair.metric == metric and mean is not None:  # a mean over finite differences
                rows[title] = (mean, pair.result.interval)
    return rows


def speed_figures(content: PageContent) -> list[Plot]:
    """Returns the plots of time: seconds by part, and how the time of an image varies."""
    taken: dict[str, dict[str, float]] = {}
    for name in content.datasets():
        for candidate in content.candidates:
            spent = candidate.datasets[name].seconds
            bar = taken[_bar(content, candidate.name, name)] = {}
            for part, seconds in (("decode", spent.decode), ("network", spent.network), ("metrics", spent.metrics)):
                if seconds:
                    bar[part] = seconds
    made = [parts("Seconds by part", taken)] if any(taken.values()) else []
    for name in content.datasets():
        series = {}
        for own, rows in _series(content, name).items():
            series[own] = [row.seconds for row in rows if row.seconds is not None]
        if any(len(values) > 1 for values in series.values()):
            made.append(histogram(f"Time of an image: {name}", "seconds an image", series))
    return made


def _bar(content: PageContent, candidate: str, name: str) -> str:
    if not content.several:
        return name
    return candidate if len(content.datasets()) == 1 else f"{name}: {candidate}"


def _figures(content: PageContent, name: str) -> Iterator[Plot]:
    metrics, series = restored_metrics(content, name), _series(content, name)
    for metric in metrics[:_MOST_METRICS]:
        gains = {own: _gains(rows, metric) for own, rows in series.items()}
        if any(gains.values()):
            yield histogram(f"Gain in {metric}", _axis(content, metric, f"gain in {metric}"), gains)
    for metric in metrics[:1]:
        yield _scores(content, metric, series)
        first = next(iter(series.values()))
        if _gains(first, metric):
            yield _gain_against_blur(content, metric, series)


def _scores(content: PageContent, metric: str, series: Series) -> Plot:
    """Plots how the scores are distributed, before and after."""
    first = next(iter(series.values()))
    before = [row.blurred[metric] for row in first if row.blurred and metric in row.blurred]
    shown = {_BLURRED: before} if before else {}
    for own, rows in series.items():
        # A candidate may be called as the blurred input is.
        title = f"{own} (candidate)" if before and own == _BLURRED else own
        shown[title] = list(scores_by_key(rows, metric).values())
    label = _axis(content, metric, metric)
    return histogram(f"Distribution of {metric}", label, shown, blurred=_BLURRED if before else None)


def _gain_against_blur(content: PageContent, metric: str, series: Series) -> Plot:
    """Plots a dot for each image of which the first candidate has a gain."""
    first = next(iter(series.values()))
    blurred = {}
    for row in first:
        if row.blurred is not None and row.gain(metric) is not None:
            blurred[row.key] = row.blurred[metric]
    gains: dict[str, list[float]] = {}
    for own, rows in series.items():
        found = {row.key: row.gain(metric) for row in rows}
        gains[own] = []
        for key in blurred:
            gain = found.get(key)
            gains[own].append(math.nan if gain is None else gain)  # which a plot leaves out
    labels = (_axis(content, metric, f"{metric} of the blurred image"), _axis(content, metric, f"gain in {metric}"))
    return scatter("Gain against blur", labels, list(blurred.values()), gains)


def _series(content: PageContent, name: str) -> Series:
    """Returns a data set's images by what their candidate is called in legends; one alone needs no name."""
    if not content.several:
        return {"restored": content.candidates[0].rows[name]}
    return {candidate.name: candidate.rows[name] for candidate in content.candidates}


def _gains(rows: Sequence[ImageScore], metric: str) -> list[float]:
    gains = []
    for row in rows:
        gain = row.gain(metric)
        if gain is not None:
            gains.append(gain)
    return gains


def _axis(content: PageContent, metric: str, label: str) -> str:
    unit = scale_of(content, metric).unit
    return f"{label}, {unit}" if unit else label
