"""``curves.html``: how one training went, or several side by side, in one file that needs no network."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from deblurkit.errors import UserError
from deblurkit.files import saying, write_atomically
from deblurkit.report.curves.groups import all_keys, grouped, plots, runs_table, scores_table, values_table
from deblurkit.report.curves.records import Run, read_run
from deblurkit.report.curves.strips import counted, strips_of
from deblurkit.report.templating import html_page

FILE = "curves.html"
"""The page's name in a work dir."""

_HERE = Path(__file__).parent
_SHARED = _HERE.parent / "page"  # the report's page, whose looks this one has


def write_curves(work_dirs: Sequence[Path], out: Path | None = None) -> Path:
    """Writes the page of one or several work dirs, also while they are trained in, and returns its file.

    Several are drawn into the same plots; ``out`` is ``curves.html`` in the first work dir by default.

    Raises:
        UserError: With everything that is wrong with the folders; or the page cannot be written.
    """
    folders = list(dict.fromkeys(Path(os.path.normpath(folder)) for folder in work_dirs))
    runs: list[Run] = []
    problems: list[str] = []
    for folder, name in zip(folders, _names(folders), strict=True):
        try:
            runs.append(read_run(folder, name))
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError(*problems)
    file = out or folders[0] / FILE
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise UserError(f"{file}: expected a file in a folder that is there")
    with saying(f"{file}: it cannot be written"):
        write_atomically(file, curves_html(runs))
    return file


def curves_html(runs: Sequence[Run]) -> str:
    """Returns the page of one or more runs, whose names differ.

    Whatever comes from the records is escaped, and a content security policy forbids all but the page's own script.
    """
    strips, notes_on_strips = strips_of(runs)
    notes = []
    for run in runs:
        notes += _notes(run)
    content = {
        "runs": runs,
        "several": len(runs) > 1,
        "notes": notes + notes_on_strips,
        "standing": runs_table(runs),
        "scores": scores_table(runs),
        "values": values_table(runs),
        "sections": {group: plots(group, held, runs) for group, held in grouped(all_keys(runs)).items()},
        "strips": strips,
        "command": shlex.join(["deblurkit", "curves", *(str(run.folder) for run in runs)]),
    }
    styles = ("theme.css", "layout.css", "curves.css")
    return html_page([_HERE, _SHARED], "curves.html.j2", styles, ("data.js", "theme.js"), content)


def _names(folders: Sequence[Path]) -> list[str]:
    """Names each folder by as many of its last parts as set it apart."""
    parts = [folder.absolute().parts for folder in folders]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(path[-count:]) for path in parts]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def _notes(run: Run) -> list[str]:
    notes = []
    bad = [f"{key} {curve.bad:,}" for key, curve in run.curves.items() if curve.bad]
    if bad:
        notes.append(f"{run.name}: values that are not finite are gaps in the curves: {', '.join(bad)}")
    if run.unread:
        said = "is no record and was" if run.unread == 1 else "are no records and were"
        notes.append(f"{run.name}: {counted(run.unread, 'line')} of scalars.jsonl {said} passed over")
    return notes
