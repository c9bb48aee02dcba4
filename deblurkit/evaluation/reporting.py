"""From candidates that were scored to the files of their report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deblurkit.evaluation import resume
from deblurkit.evaluation.gallery import gallery
from deblurkit.evaluation.judging import Evaluation, Judged
from deblurkit.evaluation.scoring import image_file
from deblurkit.options.dump import options_text, write_options
from deblurkit.report.comparison import comparison, comparison_tables
from deblurkit.report.model import Candidate, PageContent
from deblurkit.report.tables import as_text, headline
from deblurkit.report.write import plain, write_comparison, write_report

if TYPE_CHECKING:
    from deblurkit.options.schema import Options


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        folder: Where.
        candidates: What was scored.
        compared: The content of ``comparison.json``; ``None`` for one candidate.
    """

    folder: Path
    candidates: Sequence[Candidate]
    compared: Mapping[str, Any] | None

    def text(self) -> str:
        """Returns what a terminal shows: the scores, what to mind, and where the report lies."""
        if self.compared is not None:
            tables, notes = comparison_tables(self.compared), self.compared["notes"]
        else:
            metrics = self.candidates[0].metrics
            tables, notes = [headline(metrics)], metrics["notes"]
        return "\n".join([as_text(*tables), *notes, f"report: {self.folder}"])


def report(
    evaluation: Evaluation,
    judged: Sequence[Judged],
    folder: Path,
    *,
    command: str,
    options: Options | None = None,
    keep_options: Path | None = None,
) -> Report:
    """Writes the report of each candidate and, of several, the comparison above; then forgets the journals.

    Args:
        evaluation: What was evaluated.
        judged: Its candidates.
        folder: Where to; it exists.
        command: What to run to get these numbers again.
        options: Whose test sets these were.
        keep_options: Where to write them, if ``command`` needs them.
    """
    if options is not None and keep_options is not None:
        write_options(options, keep_options)
    shared: dict[str, Any] = {
        "protocol": "\n\n".join(protocol.explain() for protocol in evaluation.protocols),
        "command": command,
        "options": None if options is None else options_text(options),
        "paper": _paper(options),
    }
    candidates = [each.candidate for each in judged]
    compared = comparison(candidates) if len(judged) > 1 else None
    _write(evaluation, judged, folder, compared, shared)
    for each in judged:
        for file in each.journals:
            resume.remove(file)
    return Report(folder, candidates, compared)


def _write(
    evaluation: Evaluation,
    judged: Sequence[Judged],
    folder: Path,
    compared: Mapping[str, Any] | None,
    shared: Mapping[str, Any],
) -> None:
    """Writes the pages of each candidate and, of several, those of the comparison; ``shared`` is the same in all."""
    candidates = [each.candidate for each in judged]
    names = [candidate.name for candidate in candidates]
    with gallery(evaluation, judged) as shown:
        for each, name in zip(judged, names, strict=True):
            content = PageContent(
                title=name,
                candidates=[each.candidate],
                comparison=None,
                pictures=shown.pictures([name]),
                thumbnails=each.thumbnails,
                files=_files(evaluation, [each], each.folder),
                **shared,
            )
            write_report(each.folder, content, shown.strips(name))
        if compared is not None:
            content = PageContent(
                title=", ".join(names),
                candidates=candidates,
                comparison=plain(compared),
                pictures=shown.pictures(names),
                thumbnails=judged[0].thumbnails,
                files=_files(evaluation, judged, folder),
                **shared,
            )
            write_comparison(folder, content)


def _paper(options: Options | None) -> dict[str, Any] | None:
    paper = options.paper if options is not None else None
    return None if paper is None else paper.model_dump(include={"title", "published", "compared"})


def _files(evaluation: Evaluation, judged: Sequence[Judged], page: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Returns the paths of restored images that were kept, relative to a page in the folder ``page``."""
    found: dict[str, dict[str, dict[str, str]]] = {name: {} for name in evaluation.sets}
    for each in judged if evaluation.save_images else ():
        for name, rows in each.candidate.rows.items():
            for row in rows:
                path = image_file(each.folder / "images" / name, row.key).relative_to(page)
                found[name].setdefault(row.key, {})[f"restored/{each.candidate.name}"] = path.as_posix()
    return found
