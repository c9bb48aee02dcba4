"""Plots of an evaluation as SVG texts that take their colours from the page, and the colours of error maps."""

from __future__ import annotations

import functools
import io
import itertools
import math
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ERROR_LEVELS = 48
"""The difference, in levels of 255, from which on an error map has its brightest colour."""

SERIES = 6
"""Colours for candidates that the page has, as ``--series-0`` and so on; further ones take them again."""

_ERROR_COLOURS = "inferno"  # from black through red to light yellow: legible on white and on black, and in print
_WIDTH_IN, _HEIGHT_IN = 4.2, 2.8  # of a plot: so narrow that its letters are not small on a phone, 302 pixels at 1:1
_ROW_IN = 0.34  # of one row in a plot whose height depends on how many there are
_MOST_BINS = 40
_LAYERS = 4  # a scatter's dots are drawn in so many half-transparent paths: crowds look darker, and the text is short
_DOT_PT = 4.0
_LONGEST = 26  # characters of a row's name

# Colours that matplotlib writes and that are replaced by the page's own, which differ in light and dark.
_INK, _LINE, _BLURRED = "#010203", "#010204", "#010205"
_SERIES = tuple(f"#01030{number}" for number in range(SERIES))
_VARIABLES = {_INK: "ink-2", _LINE: "line", _BLURRED: "blurred"}
_VARIABLES |= {colour: f"series-{number}" for number, colour in enumerate(_SERIES)}


@dataclass(frozen=True)
class Plot:
    """One plot.

    Attributes:
        svg: The ``<svg>`` element, to be set into a page that has the colours as CSS variables.
        description: What it shows, in a sentence with figures, for those who do not see it.
        legend: CSS variable of a colour and what it stands for.
    """

    svg: str
    title: str
    description: str
    legend: tuple[tuple[str, str], ...] = ()


def histogram(title: str, label: str, series: Mapping[str, Sequence[float]], *, blurred: str | None = None) -> Plot:
    """Plots how values are distributed, one outline a series; infinite ones are left out, and their number is said.

    ``label`` is that of the axis, with the unit, and ``blurred`` the name of the series that is the blurred input's.
    """
    from matplotlib.ticker import MaxNLocator

    kept = {name: _finite(values) for name, values in series.items()}
    every = list(itertools.chain.from_iterable(kept.values()))
    dropped = sum(map(len, series.values())) - len(every)
    legend = legend_of(list(kept), blurred)
    with drawing() as (figure, axes):
        # All series share their bins, so that outlines of one shape mean equal distributions.
        bins = min(_MOST_BINS, 4 + math.isqrt(2 * max(map(len, kept.values()), default=0)))
        edges: list[float] = np.histogram_bin_edges(every or [0.0], bins).tolist()
        for colour, values in zip(colours_of(legend), kept.values(), strict=True):
            axes.hist(values, edges, histtype="stepfilled", color=colour, alpha=0.22)
            axes.hist(values, edges, histtype="step", color=colour, linewidth=1.4)
        if edges[0] < 0 < edges[-1]:
            axes.axvline(0, color=_INK, linewidth=0.8)
        axes.set_xlabel(label)
        axes.set_ylabel("images")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        told = _spreads(kept)
        if dropped:
            told.append(f"{dropped} infinite values are left out")
        return finished(figure, title, f"Histogram of {label}. {'; '.join(told)}.", legend)


def scatter(
    title: str, labels: tuple[str, str], horizontal: Sequence[float], series: Mapping[str, Sequence[float]]
) -> Plot:
    """Plots one dot an image and series, except where one of its two values is infinite.

    ``labels`` are those of the horizontal and the vertical axis, with units; each series has a value an image.
    """
    legend = legend_of(list(series))
    shown = 0
    with drawing() as (figure, axes):
        for colour, values in zip(colours_of(legend), series.values(), strict=True):
            dots = np.array(list(zip(horizontal, values, strict=True)), np.float64).reshape(-1, 2)
            dots = dots[np.isfinite(dots).all(axis=1)]
            shown = max(shown, len(dots))
            for layer in range(min(_LAYERS, len(dots))):
                # One path of lines without length: a marker each would take six times the text. Each dot is drawn from
                # itself to itself, and a NaN lifts the pen before the next.
                path = np.full((len(dots[layer::_LAYERS]), 3, 2), np.nan)
                path[:, :2] = dots[layer::_LAYERS, None]
                x, y = path.reshape(-1, 2).T
                axes.plot(x, y, color=colour, linewidth=_DOT_PT, solid_capstyle="round", alpha=0.7)
        axes.axhline(0, color=_INK, linewidth=0.8)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        told = "; ".join(_spreads(series))
        return finished(figure, title, f"{labels[1]} against {labels[0]}, {shown} images. {told}.", legend)


def intervals(title: str, label: str, rows: Mapping[str, tuple[float, Sequence[float] | None]]) -> Plot:
    """Plots a value and the ends of its interval, where it has one, by name, a row each; all are finite.

    ``label`` is that of the axis, with the unit.
    """
    told = []
    with drawing(_ROW_IN * len(rows) + 0.75) as (figure, axes):
        for place, (name, (value, bounds)) in enumerate(rows.items()):
            told.append(f"{name} {value:.4g}")
            if bounds is not None:
                told[-1] += f", interval {bounds[0]:.4g} to {bounds[1]:.4g}"
                axes.plot(bounds, (place, place), color=_SERIES[0], linewidth=2.2, solid_capstyle="butt")
            axes.plot([value], [place], "o", color=_SERIES[0], markersize=5.5)
        axes.axvline(0, color=_INK, linewidth=0.8)
        _name_rows(axes, list(rows), label)
        return finished(figure, title, f"{label}: {'; '.join(told)}.", ())


def parts(title: str, rows: Mapping[str, Mapping[str, float]]) -> Plot:
    """Plots seconds by part, stacked, one bar a row; a part that a row lacks took none."""
    names = list(dict.fromkeys(itertools.chain.from_iterable(rows.values())))
    legend = legend_of(names)
    with drawing(_ROW_IN * len(rows) + 0.75) as (figure, axes):
        before = np.zeros(len(rows))
        for colour, part in zip(colours_of(legend), names, strict=True):
            seconds = np.array([row.get(part, 0.0) for row in rows.values()])
            axes.barh(range(len(rows)), seconds, left=before, height=0.62, color=colour)
            before += seconds
        _name_rows(axes, list(rows), "seconds")
        told = []
        for name, row in rows.items():
            told.append(f"{name}: {', '.join(f'{part} {seconds:.3g}' for part, seconds in row.items())}")
        return finished(figure, title, f"Seconds by part. {'; '.join(told)}.", legend)


@functools.cache
def error_colours() -> NDArray[np.uint8]:
    """Returns the colours of error maps, RGB ``(256, 3)``, from no error to :data:`ERROR_LEVELS` and more."""
    from matplotlib import colormaps

    return np.asarray(colormaps[_ERROR_COLOURS](np.arange(256), bytes=True)[:, :3])


@contextmanager
def drawing(height: float = _HEIGHT_IN) -> Iterator[tuple[Figure, Axes]]:
    """Gives an empty figure in the page's style; the settings hold until it has been written."""
    import matplotlib
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "axes.axisbelow": True,
        "axes.edgecolor": _LINE,
        "axes.grid": True,
        "axes.labelcolor": _INK,
        "axes.linewidth": 0.8,
        "axes.spines.left": False,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "font.size": 10,
        "grid.color": _LINE,
        "grid.linewidth": 0.6,
        "path.simplify": False,
        "svg.fonttype": "none",
        "xtick.color": _INK,
        "ytick.color": _INK,
        "ytick.left": False,
    }
    with matplotlib.rc_context(style):
        figure = Figure((_WIDTH_IN, height), layout="constrained")
        yield figure, figure.add_subplot()


def _name_rows(axes: Axes, names: Sequence[str], label: str) -> None:
    """Names the rows of a plot that has one a name, the first on top, and its horizontal axis."""
    shown = []
    for name in names:
        short = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
        shown.append(short.replace("$", r"\$"))  # a bare one would start a formula
    axes.set_yticks(range(len(names)), shown)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel(label)
    axes.grid(visible=False, axis="y")


def finished(figure: Figure, title: str, description: str, legend: tuple[tuple[str, str], ...]) -> Plot:
    """Returns a figure of :func:`drawing` as a plot; see :class:`Plot`."""
    import matplotlib

    text = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    # Ids are hashes of this salt: the same in every run, so that reports can be compared, and no two alike on a page.
    with matplotlib.rc_context({"svg.hashsalt": description}):
        figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    return Plot(_for_a_page(text.getvalue()), title, description, legend)


def _for_a_page(svg: str) -> str:
    """Keeps the ``<svg>`` element alone, as large as its place, with the page's colours and letters."""
    svg = svg[svg.index("<svg") :]
    # Without width and height the plot is as wide as its column; screen readers get the description beside it instead.
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r'\1 aria-hidden="true" focusable="false"', svg, count=1)
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # the same in every plot, and nothing refers to them
    svg = re.sub(r"font-family: [^;\"]*", "font-family: var(--sans)", svg)
    # Hundredths of a point are finer than any screen; all further digits are only text.
    svg = re.sub(r'(?<= )(?:d|x|y|transform)="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found.group()), svg)
    return re.sub("|".join(_VARIABLES), lambda found: f"var(--{_VARIABLES[found.group()]})", svg)


def legend_of(names: Sequence[str], blurred: str | None = None) -> tuple[tuple[str, str], ...]:
    """Gives each series its colour's variable; the blurred input has one of its own."""
    legend = []
    colours = itertools.cycle(_SERIES)
    for name in names:
        # the blurred input takes no colour from the others: a candidate has the same with and without it
        colour = _BLURRED if name == blurred else next(colours)
        legend.append((_VARIABLES[colour], name))
    return tuple(legend)


def colours_of(legend: Sequence[tuple[str, str]]) -> list[str]:
    """Returns what to draw the series of a legend in; the page's own colours take its place."""
    written = {variable: colour for colour, variable in _VARIABLES.items()}
    return [written[variable] for variable, _ in legend]


def _finite(values: Sequence[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def _spreads(series: Mapping[str, Sequence[float]]) -> list[str]:
    """Says where the middle and the ends of each series' finite values are."""
    told = []
    for name, values in series.items():
        finite = _finite(values)
        if finite:
            middle = statistics.median(finite)
            told.append(f"{name}: median {middle:.4g}, from {min(finite):.4g} to {max(finite):.4g}")
    return told
