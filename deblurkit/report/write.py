"""The report's files, rendered before any is replaced, each replaced whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from deblurkit.files import write_together
from deblurkit.report.comparison import comparison_markdown
from deblurkit.report.markdown import report_markdown
from deblurkit.report.model import PageContent
from deblurkit.report.publication import csv_table, latex
from deblurkit.results import CandidateResult, Facts

_OF_SEVERAL = ("comparison.json", "comparison.md")
_OF_ONE = ("metrics.json", "per_image.csv", "report.md")


def write_report(out: Path, content: PageContent, strips: Mapping[str, Mapping[str, str]]) -> None:
    """Writes one candidate's files into ``out``, which is made where it is missing.

    These are ``metrics.json``, ``per_image.csv``, ``report.md``, ``report.html``, ``tables.tex`` and ``tables.csv``.
    A comparison that an earlier run left there is removed.

    Args:
        out: The folder.
        content: What the page shows, of one candidate.
        strips: Pictures for ``report.md`` by data set: caption to path relative to ``out``.
    """
    (result,) = content.candidates
    own = {
        "metrics.json": json_text(result.to_json()),
        "per_image.csv": per_image_csv(result),
        "report.md": report_markdown(result, content.protocol, content.command, strips, content.paper),
    }
    _write(out, content, own, _OF_SEVERAL)


def write_comparison(out: Path, content: PageContent) -> None:
    """Writes what stands above several candidates' folders into ``out``, which is made where it is missing.

    These are ``comparison.json``, ``comparison.md``, ``report.html``, ``tables.tex`` and ``tables.csv``. The report of
    one candidate that an earlier run left there is removed, except its pictures.
    """
    compared = content.comparison
    own = {
        "comparison.json": json_text(compared.to_json()),
        "comparison.md": comparison_markdown(compared, content.protocol, content.command, content.paper),
    }
    _write(out, content, own, _OF_ONE)


def _write(out: Path, content: PageContent, own: Mapping[str, str], contradicting: Sequence[str]) -> None:
    """Writes the page, the tables for papers, and ``own`` texts by file name; removes what would contradict them."""
    from deblurkit.report.page.page import page_html  # the page's template engine and plots take long to import

    texts = {
        **own,
        "report.html": page_html(content),
        "tables.tex": latex(content.candidates, content.comparison, content.paper),
        "tables.csv": csv_table(content.candidates, content.comparison, content.paper),
    }
    # All are rendered by now: what cannot be written down leaves an earlier report as it was.
    out.mkdir(parents=True, exist_ok=True)
    write_together({out / name: text for name, text in texts.items()})
    for name in contradicting:
        (out / name).unlink(missing_ok=True)


def per_image_csv(result: CandidateResult) -> str:
    """Returns the table ``dataset,image,psnr_blurred,psnr_restored,...,seconds``; what is unknown is an empty cell.

    Between scores and seconds stand the facts that the protocol found, ``<fact>_blurred`` and ``<fact>_restored``,
    and in every row ``protocol`` and ``inference``, without which a score means nothing.
    """
    # Columns are those of all data sets together, in the order in which they first occur.
    scores: dict[str, None] = {}
    facts: dict[str, None] = {}
    for rows in result.rows.values():
        for row in rows:
            scores |= dict.fromkeys([*(row.blurred or {}), *(row.restored or {})])
            facts |= dict.fromkeys([*row.blurred_facts, *row.restored_facts])
    titles = ["dataset", "image"]
    for name in [*scores, *facts]:
        titles += [f"{name}_blurred", f"{name}_restored"]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow([*titles, "protocol", "inference", "seconds"])
    for dataset, rows in result.rows.items():
        entry = result.datasets[dataset]
        for row in rows:
            cells = [*_cells(scores, row.blurred, row.restored), *_cells(facts, row.blurred_facts, row.restored_facts)]
            seconds = None if row.seconds is None else f"{row.seconds:.6f}"
            writer.writerow([dataset, row.key, *cells, entry.protocol.title, entry.inference, seconds])
    return table.getvalue()


def _cells(names: Iterable[str], blurred: Facts | None, restored: Facts | None) -> list[Any]:
    cells = []
    for name in names:
        cells += [(blurred or {}).get(name), (restored or {}).get(name)]
    return cells


def json_text(content: Any) -> str:
    """Returns the text of a JSON file, for people to read too; ``NaN`` and infinities are refused."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
