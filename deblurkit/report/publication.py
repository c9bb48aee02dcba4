"""Tables for papers: LaTeX with booktabs, and the same figures as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from deblurkit.report.comparison import metrics_of
from deblurkit.report.model import Paper, PublishedRow
from deblurkit.report.scorings import by_set, scorings_compared
from deblurkit.report.tables import NOTHING, Scale, printed, scale
from deblurkit.report.templating import text_environment
from deblurkit.results import CandidateResult, Comparison

Column = tuple[str, str]
"""Data set and metric."""

_DASH = "--"
_MARKS = ("bold", "underline")
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
    values: Mapping[Column, str | float]


@dataclass(frozen=True)
class _Cell:
    """A finished number; ``mark`` is ``bold``, ``underline`` or nothing."""

    text: str
    mark: str = ""


def latex(candidates: Sequence[CandidateResult], compared: Comparison, paper: Paper | None = None) -> str:
    """Returns a table for a paper, which needs the package ``booktabs``.

    Rows are the blurred input, what others published (marked, never measured by us) and the candidates; columns are
    data sets and metrics. Among several candidates the best is bold and, of three or more, the second underlined;
    values that read the same are marked the same. Notes that a reader needs stand above it as comments.
    """
    columns, rows = _columns(compared), _rows(candidates, compared, paper)
    scales = [scale(metric, compared.metrics) for _, metric in columns]
    marks = _marks(columns, scales, [row for row in rows if row.kind == "scored"])
    places: dict[str, list[int]] = {}
    for number, (dataset, _) in enumerate(columns, start=2):  # the methods' column is the first
        places.setdefault(dataset, []).append(number)
    modes, lines = set(), []
    for row in rows:
        cells = []
        for column, written in zip(columns, scales, strict=True):
            mark = ""
            # What others published is printed as they did; it may be words.
            published = row.kind == "published"
            text = printed(row.values.get(column)) if published else written.write(_number(row, column))
            if row.kind == "scored":
                mark = marks.get((column, text), "")
            cells.append(_Cell({NOTHING: _DASH, "inf": r"$\infty$"}.get(text, text), mark))
        lines.append((row, cells))
        if row.inference:
            modes.add(row.inference)
    content = {
        "compared": compared,
        "scorings": scorings_compared(compared),
        "modes": modes,
        "places": places,
        "scales": scales,
        "lines": lines,
        "label": re.sub(r"[^A-Za-z0-9]+", "-", "-".join(compared.candidates)).strip("-"),
        "several": len(candidates) > 1,
        "with_second": len(candidates) >= _FEWEST_WITH_SECOND,
        "paper": paper,
    }
    # Braces and the percent sign are LaTeX's own.
    environment = text_environment({"tex": escape}).overlay("<%", "%>", "<<", ">>", "<#", "#>")
    return environment.get_template("tables.tex.j2").render(content)


def csv_table(candidates: Sequence[CandidateResult], compared: Comparison, paper: Paper | None = None) -> str:
    """Returns the table of :func:`latex` as CSV, with all decimals.

    Columns are ``method``, ``kind`` (``blurred``, ``published`` or ``scored``), ``protocol`` (of each data set, where
    they differ; empty for what is published: it is rarely known), ``inference``, and one for each data set and metric.
    """
    columns = _columns(compared)
    ours = by_set({name: entry.protocol.title for name, entry in compared.datasets.items()})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    titles = [f"{dataset} {metric}" for dataset, metric in columns]
    writer.writerow(["method", "kind", "protocol", "inference", *titles])
    for row in _rows(candidates, compared, paper):
        protocol = "" if row.kind == "published" else ours
        writer.writerow([row.method, row.kind, protocol, row.inference, *map(row.values.get, columns)])
    return text.getvalue()


def escape(text: object) -> str:
    r"""Returns ``text`` so that LaTeX prints it as it is.

    >>> escape("50 % of_a&b")
    '50 \\% of\\_a\\&b'
    """
    return " ".join(str(text).split()).translate(_ESCAPES)


def _columns(compared: Comparison) -> list[Column]:
    columns = []
    for dataset, entry in compared.datasets.items():
        columns += [(dataset, metric) for metric in metrics_of(entry)]
    return columns


def _rows(candidates: Sequence[CandidateResult], compared: Comparison, paper: Paper | None) -> list[_Row]:
    blurred: dict[Column, str | float] = {}
    for dataset, entry in compared.datasets.items():
        blurred |= _by_column(dataset, entry.blurred)
    rows, columns = [], _columns(compared)
    if blurred:
        rows.append(_Row("Blurred input", "blurred", "", blurred))
    for row in _published(candidates, paper):
        if not row.values.keys().isdisjoint(columns):
            rows.append(row)
    for name, candidate in compared.candidates.items():
        values: dict[Column, str | float] = {}
        modes = {}
        for dataset, entry in compared.datasets.items():
            values |= _by_column(dataset, entry.restored[name])
            modes[dataset] = candidate.inference[dataset] or ""
        rows.append(_Row(name, "scored", by_set(modes), values))
    return rows


def _published(candidates: Sequence[CandidateResult], paper: Paper | None) -> Iterator[_Row]:
    """Gives each method that a paper compares with a row, then the experiments' own published figures."""
    rows: list[tuple[str, dict[Column, str | float]]] = []
    quoted: Sequence[PublishedRow] = () if paper is None else paper.compared
    for row in quoted:
        values = _by_column(row.dataset, row.values)
        for method, others in rows:
            if method == row.method and not others.keys() & values.keys():
                others |= values
                break
        else:  # the method's first row, or a second figure of the same kind
            rows.append((row.method, values))
    for method, values in rows:
        yield _Row(method, "published", "", values)
    # The experiments' own papers stand last, next to what was measured here.
    own: dict[str, dict[Column, str | float]] = {}
    for candidate in candidates:
        values = {}
        for dataset, entry in candidate.datasets.items():
            values |= _by_column(dataset, entry.published)
        if values and values not in own.values():  # candidates of one paper share a row
            own[candidate.name] = values
    for name, values in own.items():
        yield _Row("Original paper" if len(own) == 1 else f"Original paper of {name}", "published", "", values)


def _by_column(dataset: str, values: Mapping[str, str | float] | None) -> dict[Column, str | float]:
    return {(dataset, metric): value for metric, value in (values or {}).items()}


def _marks(columns: Sequence[Column], scales: Sequence[Scale], scored: Sequence[_Row]) -> dict[tuple[Column, str], str]:
    """Returns how a number is marked in its column; numbers are compared as they are printed."""
    marks: dict[tuple[Column, str], str] = {}
    if len(scored) < 2:
        return marks
    # Best and second best, as many as there are numbers to mark apart; of two candidates the best alone.
    marked = 2 if len(scored) >= _FEWEST_WITH_SECOND else 1
    for column, written in zip(columns, scales, strict=True):
        best = written.order(_number(row, column) for row in scored)[:marked]
        for text, mark in zip(best, _MARKS, strict=False):
            marks[column, text] = mark
    return marks


def _number(row: _Row, column: Column) -> float | None:
    """Returns what a row of scores has in a column; only published figures may be words."""
    value = row.values.get(column)
    return None if value is None else float(value)
