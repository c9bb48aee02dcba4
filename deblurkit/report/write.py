"""The report's files, rendered before any is replaced, each replaced whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deblurkit.files import write_atomically, write_together
from deblurkit.report.comparison import comparison, comparison_markdown
from deblurkit.report.model import Candidate, PageContent
from deblurkit.report.publication import csv_table, latex
from deblurkit.report.scorings import with_version
from deblurkit.report.tables import report_markdown

_OF_SEVERAL = ("comparison.json", "comparison.md")
_OF_ONE = ("metrics.json", "per_image.csv", "report.md")


def write_report(out: Path, content: PageContent, strips: Mapping[str, Mapping[str, str]]) -> None:
    """Writes one candidate's files into ``out``, which is made where it is missing.

    These are ``metrics.json``, ``per_image.csv``, ``report.md``, ``report.html``, ``tables.tex`` and ``tables.csv``.
    A comparison that an earlier run left there is removed.

    Args:
        out: The folder.
        content: What the page shows, of one candidate; its metrics are plain already: see :func:`plain`.
        strips: Pictures for ``report.md`` by data set: caption to path relative to ``out``.
    """
    from deblurkit.report.page.page import page_html  # the page's template engine and plots take long to import

    (candidate,) = content.candidates
    alone = comparison([candidate])
    texts = {
        "metrics.json": _json(candidate.metrics),
        "per_image.csv": per_image_csv(candidate),
        "report.md": report_markdown(candidate, content.protocol, content.command, strips, content.paper),
        "report.html": page_html(content),
        "tables.tex": latex([candidate], alone, content.paper),
        "tables.csv": csv_table([candidate], alone, content.paper),
    }
    out.mkdir(parents=True, exist_ok=True)
    write_together({out / name: text for name, text in texts.items()})
    _remove(out, _OF_SEVERAL)


def write_comparison(out: Path, content: PageContent) -> None:
    """Writes what stands above several candidates' folders into ``out``, which is made where it is missing.

    These are ``comparison.json``, ``comparison.md``, ``report.html``, ``tables.tex`` and ``tables.csv``. The report of
    one candidate that an earlier run left there is removed, but for its pictures.

    Args:
        out: The folder.
        content: What the page shows, with its ``comparison``, plain: see :func:`plain`.
    """
    from deblurkit.report.page.page import page_html  # the page's template engine and plots take long to import

    compared = content.comparison
    if compared is None:
        raise ValueError("a comparison is written of several candidates")
    texts = {
        "comparison.json": _json(compared),
        "comparison.md": comparison_markdown(compared, content.protocol, content.command, content.paper),
        "report.html": page_html(content),
        "tables.tex": latex(content.candidates, compared, content.paper),
        "tables.csv": csv_table(content.candidates, compared, content.paper),
    }
    out.mkdir(parents=True, exist_ok=True)
    write_together({out / name: text for name, text in texts.items()})
    _remove(out, _OF_ONE)


def plain(value: Any) -> Any:
    """Returns ``value`` as JSON can hold it: infinities as ``"inf"`` and ``"-inf"``, tuples as lists.

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


def per_image_csv(candidate: Candidate) -> str:
    """Returns the table ``dataset,image,psnr_blurred,psnr_restored,...,seconds``; what is unknown is an empty cell.

    Between scores and seconds stand the facts that the protocol found, ``<fact>_blurred`` and ``<fact>_restored``,
    and in every row ``protocol`` and ``inference``, without which a score means nothing.
    """
    images = [(name, row) for name, part in candidate.rows.items() for row in part]
    scores = [((row.blurred or {}), (row.restored or {})) for _, row in images]
    facts = [(row.blurred_facts, row.restored_facts) for _, row in images]
    columns = [(values, _names(values)) for values in (scores, facts)]
    titles = [f"{name}_{side}" for _, names in columns for name in names for side in ("blurred", "restored")]
    entries = candidate.metrics["datasets"]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["dataset", "image", *titles, "protocol", "inference", "seconds"])
    for index, (dataset, row) in enumerate(images):
        cells = [side.get(name) for values, names in columns for name in names for side in values[index]]
        seconds = None if row.seconds is None else f"{row.seconds:.6f}"
        how = (with_version(entries[dataset]["protocol"]), entries[dataset]["inference"])
        writer.writerow([dataset, row.key, *cells, *how, seconds])
    return table.getvalue()


def write_text(path: Path, text: str) -> None:
    """Writes a page or a table, whole or not at all."""
    write_atomically(path, text)


def _remove(folder: Path, names: Sequence[str]) -> None:
    """Removes what would contradict the files that were just written."""
    for name in names:
        (folder / name).unlink(missing_ok=True)


def _json(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _names(sides: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> list[str]:
    return list(dict.fromkeys(name for pair in sides for side in pair for name in side))
