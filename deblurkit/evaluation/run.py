"""One evaluation, from data sets and candidates to the written report.

Each candidate in turn restores and scores all data sets (:mod:`scoring`), or goes on where an earlier run stopped
(:mod:`resume`); its outcomes become a result (:mod:`aggregate`). Once all are scored they are compared
(:mod:`comparison`), and the pages are written with the images that the scores single out (:mod:`showcase`).
"""

from __future__ import annotations

import functools
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deblurkit.data.loader import describe
from deblurkit.evaluation import provenance
from deblurkit.evaluation.aggregate import dataset_result, infinite_notes
from deblurkit.evaluation.candidates import Candidate, OpenSource
from deblurkit.evaluation.comparison import compare
from deblurkit.evaluation.resume import Journal, fingerprint, held, journal_file, kept_images, remove
from deblurkit.evaluation.scoring import Keeping, Outcome, image_file, score_dataset, undefined_notes
from deblurkit.evaluation.sets import Evaluation, describe_metrics
from deblurkit.evaluation.showcase import ScoredCandidate, Showcase, thumbnail
from deblurkit.options.dump import options_text, write_options
from deblurkit.report.comparison import comparison_tables
from deblurkit.report.model import PageContent, Paper, PublishedRow
from deblurkit.report.tables import as_text, headline
from deblurkit.report.write import write_comparison, write_report
from deblurkit.results import CandidateResult, Comparison, DatasetResult, ImageScore, plain

if TYPE_CHECKING:
    from deblurkit.options.schema import Options


@dataclass(frozen=True)
class Report:
    """A written report, and where it lies: the candidates' results, and the same side by side."""

    folder: Path
    candidates: Sequence[CandidateResult]
    compared: Comparison

    def text(self) -> str:
        """Returns what a terminal shows: the scores, what to mind, and where the report lies."""
        if len(self.candidates) > 1:
            tables, notes = comparison_tables(self.compared), self.compared.notes
        else:
            tables, notes = [headline(self.candidates[0])], self.candidates[0].notes
        return "\n".join([as_text(*tables), *notes, f"report: {self.folder}"])


def run(
    evaluation: Evaluation,
    candidates: Sequence[Candidate],
    out: Path,
    *,
    command: str,
    options: Options | None = None,
    keep_options: Path | None = None,
) -> Report:
    """Scores the candidates, one after the other, and writes the report; ``out`` is ours meanwhile.

    Args:
        evaluation: On what, and how.
        candidates: What is scored; of several, each gets a folder of its own below ``out``.
        out: The report's folder; made where it is missing.
        command: What to run to get these numbers again.
        options: Whose test sets these are.
        keep_options: Where to write them, if ``command`` needs them.

    Raises:
        UserError: An image cannot be read or scored, or another run is writing to ``out``.
        NonFiniteOutputError: The generator returned pixels that are no numbers; names the image.
    """
    several = len(candidates) > 1
    folders = [out / candidate.name if several else out for candidate in candidates]
    with held(out, folders):
        scored: list[ScoredCandidate] = []
        results: list[CandidateResult] = []
        for candidate, folder in zip(candidates, folders, strict=True):
            scored.append(_score(candidate, evaluation, folder, several))
            results.append(scored[-1].result)
        # A page shows candidates beside each other, and the images on which they differ: none is written before.
        compared = compare(results)
        if options is not None and keep_options is not None:
            write_options(options, keep_options)
        _write_pages(evaluation, scored, compared, out, command, options)
        # Last: until the report stands, a run that is killed goes on from the journals.
        for folder in folders:
            for name in evaluation.sets:
                remove(folder, name)
    return Report(out, results, compared)


def _score(candidate: Candidate, evaluation: Evaluation, folder: Path, one_of_several: bool) -> ScoredCandidate:
    """Scores one candidate on all data sets; of several, progress and messages name it."""
    datasets: dict[str, DatasetResult] = {}
    rows: dict[str, list[ImageScore]] = {}
    thumbnails: dict[str, dict[str, bytes]] = {}
    notes: list[str] = []
    with candidate.opened() as open_source:
        for name in evaluation.sets:
            title = f"{candidate.name}, {name}" if one_of_several else name
            outcomes, datasets[name], more = _score_set(candidate, evaluation, name, folder, open_source, title)
            notes += more
            rows[name], thumbnails[name] = [], {}
            for outcome in outcomes:
                rows[name].append(outcome.row)
                if outcome.thumbnail is not None:
                    thumbnails[name][outcome.row.key] = outcome.thumbnail
    environment = provenance.environment(evaluation.device, evaluation.precision)
    every = [*candidate.notes(evaluation.sets), *evaluation.missing, *provenance.set_notes(evaluation.sets), *notes]
    for protocol in evaluation.protocols:
        every += protocol.notes()
    result = CandidateResult(
        name=candidate.name,
        metrics=describe_metrics(evaluation.protocols),
        weights=candidate.weights,
        restored=candidate.restored,
        trained_on=candidate.trained_on,
        date=environment.pop("date"),
        environment=environment,
        datasets=datasets,
        notes=list(dict.fromkeys(every)),
        rows=rows,
    )
    return ScoredCandidate(candidate, folder, result, thumbnails)


def _score_set(
    candidate: Candidate, evaluation: Evaluation, name: str, folder: Path, open_source: OpenSource, title: str
) -> tuple[list[Outcome], DatasetResult, list[str]]:
    """Returns the outcomes of one data set, what they come to, and notes."""
    test, settings = evaluation.sets[name], evaluation.settings
    protocol = test.protocol
    journal = Journal(journal_file(folder, name), fingerprint(candidate.identity, evaluation, name))
    known = _known(journal, evaluation, folder, name, title)
    # What the source says at the end is of all images, so it must know what befell those of the earlier run.
    source = open_source(name, test)
    modes, events = Counter[str](), Counter[str]()
    for outcome in known.values():
        events.update(outcome.events)
        if outcome.mode is not None:
            modes[outcome.mode] += 1
    source.resume(modes, events)
    # Which images the pages show is known when all are scored; until then each is kept, so that none is restored twice.
    keep = None  # images in a folder are there already
    if candidate.restores or settings.save_images:
        keep = functools.partial(evaluation.restored_file, folder, name)
    try:
        # The journal is written as images are scored, so that at most those under way are lost.
        outcomes = score_dataset(
            source,
            test.dataset,
            protocol,
            seed=evaluation.seed,
            indices=test.indices,
            done=known,
            keeping=Keeping(keep, thumbnail, journal.record),
            progress=None if settings.progress is None else functools.partial(settings.progress, title),
        )
    finally:
        journal.close()

    # Scores that a paper states are of its own conditions, and shown beside scores of these only.
    alike = candidate.tested_otherwise(name, test) is None
    result = dataset_result(
        outcomes,
        protocol,
        journal.elapsed,
        inference=test.inference,
        data=plain(describe(test.dataset)),
        published=candidate.published.get(name) if alike else None,
    )
    notes = [f"{name}: {note}" for note in source.notes()]
    restored, blurred = [each.row.restored_facts for each in outcomes], [each.row.blurred_facts for each in outcomes]
    for side, facts in (("restored", restored), ("blurred", blurred)):
        for line in [*protocol.facts_summary(facts), *undefined_notes(facts)]:
            notes.append(f"{name}, {side}: {line}")
    notes += [f"{name}, {line}" for line in infinite_notes([each.row for each in outcomes], result.infinite)]
    return outcomes, result, notes


def _known(journal: Journal, evaluation: Evaluation, folder: Path, name: str, title: str) -> dict[int, Outcome]:
    """Returns the outcomes of an earlier run that this one goes on from, by index, and says what became of that run."""
    known, settings = dict(journal.outcomes), evaluation.settings
    if settings.save_images:  # an image that was removed since is restored again
        images = evaluation.images_folder(folder, name)
        known = {index: each for index, each in known.items() if image_file(images, each.row.key).is_file()}
    if known:
        done = f"{len(known)} of {len(evaluation.sets[name].indices)}"
        settings.say(f"{title}: {done} images were scored by an earlier run; going on from there")
    else:
        shutil.rmtree(kept_images(folder, name), ignore_errors=True)  # they may be another candidate's
    if journal.differing:
        differ = ", ".join(journal.differing)
        settings.say(f"{title}: an earlier run was interrupted, but differed in {differ}; starting anew")
    return known


def _write_pages(
    evaluation: Evaluation,
    scored: Sequence[ScoredCandidate],
    compared: Comparison,
    out: Path,
    command: str,
    options: Options | None,
) -> None:
    """Writes the pages of each candidate and, of several, those of the comparison above them."""
    showcase = Showcase(evaluation, scored)
    showcase.restore_lacking()
    paper = None
    if options is not None and options.paper is not None:
        rows = []
        for row in options.paper.compared:
            values = {key: value for key, value in row.items() if key not in ("method", "dataset")}
            rows.append(PublishedRow(str(row.get("method", "-")), str(row.get("dataset", "-")), values))
        paper = Paper(options.paper.title, options.paper.published, rows)

    def content(shown: Sequence[ScoredCandidate], comparison: Comparison, page: Path) -> PageContent:
        names = list(comparison.candidates)
        return PageContent(
            title=", ".join(names),
            candidates=[each.result for each in shown],
            comparison=comparison,
            pictures=showcase.pictures(names),
            thumbnails=shown[0].thumbnails,
            files=_saved_files(evaluation, shown, page),
            protocol="\n\n".join(protocol.explain() for protocol in evaluation.protocols),
            command=command,
            options=None if options is None else options_text(options),
            paper=paper,
        )

    for each in scored:
        alone = compare([each.result])
        write_report(each.folder, content([each], alone, each.folder), showcase.strips(each.result.name))
    if len(scored) > 1:
        write_comparison(out, content(scored, compared, out))


def _saved_files(
    evaluation: Evaluation, shown: Sequence[ScoredCandidate], page: Path
) -> dict[str, dict[str, dict[str, str]]]:
    """Returns the paths of saved images, relative to the folder ``page``, by data set, key and panel."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    if not evaluation.settings.save_images:
        return found
    for each in shown:
        for name, rows in each.result.rows.items():
            for row in rows:
                path = image_file(evaluation.images_folder(each.folder, name), row.key).relative_to(page)
                found.setdefault(name, {}).setdefault(row.key, {})[f"restored/{each.result.name}"] = path.as_posix()
    return found
