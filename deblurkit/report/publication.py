"""Tables for papers: LaTeX with booktabs, and the same figures as CSV."""

from __future__ import annotations

import csv
import functools
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from deblurkit.report.comparison import scorings_compared
from deblurkit.report.model import Candidate
from deblurkit.report.scorings import by_set, with_version
from deblurkit.report.tables import NOTHING, Scale, Value, printed, scale
from deblurkit.report.templating import text_environment

if TYPE_CHECKING:
    from jinja2 import Template

Column = tuple[str, str]
"""Data set and metric."""

_DASH = "--"
_KEYS = ("method", "dataset")
_MARKS = {0: "bold", 1: "underline"}
_FEWEST_WITH_SECOND = 3  # of two, the second best is the worse
_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "[": "{[}",  # after the end of a row it would be read as a length
        "*": "{*}",  # and this as part of the command that ends the row
        **{character: f"\\{character}" for character in "{}$&#_%"},
    }
)


@dataclass(frozen=True)
class _Row:
    """One line of the table; ``kind`` says who measured it."""

    method: str
    kind: Literal["blurred", "published", "scored"]
    inference: str
    values: Mapping[Column, Value]


@dataclass(frozen=True)
class _Cell:
    """A finished number; ``mark`` is ``bold``, ``underline`` or nothing."""

    text: str
    mark: str = ""


def latex(candidates: Sequence[Candidate], compared: Mapping[str, Any], paper: Mapping[str, Any] | None = None) -> str:
    """Returns a table for a paper, which needs the package ``booktabs``.

    Rows are the blurred input, what others published (marked, never measured by us) and the candidates; columns are
    data sets and metrics. Among several candidates the best is bold and, of three or more, the second underlined;
    values that read the same are marked the same. Notes that a reader needs stand above it as comments.

    Args:
        candidates: Whose figures these are.
        compared: The content of ``comparison.json``, made of one candidate or several.
        paper: ``title`` and ``compared``: rows of ``method``, ``dataset`` and values.
    """
    columns, rows = _columns(compared), _rows(candidates, compared, paper)
    scales = [scale(metric, compared["metrics"]) for _, metric in columns]
    marks = _marks(columns, scales, [row for row in rows if row.kind == "scored"])
    lines = [
        (row, [_cell(row, column, written, marks) for column, written in zip(columns, scales, strict=True)])
        for row in rows
    ]
    content = {
        "notes": [" ".join(note.split()) for note in compared["notes"]],
        "scorings": scorings_compared(compared),
        "modes": list(dict.fromkeys(row.inference for row in rows if row.inference)),
        "images": {name: entry["images"] for name, entry in compared["datasets"].items() if entry["images"]},
        "datasets": _spans(columns),
        "scales": scales,
        "lines": lines,
        "label": re.sub(r"[^A-Za-z0-9]+", "-", "-".join(candidate.name for candidate in candidates)).strip("-"),
        "several": len(candidates) > 1,
        "with_second": len(candidates) >= _FEWEST_WITH_SECOND,
        "paper": paper,
    }
    return _template().render(content)


def csv_table(
    candidates: Sequence[Candidate], compared: Mapping[str, Any], paper: Mapping[str, Any] | None = None
) -> str:
    """Returns the same table with all decimals.

    Columns are ``method``, ``kind`` (``blurred``, ``published`` or ``scored``), ``protocol`` (of each data set, where
    they differ; empty for what is published: it is rarely known), ``inference``, and one for each data set and metric.

    Args:
        candidates: See :func:`latex`.
        compared: See there.
        paper: See there.
    """
    columns = _columns(compared)
    ours = by_set({name: with_version(entry["protocol"]) for name, entry in compared["datasets"].items()})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["method", "kind", "protocol", "inference", *(f"{dataset} {metric}" for dataset, metric in columns)]
    )
    for row in _rows(candidates, compared, paper):
        protocol = "" if row.kind == "published" else ours
        writer.writerow(
            [row.method, row.kind, protocol, row.inference, *(row.values.get(column) for column in columns)]
        )
    return text.getvalue()


def escape(text: object) -> str:
    r"""Returns ``text`` so that LaTeX prints it as it is.

    >>> escape("50 % of_a&b")
    '50 \\% of\\_a\\&b'
    """
    return " ".join(str(text).split()).translate(_ESCAPES)


def _columns(compared: Mapping[str, Any]) -> list[Column]:
    return [
        (dataset, metric)
        for dataset, entry in compared["datasets"].items()
        for metric in dict.fromkeys(name for means in entry["restored"].values() for name in means or {})
    ]


def _spans(columns: Sequence[Column]) -> list[tuple[str, int, int]]:
    """Returns each data set with its first and last column, counted from 1 behind the methods' column."""
    datasets = [dataset for dataset, _ in columns]
    return [
        (name, datasets.index(name) + 2, datasets.index(name) + 1 + datasets.count(name))
        for name in dict.fromkeys(datasets)
    ]


def _rows(candidates: Sequence[Candidate], compared: Mapping[str, Any], paper: Mapping[str, Any] | None) -> list[_Row]:
    sets = compared["datasets"]
    blurred = _by_column({name: entry["blurred"] for name, entry in sets.items()})
    rows = [_Row("Blurred input", "blurred", "", blurred)] if blurred else []
    known = set(_columns(compared))
    rows += [row for row in _published(candidates, paper) if known & set(row.values)]
    for name, described in compared["candidates"].items():
        values = _by_column({dataset: entry["restored"][name] for dataset, entry in sets.items()})
        modes = by_set({dataset: described["inference"][dataset] or "" for dataset in sets})
        rows.append(_Row(name, "scored", modes, values))
    return rows


def _published(candidates: Sequence[Candidate], paper: Mapping[str, Any] | None) -> Iterator[_Row]:
    """Gives each method that a paper compares with a row, then the experiments' own published figures."""
    rows: list[tuple[str, dict[Column, Value]]] = []
    for row in paper["compared"] if paper else ():
        method, dataset = (str(row.get(key, NOTHING)) for key in _KEYS)
        values: dict[Column, Value] = {(dataset, key): value for key, value in row.items() if key not in _KEYS}
        known = next((others for name, others in rows if name == method and not others.keys() & values.keys()), None)
        if known is None:  # the method's first row, or a second figure of the same kind
            rows.append((method, values))
        else:
            known |= values
    yield from (_Row(method, "published", "", values) for method, values in rows)
    own = {candidate.name: values for candidate in candidates if (values := _by_column(_own(candidate)))}
    distinct = [name for index, name in enumerate(own) if own[name] not in list(own.values())[:index]]
    for name in distinct:
        yield _Row("Original paper" if len(distinct) == 1 else f"Original paper of {name}", "published", "", own[name])


def _own(candidate: Candidate) -> dict[str, Mapping[str, Value] | None]:
    return {name: entry["published"] for name, entry in candidate.metrics["datasets"].items()}


def _by_column(scores: Mapping[str, Mapping[str, Value] | None]) -> dict[Column, Value]:
    return {(dataset, metric): value for dataset, part in scores.items() for metric, value in (part or {}).items()}


def _marks(columns: Sequence[Column], scales: Sequence[Scale], scored: Sequence[_Row]) -> dict[tuple[Column, str], str]:
    """Returns how a number is marked in its column; numbers are compared as they are printed."""
    marks: dict[tuple[Column, str], str] = {}
    if len(scored) < 2:
        return marks
    for column, written in zip(columns, scales, strict=True):
        order = written.order(row.values.get(column) for row in scored)
        kept = order[: 2 if len(scored) >= _FEWEST_WITH_SECOND else 1]
        marks |= {(column, text): _MARKS[place] for place, text in enumerate(kept)}
    return marks


def _cell(row: _Row, column: Column, written: Scale, marks: Mapping[tuple[Column, str], str]) -> _Cell:
    value = row.values.get(column)
    text = printed(value) if row.kind == "published" else written.write(value)
    mark = marks.get((column, text), "") if row.kind == "scored" else ""
    return _Cell({NOTHING: _DASH, "inf": r"$\infty$"}.get(text, text), mark)


@functools.cache
def _template() -> Template:
    # Braces and the percent sign are LaTeX's own.
    environment = text_environment({"tex": escape}, ("<%", "%>"), ("<<", ">>"), ("<#", "#>"))
    return environment.get_template("tables.tex.j2")
