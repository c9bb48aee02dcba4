"""Which plots the page shows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from deblurkit.report.model import PageContent
from deblurkit.report.page.embedded import restored_metrics
from deblurkit.report.page.numbers import minus, scale_of
from deblurkit.report.plots import Plot, histogram, intervals, parts, scatter
from deblurkit.report.ranking import gains_by_key, scores_by_key
from deblurkit.report.scorings import scorings_compared
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
    plots = []
    for scoring in scorings_compared(content.comparison):
        metrics: list[str] = []
        for name in scoring.sets:
            metrics += restored_metrics(content, name)
        metric = next(iter(metrics), "")
        rows: dict[str, tuple[float, Interval | None]] = {}
        for name in scoring.sets:
            for pair in content.comparison.datasets[name].pairs:
                title, mean = minus(pair.first, pair.second), pair.result.difference
                if len(content.datasets()) > 1:
                    title = f"{name}: {title}"
                if pair.metric == metric and mean is not None:  # a mean over finite differences
                    rows[title] = (mean, pair.result.interval)
        if rows:
            label = _axis(content, metric, f"difference in {metric}")
            plots.append(intervals(f"Mean differences and their 95 % intervals, {scoring.protocol.id}", label, rows))
    return plots


def speed_figures(content: PageContent) -> list[Plot]:
    """Returns the plots of time: seconds by part, and how the time of an image varies."""
    taken: dict[str, dict[str, float]] = {}
    for name in content.datasets():
        for candidate in content.candidates:
            spent = candidate.datasets[name].seconds
            title = name
            if content.several:
                title = candidate.name if len(content.datasets()) == 1 else f"{name}: {candidate.name}"
            bar = taken[title] = {}
            for part, seconds in (("decode", spent.decode), ("network", spent.network), ("metrics", spent.metrics)):
                if seconds:
                    bar[part] = seconds
    made = []
    if any(taken.values()):
        made.append(parts("Seconds by part", taken))
    for name in content.datasets():
        series = {}
        for own, rows in _series(content, name).items():
            series[own] = [row.seconds for row in rows if row.seconds is not None]
        if any(len(values) > 1 for values in series.values()):
            made.append(histogram(f"Time of an image: {name}", "seconds an image", series))
    return made


def _figures(content: PageContent, name: str) -> Iterator[Plot]:
    metrics, series = restored_metrics(content, name), _series(content, name)
    for metric in metrics[:_MOST_METRICS]:
        gains = {own: list(gains_by_key(rows, metric).values()) for own, rows in series.items()}
        if any(gains.values()):
            yield histogram(f"Gain in {metric}", _axis(content, metric, f"gain in {metric}"), gains)
    if not metrics:
        return
    metric, first = metrics[0], next(iter(series.values()))
    before = [row.blurred[metric] for row in first if row.blurred and metric in row.blurred]
    shown, blurred = {}, None
    if before:
        shown[_BLURRED], blurred = before, _BLURRED
    for own, rows in series.items():
        if own in shown:  # a candidate may be called as the blurred input is
            own += " (candidate)"
        shown[own] = list(scores_by_key(rows, metric).values())
    yield histogram(f"Distribution of {metric}", _axis(content, metric, metric), shown, blurred=blurred)
    if gains_by_key(first, metric):
        yield _gain_against_blur(content, metric, series)


def _gain_against_blur(content: PageContent, metric: str, series: Series) -> Plot:
    """Plots a dot for each image of which the first candidate has a gain."""
    first = next(iter(series.values()))
    wanted = gains_by_key(first, metric)
    blurred = [row.blurred[metric] for row in first if row.blurred and row.key in wanted]
    gains: dict[str, list[float]] = {}
    for own, rows in series.items():
        found = gains_by_key(rows, metric)
        gains[own] = [found.get(key, math.nan) for key in wanted]  # a plot leaves NaN out
    labels = (_axis(content, metric, f"{metric} of the blurred image"), _axis(content, metric, f"gain in {metric}"))
    return scatter("Gain against blur", labels, blurred, gains)


def _series(content: PageContent, name: str) -> Series:
    """Returns a data set's images by what their candidate is called in legends; one alone needs no name."""
    if not content.several:
        return {"restored": content.candidates[0].rows[name]}
    return {candidate.name: candidate.rows[name] for candidate in content.candidates}


def _axis(content: PageContent, metric: str, label: str) -> str:
    unit = scale_of(content, metric).unit
    return f"{label}, {unit}" if unit else label
