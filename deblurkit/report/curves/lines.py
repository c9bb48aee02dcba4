"""Curves as plots: the mean of each bin as a line, what its records range over behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deblurkit.report.curves.records import Curve, Point, Values
from deblurkit.report.plots import SERIES, Plot, colours_of, drawing, finished, legend_of

_WIDE = 30.0  # the ratio of greatest to least from which on a logarithmic axis shows more
_DASHES = {"solid": "-", "dashed": "--", "dotted": ":"}


@dataclass(frozen=True)
class Line:
    """One curve of a plot, what the legend calls it, and the point to mark, if any."""

    name: str
    curve: Curve
    best: Point | None = None


def line_plot(title: str, label: str, lines: Sequence[Line]) -> Plot:
    """Plots one or more curves over the iterations, on a logarithmic axis where all are positive and range widely.

    ``label`` is that of the vertical axis, with the unit, and may be empty.
    """
    names, styles, points = [], [], []
    for place, line in enumerate(lines):
        marks = []
        if line.curve.bad:
            marks.append(f"{line.curve.bad} not finite")
        dashes = list(_DASHES)[place // SERIES % len(_DASHES)]
        if place >= SERIES:
            marks.append(dashes)  # the legend shows colours alone, and these have been used before
        names.append(line.name)
        if marks:
            names[-1] += f" ({', '.join(marks)})"
        styles.append(_DASHES[dashes])
        points.append(line.curve.drawn())
    legend = legend_of(names)
    with drawing() as (figure, axes):
        for colour, dashes, line, values in zip(colours_of(legend), styles, lines, points, strict=True):
            iteration, mean, least, greatest = values.T
            # Where each point is one record there is no range to show behind the line.
            if np.nanmax(greatest - least, initial=0.0) > 0:
                axes.fill_between(iteration, least, greatest, color=colour, alpha=0.2, linewidth=0)
            # Points are marked where there are few, or where a line would not show one between two gaps.
            known = np.isfinite(mean)
            alone = known & ~np.append(known[1:], False) & ~np.append(False, known[:-1])
            marker = "o" if len(mean) <= 20 or alone.any() else ""
            axes.plot(iteration, mean, color=colour, linestyle=dashes, linewidth=1.4, marker=marker, markersize=3.5)
            if line.best is not None:
                axes.plot(*line.best, "o", color=colour, markersize=6)
        if _ranges_widely(points):
            axes.set_yscale("log")
            label = f"{label}, logarithmic" if label else "logarithmic"
        axes.xaxis.set_major_formatter(_iterations)
        axes.set_xlabel("iteration")
        axes.set_ylabel(label)
        axes.margins(x=0.02)
        told = "; ".join(map(_told, lines))
        return finished(figure, title, f"{title} over the iterations. {told}.", legend)


def _ranges_widely(points: Sequence[Values]) -> bool:
    """Tells whether a logarithmic axis shows more; the lowest and highest twentieth of the values do not decide."""
    ranges = np.concatenate([bins[np.isfinite(bins[:, 1]), 2:] for bins in points])
    if not len(ranges) or ranges.min() <= 0:
        return False
    return bool(np.quantile(ranges[:, 1], 0.95) > _WIDE * np.quantile(ranges[:, 0], 0.05))


def _iterations(value: float, position: float) -> str:
    """Writes an iteration shortly.

    >>> _iterations(1500, 0), _iterations(200000, 1), _iterations(0.5, 2)
    ('1500', '200k', '')
    """
    if value != round(value):
        return ""
    return f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:g}"


def _told(line: Line) -> str:
    curve = line.curve
    if math.isnan(curve.last.value):
        return f"{line.name}: no finite value"
    told = f"{line.name}: {curve.first.value:.4g} at iteration {curve.first.iteration}"
    told += f", {curve.last.value:.4g} at {curve.last.iteration}"
    if line.best is not None:
        told += f", best {line.best.value:.4g} at {line.best.iteration}"
    if curve.bad:
        told += f", {curve.bad} values not finite"
    return told
