"""Several candidates side by side, as tables and as a page in Markdown."""

from __future__ import annotations

from deblurkit.report.markdown import render
from deblurkit.report.model import Paper
from deblurkit.report.scorings import scorings_compared, set_titles
from deblurkit.report.tables import ABOUT_INTERVALS, NOTHING, Table, p_value, published, scale
from deblurkit.results import ComparedDataset, Comparison


def comparison_tables(compared: Comparison) -> list[Table]:
    """Returns a table of scores for each data set and one of all differences."""
    titles = set_titles(compared.datasets)
    tables, rows = [], []
    for name, entry in compared.datasets.items():
        if entry.images:
            tables.append(_scores(name, entry, compared))
        for pair in entry.pairs:
            written, found = scale(pair.metric, compared.metrics), pair.result
            images = f"{found.images} ({found.excluded} left out)" if found.excluded else str(found.images)
            value = written.with_interval(found.difference, found.interval, signed=True)
            named = [titles[name], f"{pair.first} - {pair.second}", written.title]
            rows.append([*named, images, value, p_value(found.p_value)])
    if rows:
        columns = ["data set", "first - second", "score", "images", "difference", "p"]
        tables.append(Table("Differences", columns, rows, texts=3))
    return tables


def comparison_markdown(compared: Comparison, protocol: str, command: str, paper: Paper | None = None) -> str:
    """Returns ``comparison.md``; for the texts see :class:`~deblurkit.report.model.PageContent`."""
    tests: dict[str, None] = {}
    tested = 0
    for entry in compared.datasets.values():
        for pair in entry.pairs:
            tests[pair.result.test] = None
            tested += pair.result.p_value is not None
    content = {
        "compared": compared,
        "scorings": scorings_compared(compared),
        "tables": comparison_tables(compared),
        "about_intervals": ABOUT_INTERVALS,
        "tests": list(tests),
        "tested": tested,
        "paper": paper,
        "published": published(paper),
        "protocol": protocol,
        "command": command,
    }
    return render("comparison.md.j2", content)


def metrics_of(entry: ComparedDataset) -> list[str]:
    """Returns the metrics that are compared on a data set, in the order of their columns."""
    names: dict[str, None] = {}
    for means in entry.restored.values():
        names |= dict.fromkeys(means)
    return list(names)


def _scores(name: str, entry: ComparedDataset, compared: Comparison) -> Table:
    columns, blurred, rows = ["candidate", "inference"], ["blurred", NOTHING], []
    for candidate in entry.restored:
        rows.append([candidate, compared.candidates[candidate].inference[name] or NOTHING])
    for metric in metrics_of(entry):
        written = scale(metric, compared.metrics)
        columns.append(written.title)
        blurred.append(written.write((entry.blurred or {}).get(metric)))
        for row in rows:
            means, ends = entry.restored[row[0]], entry.intervals[row[0]]
            row.append(written.with_interval(means.get(metric), ends.get(metric)))
    if entry.blurred:
        rows.insert(0, blurred)
    title = f"{name}, {entry.images} images, {entry.protocol.title}"
    return Table(title, columns, rows, texts=2).without_empty("inference")  # where all were restored elsewhere
