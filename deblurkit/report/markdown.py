"""The page ``report.md`` of one candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deblurkit.report.model import Paper
from deblurkit.report.ranking import ranked, ranked_by_score, share_gained
from deblurkit.report.scorings import scorings_of
from deblurkit.report.tables import ABOUT_INTERVALS, Scale, Table, escape, headline, published, scale
from deblurkit.report.templating import text_environment
from deblurkit.results import CandidateResult, DatasetResult, Facts, ImageScore, Means, ScoreKind

_EXTREMES = 3  # best and worst images listed for each data set
_GROUPS = 30  # videos, posters or scenes listed for each data set


def report_markdown(
    result: CandidateResult,
    protocol: str,
    command: str,
    strips: Mapping[str, Mapping[str, str]],
    paper: Paper | None = None,
) -> str:
    """Returns ``report.md``; for the texts see :class:`~deblurkit.report.model.PageContent`.

    ``strips`` are pictures ``blurred | restored | sharp`` by data set: caption to path relative to the page.
    """
    sections = []
    data = []
    if result.trained_on:
        data.append(["training", _listed(result.trained_on)])
    for name, rows in result.rows.items():
        sections.append(_section(name, rows, result.datasets[name], result.metrics, strips.get(name, {})))
        described = result.datasets[name].data
        if described:
            data.append([name, _listed(described)])
    environment = []
    for name, value in {"date": result.date, **result.environment}.items():
        if value not in (None, ""):
            environment.append([name, str(value)])
    content = {
        "result": result,
        "scorings": scorings_of(result),
        "headline": headline(result),
        "about_intervals": ABOUT_INTERVALS,
        "paper": paper,
        "published": published(paper),
        "data": Table("Data", ["data set", "what it is"], data, texts=2),
        "sections": sections,
        "environment": Table("Environment", ["", ""], environment, texts=2),
        "protocol": protocol,
        "command": command,
    }
    return render("report.md.j2", content)


def render(template: str, content: Mapping[str, Any]) -> str:
    """Fills in one of the Markdown templates; a name that it misses is an error."""
    return text_environment({"md": escape}).get_template(template).render(content)


@dataclass(frozen=True)
class _Group:
    """The means of one kind of group, such as videos, and how many of them the table leaves out."""

    table: Table
    left_out: int


@dataclass(frozen=True)
class _Section:
    """A data set in ``report.md``.

    Attributes:
        first: The metric that ranks the images; ``None`` where nothing was scored.
        share: Of the images that gained in it.
        by_gain: Whether images are ranked by gain, else by score: nothing is known of the blurred ones.
        extremes: The images at both ends of that ranking.
        strips: Caption to path.
        seconds, per_image, inference: Times and modes in words; empty where nothing is known.
    """

    name: str
    protocol: str
    images: int
    first: Scale | None
    share: float | None
    by_gain: bool
    extremes: Table | None
    groups: Sequence[_Group]
    strips: Mapping[str, str]
    seconds: str
    per_image: str
    inference: str


def _section(
    name: str,
    rows: Sequence[ImageScore],
    entry: DatasetResult,
    known: Mapping[str, ScoreKind],
    strips: Mapping[str, str],
) -> _Section:
    scales = [scale(metric, known) for metric in entry.restored or {}]
    first = next(iter(scales), None)
    share, by_gain, extremes = None, False, None
    if first is not None:
        share = share_gained(rows, first.name, first.sign >= 0)
        order = ranked(rows, first.name, first.sign >= 0)
        by_gain = bool(order)
        extremes = _extremes(order or ranked_by_score(rows, first.name, first.sign >= 0), scales, by_gain)
    timed, per_image = entry.seconds_per_image, ""
    if timed is not None:
        per_image = f"median {timed.median:.3f}, 95th percentile {timed.p95:.3f}"
    return _Section(
        name=name,
        protocol=entry.protocol.id,
        images=len(rows),
        first=first,
        share=share,
        by_gain=by_gain,
        extremes=extremes,
        groups=[_group(kind, means, scales) for kind, means in entry.groups.items() if len(means) > 1],
        strips=strips,
        seconds=", ".join(f"{part} {value:.1f}" for part, value in vars(entry.seconds).items() if value is not None),
        per_image=per_image,
        inference=_listed(entry.inference_used),
    )


def _extremes(order: Sequence[ImageScore], scales: Sequence[Scale], by_gain: bool) -> Table:
    """Returns the images at both ends of a ranking, with all their scores."""
    chosen = order if len(order) <= 2 * _EXTREMES else [*order[:_EXTREMES], *order[-_EXTREMES:]]
    columns, rows = ["image"], [[row.key] for row in chosen]
    for each in scales:
        columns += [f"{each.name} blurred", f"{each.name} restored", f"{each.name} gain"]
        for cells, row in zip(rows, chosen, strict=True):
            cells.append(each.write((row.blurred or {}).get(each.name)))
            cells.append(each.write((row.restored or {}).get(each.name)))
            cells.append(each.write(row.gain(each.name), signed=True))
    if not by_gain:  # nothing is known of the blurred images: their columns and the gains would be empty
        for cells in (columns, *rows):
            cells[1:] = cells[2::3]
    return Table("Extremes", columns, rows)


def _group(kind: str, means: Mapping[str, Means], scales: Sequence[Scale]) -> _Group:
    columns = [kind, "images"]
    for each in scales:
        columns += [f"{each.name} blurred", f"{each.name} restored"]
    rows = []
    for name, own in list(means.items())[:_GROUPS]:
        cells = [name, str(own.images)]
        for each in scales:
            cells.append(each.write((own.blurred or {}).get(each.name)))
            cells.append(each.write((own.restored or {}).get(each.name)))
        rows.append(cells)
    return _Group(Table(f"By {kind}", columns, rows), max(0, len(means) - _GROUPS))


def _listed(facts: Facts) -> str:
    return ", ".join(f"{key}: {value}" for key, value in facts.items())
