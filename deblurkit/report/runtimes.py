"""The times of networks in several runtimes, as a table and as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from deblurkit.costs import RuntimeCost
from deblurkit.report.costs import markdown_notes, markdown_table
from deblurkit.report.tables import NOTHING, Table
from deblurkit.report.write import json_text
from deblurkit.results import plain

HOW = (
    "Each runtime restored the same images in turn, each with as many threads; the ratio is the median of a round's "
    "ratios to the row without an agreement. Agreement: the PSNR of both results, for the image where it is lowest."
)


def table(costs: Sequence[RuntimeCost], size: str) -> Table:
    """Returns a row for each file and runtime, in the order of ``costs``."""
    rows = []
    for cost in costs:
        psnr = NOTHING if cost.psnr is None else f"{cost.psnr:.1f}"
        if cost.psnr is not None and math.isinf(cost.psnr):
            psnr = "equal"
        times = [f"{cost.median_s:.3f}", f"{cost.least_s:.3f}", f"{cost.ratio:.2f}"]
        rows.append([cost.file, cost.runtime, cost.precision, *times, psnr])
    columns = ["file", "runtime", "precision", "median s", "least s", "ratio", "agreement dB"]
    return Table(f"Time of one image of {size}", columns, rows, texts=3)


def markdown(found: Table, notes: Sequence[str], environment: Mapping[str, str | int]) -> str:
    """Returns the table, which runtimes are missing, how it was measured and where, as a page."""
    where = [f"{name}: {value}" for name, value in environment.items()]
    said = markdown_notes([("Not measured", notes), ("How it was measured", [HOW]), ("Where", where)])
    return "\n".join(["# Networks in several runtimes", "", *markdown_table(found), *said])


def as_json(costs: Sequence[RuntimeCost], notes: Sequence[str], environment: Mapping[str, str | int]) -> str:
    """Returns everything measured as JSON: ``runtimes``, ``notes`` and ``environment``."""
    rows = [plain(dataclasses.asdict(cost)) for cost in costs]
    return json_text({"runtimes": rows, "notes": list(notes), "environment": dict(environment)})
