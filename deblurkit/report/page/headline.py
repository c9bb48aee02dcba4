"""What the page says first: the means with their intervals, and how far candidates differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deblurkit.report.model import PageContent
from deblurkit.report.page.numbers import between, datasets_of, gain_of, minus, scale_of, shown
from deblurkit.report.tables import NOTHING, Scale, p_value, printed

_TONES = {1: "good", 0: "", -1: "bad"}


@dataclass(frozen=True)
class Cell:
    """A number as it is written.

    Attributes:
        text: The number.
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
        dataset: The data set's name.
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
        dataset: The data set's name.
        images: How many images there are, and the protocol.
        label: What the figure is.
        value: The figure, with its sign.
        unit: ``dB`` or nothing.
        interval: Its 95 % interval; empty where there is none.
        tone: ``good``, ``bad`` or empty.
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
    for name in datasets_of(content):
        entry = content.candidates[0].metrics["datasets"][name]
        scores = list(entry["restored"] or {})
        if not scores:
            made.append(
                Card(name, scored(entry), "no scores", "", details=["Restored; the true images are not known."])
            )
        elif content.comparison is not None:
            made.append(_difference_card(content, content.comparison["datasets"][name], name, scores[0]))
        else:
            made.append(_gain_card(scale_of(content, scores[0]), name, entry))
    return made


def blocks(content: PageContent) -> list[Block]:
    """Returns the tables of scores: one a data set, of several candidates one a data set and metric."""
    if content.comparison is None:
        return [_by_metric(content, name, entry) for name, entry in content.candidates[0].metrics["datasets"].items()]
    return [
        _by_candidate(content, entry, name, metric)
        for name, entry in content.comparison["datasets"].items()
        for metric in dict.fromkeys(metric for means in entry["restored"].values() for metric in means or {})
    ]


def differences(content: PageContent) -> list[Block]:
    """Returns the tables of paired comparisons, one a data set; none for one candidate."""
    columns = ["pair", "score", "difference", "p", "images"]
    made = []
    for name, entry in (content.comparison or {}).get("datasets", {}).items():
        rows = [_pair(content, pair) for pair in entry["pairs"]]
        if rows:
            tests = "; ".join(dict.fromkeys(pair["test"] for pair in entry["pairs"]))
            made.append(Block(name, "", scored(entry), columns, rows, f"p: {tests}"))
    return made


def scored(entry: Mapping[str, Any]) -> str:
    """Says how many images a data set has, and by which protocol they were scored."""
    return f"{count(entry)}, {entry['protocol']['id']}"


def count(entry: Mapping[str, Any]) -> str:
    """Says how many images a data set has.

    >>> count({"images": 1}), count({"images": 980, "scored": 977})
    ('1 image', '980 images, 977 scored')
    """
    images, scored = entry["images"], entry.get("scored", entry["images"])
    return f"{images} image{'' if images == 1 else 's'}" + ("" if scored == images else f", {scored} scored")


def _gain_card(scale: Scale, name: str, entry: Mapping[str, Any]) -> Card:
    metric = scale.name
    gain = (entry["gain"] or {}).get(metric)
    before, after = (entry["blurred"] or {}).get(metric), entry["restored"][metric]
    published = (entry.get("published") or {}).get(metric)
    details = []
    if before is not None:
        details.append(f"{shown(before, metric)} blurred → {shown(after, metric)} restored")
    if published is not None:
        details.append(f"published: {printed(published)}, the paper's own, not measured here")
    side, value = ("restored", after) if gain is None else ("gain", gain)
    cell = _cell(entry, side, value, scale)
    return Card(name, scored(entry), f"{side}, {metric}", cell.text, scale.unit, cell.interval, cell.tone, details)


def _difference_card(content: PageContent, entry: Mapping[str, Any], name: str, metric: str) -> Card:
    means = {**entry["restored"], **({"blurred": entry["blurred"]} if entry["blurred"] else {})}
    details = [f"{side}: {shown((scores or {}).get(metric), metric)}" for side, scores in means.items()]
    pair = next((pair for pair in entry["pairs"] if pair["metric"] == metric), None)
    if pair is None:
        return Card(name, scored(entry), metric, NOTHING, details=details)
    value, interval = shown(pair["difference"], metric, signed=True), between(pair["interval"], metric, signed=True)
    label = f"{minus(pair['first'], pair['second'])}, {metric}"
    details.append(pair["test"] if pair["p_value"] is None else f"p = {p_value(pair['p_value'])}")
    return Card(name, scored(entry), label, value, scale_of(content, metric).unit, interval, details=details)


def _by_metric(content: PageContent, name: str, entry: Mapping[str, Any]) -> Block:
    published = entry.get("published") or {}
    rows = []
    for metric in dict.fromkeys([*(entry["restored"] or {}), *published]):
        scale = scale_of(content, metric)
        means = [_cell(entry, side, (entry[side] or {}).get(metric), scale) for side in ("blurred", "restored", "gain")]
        rows.append(Row(scale.title, [*means, Cell(printed(published.get(metric)))]))
    return _without_published(
        Block(name, "", scored(entry), ["score", "blurred", "restored", "gain", "published"], rows)
    )


def _by_candidate(content: PageContent, entry: Mapping[str, Any], name: str, metric: str) -> Block:
    """Returns the means over the images that all candidates have; the gains' intervals only where those are its own."""
    scale = scale_of(content, metric)
    means = {own: (scores or {}).get(metric) for own, scores in entry["restored"].items()}
    best = scale.order(means.values())[:1]
    first = content.candidates[0].metrics["datasets"][name]
    blurred = _cell(first, "blurred", (entry["blurred"] or {}).get(metric), scale)
    rows = [Row("blurred input", [blurred, Cell(NOTHING), Cell(NOTHING)])]
    for candidate in content.candidates:
        own, value = candidate.metrics["datasets"][name], means[candidate.name]
        ends = entry["intervals"][candidate.name].get(metric)
        if (own["restored"] or {}).get(metric) == value:  # over the same images as its own report's
            gain = _cell(own, "gain", (own["gain"] or {}).get(metric), scale)
        else:
            common = {"blurred": entry["blurred"], "restored": {metric: value}}
            gain = _cell({}, "gain", gain_of(common, metric), scale)
        cells = [
            Cell(shown(value, metric), between(ends, metric), best=scale.write(value) in best),
            gain,
            Cell(printed((own.get("published") or {}).get(metric))),
        ]
        rows.append(Row(candidate.name, cells))
    columns = ["candidate", "mean", "gain", "published"]
    return _without_published(Block(name, scale.title, scored(entry), columns, rows))


def _without_published(block: Block) -> Block:
    """Leaves the last column out where nothing was published."""
    if any(row.cells[-1].text != NOTHING for row in block.rows):
        return block
    rows = [Row(row.name, row.cells[:-1]) for row in block.rows]
    return dataclasses.replace(block, columns=block.columns[:-1], rows=rows)


def _pair(content: PageContent, pair: Mapping[str, Any]) -> Row:
    metric = pair["metric"]
    interval = between(pair["interval"], metric, signed=True)
    left_out = f", {pair['excluded']} left out" if pair["excluded"] else ""
    cells = [
        Cell(scale_of(content, metric).title),
        Cell(shown(pair["difference"], metric, signed=True), interval),
        Cell(p_value(pair["p_value"])),
        Cell(f"{pair['images']}{left_out}"),
    ]
    return Row(minus(pair["first"], pair["second"]), cells)


def _cell(entry: Mapping[str, Any], side: str, value: float | str | None, scale: Scale) -> Cell:
    """Writes a mean with its interval; a gain with its sign and whether it is for the better."""
    signed = side == "gain"
    ends = (entry.get("intervals") or {}).get(side, {}).get(scale.name)
    tone = _TONES[scale.tone(value)] if signed else ""
    return Cell(shown(value, scale.name, signed), between(ends, scale.name, signed), tone)
