"""The head of the page: the means with their intervals, and how far candidates differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from deblurkit.report.comparison import metrics_of
from deblurkit.report.model import PageContent
from deblurkit.report.page.numbers import between, minus, scale_of, shown
from deblurkit.report.tables import NOTHING, Scale, p_value, printed
from deblurkit.results import ComparedDataset, DatasetResult, Interval, gain_of

_TONES = {1: "good", 0: "", -1: "bad"}


@dataclass(frozen=True)
class Cell:
    """A number as it is written.

    Attributes:
        interval: Its 95 % interval; empty where there is none.
        tone: ``good``, ``bad``, or empty: whether it says that something became better.
        best: Whether it is the best of its column.
    """

    text: str
    interval: str = ""
    tone: str = ""
    best: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a table: what it is about, and its cells."""

    name: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Block:
    """A table of the scores of one data set, by metric or, of one metric, by candidate.

    Attributes:
        title: What all of its rows are about; may be empty.
        images: How many images there are, and how many of them were scored.
        columns: Names of the columns, that of the rows' names first.
        rows: One a metric, a candidate or a pair of candidates.
        note: What else belongs to it.
    """

    dataset: str
    title: str
    images: str
    columns: Sequence[str]
    rows: Sequence[Row]
    note: str = ""


@dataclass(frozen=True)
class Card:
    """The most important figure of one data set.

    Attributes:
        images: How many images there are, and the protocol.
        label: What the figure is.
        value: The figure, with its sign.
        unit: ``dB`` or nothing.
        interval, tone: See :class:`Cell`.
        details: What else belongs to it, one line each.
    """

    dataset: str
    images: str
    label: str
    value: str
    unit: str = ""
    interval: str = ""
    tone: str = ""
    details: Sequence[str] = ()


def cards(content: PageContent) -> list[Card]:
    """Returns one card for each data set: the gain of one candidate, or the first difference between several."""
    made = []
    for name in content.datasets():
        entry = content.candidates[0].datasets[name]
        metric = next(iter(entry.restored or {}), None)
        if metric is None:
            unknown = ["Restored; the true images are not known."]
            made.append(Card(name, scored(entry), "no scores", "", details=unknown))
        elif content.several:
            made.append(_difference_card(content, name, metric))
        else:
            made.append(_gain_card(scale_of(content, metric), name, entry))
    return made


def blocks(content: PageContent) -> list[Block]:
    """Returns the tables of scores: one a data set, of several candidates one a data set and metric."""
    if not content.several:
        return [_by_metric(content, name, own) for name, own in content.candidates[0].datasets.items()]
    made = []
    for name, entry in content.comparison.datasets.items():
        for metric in metrics_of(entry):
            made.append(_by_candidate(content, entry, name, metric))
    return made


def differences(content: PageContent) -> list[Block]:
    """Returns the tables of paired comparisons, one a data set; none for one candidate."""
    columns = ["pair", "score", "difference", "p", "images"]
    made = []
    for name, entry in content.comparison.datasets.items():
        if entry.pairs:
            tests: dict[str, None] = {}
            rows = []
            for pair in entry.pairs:
                metric, found = pair.metric, pair.result
                tests[found.test] = None
                images = str(found.images)
                if found.excluded:
                    images += f", {found.excluded} left out"
                ends = between(found.interval, metric, signed=True)
                difference = Cell(shown(found.difference, metric, signed=True), ends)
                cells = [Cell(scale_of(content, metric).title), difference, Cell(p_value(found.p_value))]
                rows.append(Row(minus(pair.first, pair.second), [*cells, Cell(images)]))
            made.append(Block(name, "", scored(entry), columns, rows, f"p: {'; '.join(tests)}"))
    return made


def scored(entry: DatasetResult | ComparedDataset) -> str:
    """Says how many images a data set has, and by which protocol they were scored."""
    known = entry.images
    if isinstance(entry, DatasetResult):
        known = entry.scored
    return f"{count(entry.images, known)}, {entry.protocol.id}"


def count(images: int, scored: int) -> str:
    """Says how many images a data set has.

    >>> count(1, 1), count(980, 977)
    ('1 image', '980 images, 977 scored')
    """
    return f"{images} image{'' if images == 1 else 's'}" + ("" if scored == images else f", {scored} scored")


def _gain_card(scale: Scale, name: str, entry: DatasetResult) -> Card:
    metric, published = scale.name, (entry.published or {}).get(scale.name)
    before, gain = (entry.blurred or {}).get(metric), entry.mean("gain", metric)
    after, ends = entry.mean("restored", metric)
    details = []
    if before is not None:
        details.append(f"{shown(before, metric)} blurred → {shown(after, metric)} restored")
    if published is not None:
        details.append(f"published: {printed(published)}, the paper's own, not measured here")
    if gain[0] is None:  # nothing is known of the blurred images
        side, cell = "restored", _mean_cell(after, ends, scale)
    else:
        side, cell = "gain", _gain_cell(*gain, scale)
    return Card(name, scored(entry), f"{side}, {metric}", cell.text, scale.unit, cell.interval, cell.tone, details)


def _difference_card(content: PageContent, name: str, metric: str) -> Card:
    entry = content.comparison.datasets[name]
    details = [f"{own}: {shown(means.get(metric), metric)}" for own, means in entry.restored.items()]
    if entry.blurred:
        details.append(f"blurred: {shown(entry.blurred.get(metric), metric)}")
    pair = next((pair for pair in entry.pairs if pair.metric == metric), None)
    if pair is None:
        return Card(name, scored(entry), metric, NOTHING, details=details)
    found = pair.result
    details.append(found.test if found.p_value is None else f"p = {p_value(found.p_value)}")
    return Card(
        name,
        scored(entry),
        f"{minus(pair.first, pair.second)}, {metric}",
        shown(found.difference, metric, signed=True),
        scale_of(content, metric).unit,
        between(found.interval, metric, signed=True),
        details=details,
    )


def _by_metric(content: PageContent, name: str, entry: DatasetResult) -> Block:
    published = entry.published or {}
    rows = []
    for metric in dict.fromkeys([*(entry.restored or {}), *published]):
        scale = scale_of(content, metric)
        cells = [
            _mean_cell(*entry.mean("blurred", metric), scale),
            _mean_cell(*entry.mean("restored", metric), scale),
            _gain_cell(*entry.mean("gain", metric), scale),
            Cell(printed(published.get(metric))),
        ]
        rows.append(Row(scale.title, cells))
    columns = ["score", "blurred", "restored", "gain", "published"]
    return _without_published(Block(name, "", scored(entry), columns, rows))


def _by_candidate(content: PageContent, entry: ComparedDataset, name: str, metric: str) -> Block:
    """Returns the means over the images that all candidates have; the gains' intervals only where those are its own."""
    scale = scale_of(content, metric)
    # Compared as they are written: two candidates whose means read the same are both the best.
    best = scale.order(means.get(metric) for means in entry.restored.values())[:1]
    _, ends = content.candidates[0].datasets[name].mean("blurred", metric)
    blurred = _mean_cell((entry.blurred or {}).get(metric), ends, scale)
    rows = [Row("blurred input", [blurred, Cell(NOTHING), Cell(NOTHING)])]
    for candidate in content.candidates:
        own, value = candidate.datasets[name], entry.restored[candidate.name].get(metric)
        ends = entry.intervals[candidate.name].get(metric)
        # A gain's interval is known of a candidate's own images only, which need not be those that all have.
        if own.mean("restored", metric)[0] == value:  # over the same images as its own report's
            gain = _gain_cell(*own.mean("gain", metric), scale)
        else:
            gain = _gain_cell(gain_of(entry.blurred, entry.restored[candidate.name], metric), None, scale)
        mean = Cell(shown(value, metric), between(ends, metric), best=scale.write(value) in best)
        rows.append(Row(candidate.name, [mean, gain, Cell(printed((own.published or {}).get(metric)))]))
    columns = ["candidate", "mean", "gain", "published"]
    return _without_published(Block(name, scale.title, scored(entry), columns, rows))


def _without_published(block: Block) -> Block:
    """Leaves the last column out where nothing was published."""
    if any(row.cells[-1].text != NOTHING for row in block.rows):
        return block
    rows = [Row(row.name, row.cells[:-1]) for row in block.rows]
    return dataclasses.replace(block, columns=block.columns[:-1], rows=rows)


def _mean_cell(value: float | None, ends: Interval | None, scale: Scale) -> Cell:
    return Cell(shown(value, scale.name), between(ends, scale.name))


def _gain_cell(value: float | None, ends: Interval | None, scale: Scale) -> Cell:
    """Writes a gain with its interval, its sign and whether it is for the better."""
    name, tone = scale.name, _TONES[scale.tone(value)]
    return Cell(shown(value, name, signed=True), between(ends, name, signed=True), tone)
