"""The report's files: ``metrics.json``, ``per_image.csv`` and ``report.md``, each replaced whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deblurkit.report.tables import Rows, page


def write_report(
    out: Path,
    metrics: Mapping[str, Any],
    rows: Rows,
    *,
    protocol: str,
    command: str,
    strips: Mapping[str, Mapping[str, str]],
    paper: Mapping[str, Any] | None = None,
) -> None:
    """Write the report's three files into ``out``, which is made where it is missing.

    Args:
        out: The folder.
        metrics: The content of ``metrics.json``, already plain: see :func:`plain`.
        rows: Each data set's images.
        protocol: The protocol explained.
        command: What to run to get these numbers again.
        strips: Pictures by data set: caption to path relative to ``out``.
        paper: ``title`` of the experiment's paper and the rows that it has ``compared``.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "metrics.json", json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    write_text(out / "per_image.csv", per_image_csv(rows))
    write_text(out / "report.md", page(metrics, rows, protocol, command, strips, paper))


def plain(value: Any) -> Any:
    """Return ``value`` as JSON can hold it: infinities as ``"inf"`` and ``"-inf"``, tuples as lists.

    >>> plain({"psnr": math.inf, "ssim": 1.0, "sizes": (1, 2)})
    {'psnr': 'inf', 'ssim': 1.0, 'sizes': [1, 2]}

    Raises:
        ValueError: A value is NaN, which no score may be.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            raise ValueError("a score is NaN")
        return "inf" if value > 0 else "-inf"
    return value


def per_image_csv(rows: Rows) -> str:
    """Return the table ``dataset,image,psnr_blurred,psnr_restored,...,seconds``; unknown scores are empty cells."""
    metrics = list(dict.fromkeys(name for images in rows.values() for row in images for name in row.restored or {}))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    titles = [f"{metric}_{side}" for metric in metrics for side in ("blurred", "restored")]
    writer.writerow(["dataset", "image", *titles, "seconds"])
    for name, images in rows.items():
        for row in images:
            sides = (row.blurred or {}, row.restored or {})
            scores = [side.get(metric) for metric in metrics for side in sides]
            writer.writerow([name, row.key, *scores, f"{row.seconds:.6f}"])
    return table.getvalue()


def write_text(path: Path, text: str) -> None:
    """Write ``text`` in UTF-8 under another name first, then rename."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
