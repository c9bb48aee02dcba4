"""What generators cost, beside what their papers say, as tables and JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deblurkit.errors import UserError
from deblurkit.report.tables import NOTHING, WIDE, Table, escape, rich_table
from deblurkit.report.write import write_text
from deblurkit.results import GeneratorCost, SizeCost, TimeRatio

GIGA, MIB = 10**9, 2**20
_GMACS_AT = {"gmacs_256": "256x256", "gmacs_720p": "720x1280"}
_SECONDS_AT = {"seconds_720p": "720x1280"}


@dataclass(frozen=True)
class Comparison:
    """One published figure beside ours.

    Attributes:
        figure: Its name in ``paper.cost``.
        published: The paper's.
        measured: Ours; ``None`` where it was not measured.
        deviation_percent: By how much ours is greater; ``None`` for times, which are another machine's.
    """

    figure: str
    published: float
    measured: float | None
    deviation_percent: float | None


def compare(cost: GeneratorCost) -> list[Comparison]:
    """Returns each published figure of a generator beside the one measured."""
    at = {size.size: size for size in cost.sizes}
    measured: dict[str, float | None] = {"parameters": cost.parameters, "mib": cost.mib}
    for figure, size in _GMACS_AT.items():
        macs = at[size].macs if size in at else None
        measured[figure] = None if macs is None else macs / GIGA
    for figure, size in _SECONDS_AT.items():
        latency = at[size].latency if size in at else None
        measured[figure] = None if latency is None else latency.median_s
    compared = []
    for figure, published in cost.published.items():
        ours = measured[figure]
        percent = None if ours is None or figure in _SECONDS_AT else 100 * (ours - published) / published
        compared.append(Comparison(figure, published, ours, percent))
    return compared


def tables(costs: Sequence[GeneratorCost], ratios: Sequence[TimeRatio] = ()) -> list[Table]:
    """Returns the tables of size and work, of published figures and ratios where there are any, of memory and time."""
    found = [_work(costs), _published(costs), _memory_and_time(costs), _ratios(ratios)]
    return [table for table in found if table.rows]


def show(
    costs: Sequence[GeneratorCost],
    methods: Mapping[str, str],
    environment: Mapping[str, Any],
    ratios: Sequence[TimeRatio] = (),
) -> None:
    """Prints the tables, what failed, how it was measured and where on standard output."""
    from rich.console import Console
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console.width = WIDE
    for table in tables(costs, ratios):
        console.print(rich_table(table))
    for title, lines in _notes(costs, methods, environment).items():
        console.print(Text("\n".join([f"{title}:", *(f"  {line}" for line in lines)])), soft_wrap=True)


def markdown(
    costs: Sequence[GeneratorCost],
    methods: Mapping[str, str],
    environment: Mapping[str, Any],
    ratios: Sequence[TimeRatio] = (),
) -> str:
    """Returns the tables, what failed, how it was measured and where, as a page."""
    lines = ["# What the generators cost", ""]
    for table in tables(costs, ratios):
        lines += markdown_table(table)
    for title, notes in _notes(costs, methods, environment).items():
        lines += [f"## {title}", "", *(f"- {escape(note)}" for note in notes), ""]
    return "\n".join(lines)


def markdown_table(table: Table) -> list[str]:
    """Returns a table's lines in Markdown, its title before and an empty line behind it."""
    rules = ["---" if index < table.texts else "---:" for index in range(len(table.columns))]
    cells = [table.columns, *([escape(cell) for cell in row] for row in table.rows)]
    first, *rest = (f"| {' | '.join(row)} |" for row in cells)
    return [f"## {table.title}", "", first, f"| {' | '.join(rules)} |", *rest, ""]


def as_json(
    costs: Sequence[GeneratorCost],
    methods: Mapping[str, str],
    environment: Mapping[str, Any],
    ratios: Sequence[TimeRatio] = (),
) -> str:
    """Returns everything measured as JSON: ``methods``, ``environment``, ``generators`` and ``ratios``."""
    generators = []
    for cost in costs:
        compared = [dataclasses.asdict(comparison) for comparison in compare(cost)]
        generators.append({**dataclasses.asdict(cost), "mib": cost.mib, "published": compared})
    content = {
        "methods": dict(methods),
        "environment": dict(environment),
        "generators": generators,
        "ratios": [dataclasses.asdict(ratio) for ratio in ratios],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


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
        write_text(Path(file), text)


def _notes(
    costs: Sequence[GeneratorCost], methods: Mapping[str, str], environment: Mapping[str, Any]
) -> dict[str, list[str]]:
    notes = {
        "Not measured": [line for cost in costs for line in cost.why_incomplete()],
        "How it was measured": list(methods.values()),
        "Where": [f"{name}: {value}" for name, value in environment.items()],
    }
    return {title: lines for title, lines in notes.items() if lines}


def _work(costs: Sequence[GeneratorCost]) -> Table:
    sizes = list(dict.fromkeys(size.size for cost in costs for size in cost.sizes))
    rows = []
    for cost in costs:
        at = {size.size: size for size in cost.sizes}
        parameters = "failed" if cost.parameters is None else f"{cost.parameters:,}"
        work = [_gmacs(at[size]) if size in at else NOTHING for size in sizes]
        rows.append([cost.name, cost.generator, parameters, _number(cost.mib, 2), *work])
    columns = ["options", "generator", "parameters", "MiB fp32", *(f"GMACs {size}" for size in sizes)]
    return Table("Size and work", columns, rows, texts=2)


def _gmacs(cost: SizeCost) -> str:
    if cost.macs is None:
        return "failed"
    padded = "" if cost.computed_size == cost.size else f" (as {cost.computed_size})"
    return f"{cost.macs / GIGA:.3f}{padded}"


def _published(costs: Sequence[GeneratorCost]) -> Table:
    rows = []
    for cost in costs:
        for item in compare(cost):
            decimals = 0 if item.figure == "parameters" else 3
            off = NOTHING if item.deviation_percent is None else f"{item.deviation_percent:+.2f} %"
            ours, theirs = _number(item.measured, decimals), _number(item.published, decimals)
            rows.append([cost.name, item.figure, ours, theirs, off])
    return Table("Beside the published figures", ["options", "figure", "ours", "published", "deviation"], rows, texts=2)


def _memory_and_time(costs: Sequence[GeneratorCost]) -> Table:
    every = [size for cost in costs for size in cost.sizes]
    on_device = any(size.device_peak_bytes is not None for size in every)
    timed = any(size.latency is not None for size in every)
    rows = []
    for cost in costs:
        for size in cost.sizes:
            times = size.latency
            cells = ["failed" if size.live_peak_bytes is None else _number(size.live_peak_bytes / MIB, 1)]
            if on_device:
                cells.append(_number(None if size.device_peak_bytes is None else size.device_peak_bytes / MIB, 1))
            if timed:
                cells += [NOTHING] * 2 if times is None else [f"{times.median_s:.4f}", f"{times.p95_s:.4f}"]
            rows.append([cost.name, size.size, *cells])
    measured = [*(["device peak MiB"] if on_device else []), *(["median s", "p95 s"] if timed else [])]
    return Table("Memory and time of one image", ["options", "size", "live peak MiB", *measured], rows, texts=2)


def _ratios(ratios: Sequence[TimeRatio]) -> Table:
    rows = [
        [
            ratio.name,
            ratio.against,
            ratio.size,
            _number(ratio.median, 3),
            f"{ratio.p5:.3f} to {ratio.p95:.3f}",
            _number(ratio.published, 3),
        ]
        for ratio in ratios
    ]
    columns = ["options", "in units of", "size", "ours", "5 % to 95 % of rounds", "published for 720x1280"]
    return Table("Times within one paper", columns, rows, texts=3)


def _number(value: float | None, decimals: int) -> str:
    return NOTHING if value is None else f"{value:,.{decimals}f}"
