"""Which curves are drawn together, and the tables of their values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from deblurkit.report.curves.lines import Line, line_plot
from deblurkit.report.curves.records import Curve, Point, Run
from deblurkit.report.plots import SERIES, Plot
from deblurkit.report.tables import NOTHING, Table

# Records do not say which way a score is better: a best is marked only of these.
_HIGHER_IS_BETTER = re.compile(r"(psnr|m?ssim|cw_ssim)(?![a-z])")
_LOWER_IS_BETTER = re.compile(r"(lpips|dists|niqe)(?![a-z])")
_UNITS = {"psnr": "dB", "time": "seconds", "data_time": "seconds", "memory": "MiB"}
_NAMES = {
    "loss": "total loss",
    "time": "time of an iteration",
    "data_time": "of it waiting for data",
    "memory": "peak memory",
}


@dataclass(frozen=True)
class Group:
    """A section of the page.

    Attributes:
        title: Its heading.
        parts: The first parts of the keys of ``scalars.jsonl`` that belong to it; empty: any.
        words: What it shows, one sentence.
        together: Of one run: gives the name of the plot that a key is drawn in; by default one plot has all.
    """

    title: str
    parts: tuple[str, ...]
    words: str
    together: Callable[[str], str] | None = None


def _critic_plot(key: str) -> str:
    parts = key.split("/")
    if parts[0] == "penalty":
        return "Penalties"
    # `critic/NAME` is its loss, `critic/NAME/sharp` and the like its scores, which have no common scale with losses
    return "Critics' losses" if len(parts) <= 2 else f"{parts[1]}: mean scores"


GROUPS = (
    Group(
        "Validation",
        ("val",),
        "Mean scores of the restored validation images, with the averaged weights where there are such; a dot marks "
        "the best of a score that is known to be better when higher, or lower.",
        lambda key: key.split("/")[-1],
    ),
    Group(
        "Losses",
        ("loss", "term"),
        "The generator's total and its terms, each already weighted: the terms add up to the total.",
        lambda key: "Total loss" if key == "loss" else "Weighted terms",
    ),
    Group(
        "Gradients of the terms",
        ("grad",),
        "The norm of each weighted term's gradient at the generator's outputs: what a term really has to say.",
    ),
    Group(
        "Critics",
        ("critic", "penalty"),
        "What the critics score sharp and restored images on average, their losses and their penalties. Scores that "
        "drift apart: the critic wins.",
        _critic_plot,
    ),
    Group("Gradient norms", ("grad_norm",), "Of all the weights of a network, before clipping."),
    Group("Learning rates", ("lr",), "Of each network's optimizer."),
    Group(
        "Time and memory",
        ("time", "data_time", "memory"),
        "Seconds an iteration and the part of them spent waiting for data; the most memory held so far.",
        lambda key: "Memory" if key == "memory" else "Time of an iteration",
    ),
    Group("Further quantities", (), "Whatever else this training records.", lambda key: key),
)


def grouped(keys: Sequence[str]) -> dict[Group, list[str]]:
    """Returns the keys of each group that has any, in the page's order; each key in the first group that holds it."""
    found: dict[Group, list[str]] = {group: [] for group in GROUPS}
    for key in sorted(keys, key=lambda key: key != "loss"):  # the total before its terms
        found[next(group for group in GROUPS if not group.parts or key.split("/")[0] in group.parts)].append(key)
    return {group: held for group, held in found.items() if held}


def plots(group: Group, keys: Sequence[str], runs: Sequence[Run]) -> list[Plot]:
    """Returns a group's plots: of one run several curves together, of several runs one plot a key."""
    made = []
    if len(runs) > 1:
        for key in keys:
            lines = []
            for _, run, curve in _curves([key], runs):
                lines.append(Line(run.name, curve, best(key, curve)))
            made.append(line_plot(_full_name(key), _unit(key), lines))
        return made
    together: dict[str, list[str]] = {}
    for key in keys:
        title = group.title if group.together is None else group.together(key)
        together.setdefault(title, []).append(key)
    for title, held in together.items():
        # More curves than the page has colours go to a plot of their own: dashes would be hard to tell apart.
        for start in range(0, len(held), SERIES):
            part = held[start : start + SERIES]
            lines = []
            for key, _, curve in _curves(part, runs):
                lines.append(Line(_short_name(key), curve, best(key, curve)))
            numbered = f"{title} ({start // SERIES + 1})" if len(held) > SERIES else title
            made.append(line_plot(numbered, _unit(part[0]), lines))
    return made


def best(key: str, curve: Curve) -> Point | None:
    """Returns the best of a validation score, where it is known which way that one is better."""
    metric = key.rsplit("/", 1)[-1]
    if not key.startswith("val/") or math.isnan(curve.last.value):
        return None
    if _HIGHER_IS_BETTER.match(metric):
        return curve.highest
    return curve.lowest if _LOWER_IS_BETTER.match(metric) else None


def scores_table(runs: Sequence[Run]) -> Table | None:
    """Returns the table of validation scores: first, last, best and where; ``None`` where nothing was validated."""
    rows = []
    for key, run, curve in _curves(all_keys(runs), runs):
        if not key.startswith("val/") or math.isnan(curve.last.value):
            continue
        found, cells = best(key, curve), [NOTHING, NOTHING]
        if found is not None:
            cells = [_number(found.value), f"{found.iteration:,}"]
        rows.append([_full_name(key), run.name, _number(curve.first.value), _number(curve.last.value), *cells])
    if not rows:
        return None
    return _table("Validation scores", ["score", "run", "first", "last", "best", "at iteration"], rows, runs)


def values_table(runs: Sequence[Run]) -> Table:
    """Returns the table of all quantities: last, lowest and highest value, and how many were not finite."""
    rows = []
    for key, run, curve in _curves(all_keys(runs), runs):
        row = [key, run.name, _number(curve.last.value)]
        for end in (curve.lowest, curve.highest):
            row.append(NOTHING if math.isnan(end.value) else f"{_number(end.value)} at {end.iteration:,}")
        rows.append([*row, f"{curve.count:,}", f"{curve.bad:,}"])
    columns = ["quantity", "run", "last", "lowest", "highest", "records", "not finite"]
    return _table("All values", columns, rows, runs)


def runs_table(runs: Sequence[Run]) -> Table:
    """Returns where each run stands."""
    rows = []
    for run in runs:
        at = run.standing
        size, speed = _written(at.memory, "{:,.0f} MiB"), _written(at.time, "{:.3g} s")
        date = at.date.replace("T", " ")
        rows.append([run.name, f"{at.iteration:,}", _written(at.epoch, "{:,.0f}"), date, speed, size, _left(at.eta)])
    columns = ["run", "iteration", "epoch", "last record", "an iteration", "memory", "left at that time"]
    return Table("Where each run stands", columns, rows, texts=1)


def all_keys(runs: Sequence[Run]) -> list[str]:
    """Returns the keys of all runs, each once, in the order in which they are recorded."""
    keys: dict[str, None] = {}
    for run in runs:
        keys |= dict.fromkeys(run.curves)
    return list(keys)


def _curves(keys: Sequence[str], runs: Sequence[Run]) -> Iterator[tuple[str, Run, Curve]]:
    """Yields the curves of the keys, key by key, of each run that records it."""
    for key in keys:
        for run in runs:
            if key in run.curves:
                yield key, run, run.curves[key]


def _table(title: str, columns: list[str], rows: list[list[str]], runs: Sequence[Run]) -> Table:
    """Leaves the second column, of the runs' names, out where there is one run."""
    if len(runs) == 1:
        for row in (columns, *rows):
            del row[1]
    return Table(title, columns, rows, texts=min(2, len(runs)))


def _full_name(key: str) -> str:
    """Names a key below the heading of its group.

    >>> _full_name("val/gopro/psnr"), _full_name("term/pixel"), _full_name("critic/patch/sharp"), _full_name("loss")
    ('gopro: psnr', 'pixel', 'patch: scores of sharp images', 'total loss')
    """
    parts = key.split("/")
    if parts[0] == "critic" and len(parts) > 1:
        what = f"scores of {parts[2]} images" if len(parts) > 2 else "loss"
        return f"{parts[1]}: {what}"
    return _NAMES.get(key, ": ".join(parts[1:] or parts))


def _short_name(key: str) -> str:
    """Names a key below the title of its plot.

    >>> _short_name("val/gopro/psnr"), _short_name("term/pixel"), _short_name("critic/patch/sharp")
    ('gopro', 'pixel', 'sharp')
    """
    parts = key.split("/")
    if parts[0] == "val":
        return "/".join(parts[1:-1])
    if parts[0] == "critic":
        return parts[-1]
    return _NAMES.get(key, "/".join(parts[1:] or parts))


def _unit(key: str) -> str:
    return _UNITS.get(key.rsplit("/", 1)[-1], "")


def _number(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{value:.5g}"


def _written(value: float | None, form: str) -> str:
    return NOTHING if value is None else form.format(value)


def _left(seconds: float | None) -> str:
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds == 0:
        return "finished"
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min" if minutes else "< 1 min"
