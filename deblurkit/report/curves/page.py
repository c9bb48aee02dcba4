"""``curves.html``: how one training went, or several side by side, in one file that needs no network."""

from __future__ import annotations

import base64
import hashlib
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deblurkit.errors import UserError
from deblurkit.report.curves.groups import all_keys, grouped, plots, runs_table, scores_table, values_table
from deblurkit.report.curves.records import Run, read_run
from deblurkit.report.page.embedded import data_uri
from deblurkit.report.write import write_text

FILE = "curves.html"
"""What the page is called in a work dir."""

_HERE = Path(__file__).parent
_SHARED = _HERE.parent / "page"  # the report's page, whose looks this one has
_STYLES = (_SHARED / "theme.css", _SHARED / "layout.css", _HERE / "curves.css")
_SCRIPTS = (_SHARED / "data.js", _SHARED / "theme.js")
_STRIPS = 6  # shown of each validation set
_STRIP_BYTES = 8_000_000  # of all strips of a page


@dataclass(frozen=True)
class Strip:
    """Sample images of one validation.

    Attributes:
        iteration: When it was.
        source: The picture as a data URI.
    """

    iteration: int
    source: str


def write_curves(work_dirs: Sequence[Path], out: Path | None = None) -> Path:
    """Write the page of one or several work dirs, also while they are trained in.

    Args:
        work_dirs: At least one; several are drawn into the same plots.
        out: The file; by default ``curves.html`` in the first work dir.

    Returns:
        The file.

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
    file = folders[0] / FILE if out is None else out
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise UserError(f"{file}: expected a file in a folder that is there")
    try:
        write_text(file, curves_html(runs))
    except OSError as error:
        raise UserError(f"{file}: it cannot be written: {error.strerror or error}") from None
    return file


def curves_html(runs: Sequence[Run]) -> str:
    """Return the page.

    Whatever comes from the records is escaped, and a content security policy forbids all but the page's own script.

    Args:
        runs: At least one, with names that differ.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([_HERE, _SHARED]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = _joined(_SCRIPTS)
    sections = {group: plots(group, keys, runs) for group, keys in grouped(all_keys(runs)).items()}
    return environment.get_template("curves.html.j2").render(
        runs=runs,
        several=len(runs) > 1,
        notes=[note for run in runs for note in _notes(run)],
        standing=runs_table(runs),
        scores=scores_table(runs),
        values=values_table(runs),
        sections=sections,
        strips=_strips(runs),
        command=shlex.join(["python", "tools/curves.py", *(str(run.folder) for run in runs)]),
        style=Markup(_joined(_STYLES)),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        safe=Markup,
    )


def _joined(files: Sequence[Path]) -> str:
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def _names(folders: Sequence[Path]) -> list[str]:
    """Name each folder by as many of its last parts as set it apart."""
    parts = [folder.absolute().parts for folder in folders]
    longest = max(map(len, parts))
    for count in range(1, longest + 1):
        names = ["/".join(path[-count:]) for path in parts]
        if len(set(names)) == len(names):
            return names
    return [str(folder) for folder in folders]


def _notes(run: Run) -> list[str]:
    bad = {key: curve.bad for key, curve in run.curves.items() if curve.bad}
    notes = []
    if bad:
        told = ", ".join(f"{key} {count:,}" for key, count in bad.items())
        notes.append(f"{run.name}: values that are not finite are gaps in the curves: {told}")
    if run.unread:
        notes.append(f"{run.name}: {run.unread:,} lines of scalars.jsonl are no records and were passed over")
    return notes


def _strips(runs: Sequence[Run]) -> dict[str, list[Strip]]:
    """Return the sample strips by the run and validation set that they show: the first, the last, some between."""
    found: dict[str, list[Strip]] = {}
    room = _STRIP_BYTES
    for run in runs:
        for folder in sorted((run.folder / "samples").glob("*/")):
            title = f"{run.name}: {folder.name}" if len(runs) > 1 else folder.name
            for file in _spread(sorted(folder.glob("iter_*.jpg"))):
                data = file.read_bytes()
                room -= len(data)
                if room >= 0:
                    found.setdefault(title, []).append(Strip(int(file.stem.removeprefix("iter_")), data_uri(data)))
    return found


def _spread(files: Sequence[Path]) -> list[Path]:
    """Choose at most :data:`_STRIPS` files, the first and the last among them."""
    if len(files) <= _STRIPS:
        return list(files)
    return [files[round(place * (len(files) - 1) / (_STRIPS - 1))] for place in range(_STRIPS)]
