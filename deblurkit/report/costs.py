"""The costs of generators beside what their papers say, as tables and JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deblurkit.costs import CostReport, GeneratorCost, TimeRatio
from deblurkit.errors import UserError
from deblurkit.files import write_atomically
from deblurkit.report.tables import NOTHING, Table, escape, rich_console, rich_table
from deblurkit.report.write import json_text

GIGA, MIB = 10**9, 2**20
# The names of figures in `paper.cost` and the image sizes that they are about.
_GMACS_AT = {"gmacs_256": "256x256", "gmacs_720p": "720x1280"}
_SECONDS_AT = {"seconds_720p": "720x1280"}


@dataclass(frozen=True)
class CostComparison:
    """One published figure, by its name in ``paper.cost``, beside ours, which is ``None`` where it was not measured.

    ``deviation_percent`` is by how much ours is greater; ``None`` for times, which are another machine's.
    """

    figure: str
    published: float
    measured: float | None
    deviation_percent: float | None


def compare(cost: GeneratorCost) -> list[CostComparison]:
    """Returns each published figure of a generator beside the one measured."""
    measured: dict[str, float | None] = {"parameters": cost.parameters, "mib": cost.mib}
    for size in cost.sizes:
        for figure, published_size in _GMACS_AT.items():
            if size.size == published_size and size.macs is not None:
                measured[figure] = size.macs / GIGA
        for figure, published_size in _SECONDS_AT.items():
            if size.size == published_size and size.latency is not None:
                measured[figure] = size.latency.median_s
    compared = []
    for figure, published in cost.published.items():
        ours = measured.get(figure)
        percent = None
        # Two times differ by their machines first of all, so a deviation of them would tell nothing.
        if ours is not None and figure not in _SECONDS_AT:
            percent = 100 * (ours - published) / published
        compared.append(CostComparison(figure, published, ours, percent))
    return compared


def tables(report: CostReport) -> list[Table]:
    """Returns the tables of size and work, of published figures and ratios where there are any, of memory and time."""
    costs = report.generators
    found = (_work(costs), _published(costs), _memory_and_time(costs), _ratios(report.ratios))
    return [table for table in found if table.rows]


def show(report: CostReport) -> None:
    """Prints the tables, what failed, how it was measured and where on standard output."""
    from rich.text import Text

    console = rich_console()
    for table in tables(report):
        console.print(rich_table(table))
    for title, lines in _notes(report):
        # soft_wrap: a line that is copied from a terminal stays one line
        console.print(Text("\n  ".join([f"{title}:", *lines])), soft_wrap=True)


def markdown(report: CostReport) -> str:
    """Returns the tables, what failed, how it was measured and where, as a page."""
    lines = ["# What the generators cost", ""]
    for table in tables(report):
        lines += markdown_table(table)
    return "\n".join([*lines, *markdown_notes(_notes(report))])


def markdown_table(table: Table) -> list[str]:
    """Returns a table's lines in Markdown, its title before and an empty line behind it."""
    numbers = len(table.columns) - table.texts
    rules = ["---"] * table.texts + ["---:"] * numbers  # the colon aligns a column on the right
    lines = [f"## {table.title}", "", f"| {' | '.join(table.columns)} |", f"| {' | '.join(rules)} |"]
    for row in table.rows:
        lines.append(f"| {' | '.join(map(escape, row))} |")
    return [*lines, ""]


def markdown_notes(notes: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """Returns the lines of sections in Markdown, each a title with a list; none of a title without lines."""
    written: list[str] = []
    for title, lines in notes:
        if lines:
            written += [f"## {title}", "", *(f"- {escape(line)}" for line in lines), ""]
    return written


def as_json(report: CostReport) -> str:
    """Returns everything measured as JSON: ``methods``, ``environment``, ``generators`` and ``ratios``."""
    generators = []
    for cost in report.generators:
        compared = [dataclasses.asdict(comparison) for comparison in compare(cost)]
        generators.append({**dataclasses.asdict(cost), "mib": cost.mib, "published": compared})
    content = {
        "methods": dict(report.methods),
        "environment": dict(report.environment),
        "generators": generators,
        "ratios": [dataclasses.asdict(ratio) for ratio in report.ratios],
    }
    return json_text(content)


def check_targets(*files: str | None) -> None:
    """Refuses files that could not be written, before anything is measured; ``None`` is none.

    Raises:
        UserError: One is a folder, or its folder is missing.
    """
    for file in filter(None, files):
        if Path(file).is_dir():
            raise UserError(f"{file}: is a folder, should be a file")
        if not Path(file).absolute().parent.is_dir():
            raise UserError(f"{file}: there is no folder {Path(file).parent}")


def write(file: str | None, text: str) -> None:
    """Writes ``text`` where ``file`` names a place, replaced whole or not at all."""
    if file is not None:
        write_atomically(Path(file), text)


def _notes(report: CostReport) -> list[tuple[str, list[str]]]:
    """Returns titles with the lines below them; none without lines."""
    failed: list[str] = []
    for cost in report.generators:
        failed += cost.why_incomplete()
    where = [f"{name}: {value}" for name, value in report.environment.items()]
    notes = [("Not measured", failed), ("How it was measured", list(report.methods.values())), ("Where", where)]
    return [(title, lines) for title, lines in notes if lines]


def _work(costs: Sequence[GeneratorCost]) -> Table:
    sizes = dict.fromkeys(size.size for cost in costs for size in cost.sizes)
    rows = []
    for cost in costs:
        work = dict.fromkeys(sizes, NOTHING)
        for size in cost.sizes:
            work[size.size] = "failed"
            if size.macs is not None:
                work[size.size] = f"{size.macs / GIGA:.3f}"
                if size.computed_size != size.size:
                    work[size.size] += f" (as {size.computed_size})"
        parameters = _number(cost.parameters, 0, "failed")
        rows.append([cost.name, cost.generator, parameters, _number(cost.mib, 2), *work.values()])
    columns = ["options", "generator", "parameters", "MiB fp32", *(f"GMACs {size}" for size in sizes)]
    return Table("Size and work", columns, rows, texts=2)


def _published(costs: Sequence[GeneratorCost]) -> Table:
    rows = []
    for cost in costs:
        for item in compare(cost):
            decimals = 0 if item.figure == "parameters" else 3
            off = NOTHING
            if item.deviation_percent is not None:
                off = f"{item.deviation_percent:+.2f} %"
            ours, theirs = _number(item.measured, decimals), _number(item.published, decimals)
            rows.append([cost.name, item.figure, ours, theirs, off])
    return Table("Beside the published figures", ["options", "figure", "ours", "published", "deviation"], rows, texts=2)


def _memory_and_time(costs: Sequence[GeneratorCost]) -> Table:
    columns = ["options", "size", "live peak MiB", "device peak MiB", "median s", "p95 s"]
    rows = []
    for cost in costs:
        for size in cost.sizes:
            live, device = _number(size.live_peak_bytes, 1, "failed", MIB), _number(size.device_peak_bytes, 1, unit=MIB)
            timed = [NOTHING, NOTHING]
            if size.latency is not None:
                timed = [f"{size.latency.median_s:.4f}", f"{size.latency.p95_s:.4f}"]
            rows.append([cost.name, size.size, live, device, *timed])
    # Columns of a device and of a clock appear only if some generator has a value in them.
    return Table("Memory and time of one image", columns, rows, texts=2).without_empty(*columns[3:])


def _ratios(ratios: Sequence[TimeRatio]) -> Table:
    rows = []
    for ratio in ratios:
        ours, spread = _number(ratio.median, 3), f"{ratio.p5:.3f} to {ratio.p95:.3f}"
        rows.append([ratio.name, ratio.against, ratio.size, ours, spread, _number(ratio.published, 3)])
    columns = ["options", "in units of", "size", "ours", "5 % to 95 % of rounds", "published for 720x1280"]
    return Table("Times within one paper", columns, rows, texts=3)


def _number(value: float | None, decimals: int, otherwise: str = NOTHING, unit: int = 1) -> str:
    return otherwise if value is None else f"{value / unit:,.{decimals}f}"
