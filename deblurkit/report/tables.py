"""Tables for the terminal and for ``report.md``, made from plain values."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deblurkit.report.model import Candidate
from deblurkit.report.scores import ImageScore, ranked, ranked_by_score, share_gained
from deblurkit.report.scorings import scorings_of, set_titles
from deblurkit.report.statistics import INTERVALS
from deblurkit.report.templating import text_environment

if TYPE_CHECKING:
    from jinja2 import Environment
    from rich.table import Table as RichTable

Value = float | str | None
"""A score in plain values: infinities are the texts that ``float`` reads."""

NOTHING = "-"
"""What stands where there is no value."""

OWN_METHOD = "the paper itself"
"""What the row is called that a paper prints of its own method."""

_POWER = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_ARROWS = {1: " ↑", -1: " ↓", 0: ""}
_EXTREMES = 3  # best and worst images listed for each data set
_GROUPS = 30  # videos, posters or scenes listed for each data set
WIDE = 200  # columns where no terminal says how many there are: a file should hold no broken rows


@dataclass(frozen=True)
class Scale:
    """How a metric's numbers are read and written.

    Attributes:
        name: The score's name in reports.
        unit: ``dB`` or empty.
        higher_is_better: ``None`` where it is not known, as of a published figure that was not measured.
    """

    name: str
    unit: str = ""
    higher_is_better: bool | None = None

    @property
    def title(self) -> str:
        """The name with its unit and an arrow to where it is better: ``psnr (dB) ↑``."""
        unit = f" ({self.unit})" if self.unit else ""
        return f"{self.name}{unit}{_ARROWS[self.sign]}"

    @property
    def sign(self) -> int:
        """1 where higher is better, -1 where lower is, 0 where it is not known."""
        return 0 if self.higher_is_better is None else 1 if self.higher_is_better else -1

    @property
    def digits(self) -> int:
        """Decimals that are written: two of decibels, four of others."""
        return 2 if "psnr" in self.name else 4

    def write(self, value: Value, signed: bool = False) -> str:
        """Writes one score; ``-`` where there is none, and no sign where nothing but zeros is left.

        >>> Scale("psnr").write(27.8251), Scale("psnr").write(0.25, signed=True), Scale("ssim").write(-0.00004)
        ('27.83', '+0.25', '0.0000')
        >>> Scale("ssim").write(None), Scale("psnr").write("inf")
        ('-', 'inf')
        """
        if value is None:
            return NOTHING
        text = f"{float(value):{'+' if signed else ''}.{self.digits}f}"
        return text if float(text) else text.lstrip("+-")

    def tone(self, change: Value) -> int:
        """Returns 1 where a change, as it is written, is for the better, -1 where for the worse, 0 for neither."""
        change = 0.0 if change is None else self.sign * float(self.write(change))
        return (change > 0) - (change < 0)

    def order(self, values: Iterable[Value]) -> list[str]:
        """Returns the different numbers as they are written, the best first; none where no direction is known."""
        texts = {self.write(value) for value in values if value is not None} if self.sign else set()
        return sorted(texts, key=float, reverse=self.sign > 0)

    def with_interval(self, value: Value, ends: Sequence[float] | None, signed: bool = False) -> str:
        """Writes a mean and, where there is one, its interval: ``27.83 [27.61, 28.05]``."""
        written = self.write(value, signed)
        return written if ends is None else f"{written} [{', '.join(self.write(end, signed) for end in ends)}]"


@dataclass(frozen=True)
class Table:
    """A table of finished texts.

    Attributes:
        title: Its heading.
        columns: Names of the columns; those after the first ``texts`` ones hold numbers.
        rows: Cells, as many as columns in each row.
        texts: Number of columns on the left that hold text.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1


def scale(name: str, described: Mapping[str, Mapping[str, Any]]) -> Scale:
    """Returns the scale of a score.

    Args:
        name: The score's name.
        described: ``metrics`` of ``metrics.json``: by name ``unit`` and ``higher_is_better``.
    """
    facts = described.get(name, {})
    return Scale(name, facts.get("unit", ""), facts.get("higher_is_better"))


def printed(value: Value) -> str:
    """Writes a published figure with the decimals that it was given with: more would claim too much.

    >>> printed(30.2), printed(None)
    ('30.2', '-')
    """
    return NOTHING if value is None else str(value)


def p_value(value: float | None) -> str:
    """Writes a p-value with two significant digits.

    >>> p_value(0.0312), p_value(3.1e-9)[-4:], p_value(1e-200)
    ('0.031', '10⁻⁹', '< 10⁻⁹⁹')
    """
    if value is None:
        return NOTHING
    if value >= 1e-3:
        return f"{value:.2g}"
    if value < 1e-99:
        return "< 10⁻⁹⁹"
    digits, exponent = f"{value:.1e}".split("e")
    times = "\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}"
    return f"{digits}{times}10{str(int(exponent)).translate(_POWER)}"


def headline(metrics: Mapping[str, Any]) -> Table:
    """Returns the table of all data sets: blurred, restored, gain and, labelled, the published value.

    Args:
        metrics: The content of ``metrics.json``.
    """
    columns = ["data set", "score", "images", "blurred", "restored", "gain", "published", "s/image"]
    titles = set_titles(metrics["datasets"])
    rows = [row for name, entry in metrics["datasets"].items() for row in _headline_rows(titles[name], entry, metrics)]
    unused = [
        index
        for index, column in enumerate(columns)
        if column in ("published", "s/image") and all(row[index] == NOTHING for row in rows)
    ]
    kept = [[cell for index, cell in enumerate(row) if index not in unused] for row in (columns, *rows)]
    return Table("Scores", kept[0], kept[1:], texts=2)


def published(paper: Mapping[str, Any] | None) -> Table | None:
    """Returns all that a paper prints: its own rows, then those that it compares with; ``None`` without any.

    Its own stand here too because a table of scores has only those of data sets that were scored.

    Args:
        paper: ``title``, ``published``: values by data set, and ``compared``: rows of ``method``, ``dataset`` and
            values.
    """
    if not paper:
        return None
    own = [{"method": OWN_METHOD, "dataset": name, **values} for name, values in paper["published"].items()]
    rows = [*own, *paper["compared"]]
    if not rows:
        return None
    columns = ["method", "dataset", *(key for row in rows for key in row if key not in ("method", "dataset"))]
    columns = list(dict.fromkeys(columns))
    cells = [[printed(row.get(column)) for column in columns] for row in rows]
    return Table("Published", ["method", "data set", *columns[2:]], cells, texts=2)


def as_text(*tables: Table) -> str:
    """Returns tables as a terminal shows them, aligned; as wide as they are where standard output is no terminal."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = WIDE
    texts = []
    for table in tables:
        with console.capture() as captured:
            console.print(rich_table(table))
        texts.append("\n".join(line.rstrip() for line in captured.get().splitlines() if line.strip()))
    return "\n\n".join(texts)


def rich_table(table: Table) -> RichTable:
    """Returns a table for a console of rich; nothing in its cells is read as markup."""
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(title=Text(table.title), title_justify="left", box=box.SIMPLE_HEAD)
    for index, column in enumerate(table.columns):
        shown.add_column(Text(column), justify="left" if index < table.texts else "right", overflow="fold")
    for row in table.rows:
        shown.add_row(*map(Text, row))
    return shown


def report_markdown(
    candidate: Candidate,
    protocol: str,
    command: str,
    strips: Mapping[str, Mapping[str, str]],
    paper: Mapping[str, Any] | None = None,
) -> str:
    """Returns ``report.md``.

    Args:
        candidate: What was scored.
        protocol: The protocol explained, several lines.
        command: What to run to get these numbers again.
        strips: Pictures ``blurred | restored | sharp`` by data set: caption to path relative to the page.
        paper: See :func:`published`.
    """
    metrics = candidate.metrics
    content = {
        "name": candidate.name,
        "metrics": metrics,
        "scorings": scorings_of(metrics),
        "headline": headline(metrics),
        "about_intervals": INTERVALS,
        "paper": paper,
        "published": published(paper),
        "data": _data(metrics),
        "datasets": [_dataset(name, rows, metrics, strips.get(name, {})) for name, rows in candidate.rows.items()],
        "environment": Table("Environment", ["", ""], _environment_rows(metrics["environment"]), texts=2),
        "protocol": protocol,
        "command": command,
    }
    return render("report.md.j2", content)


def render(template: str, content: Mapping[str, Any]) -> str:
    """Fills in one of the Markdown templates; a name that it misses is an error."""
    return _environment().get_template(template).render(content)


def escape(text: object) -> str:
    """Returns ``text`` so that it cannot end a table cell or starts markup."""
    escaped = " ".join(str(text).split())
    for character in "\\`*_|<[":
        escaped = escaped.replace(character, "\\" + character)
    return escaped


@functools.cache
def _environment() -> Environment:
    return text_environment({"md": escape})


def _headline_rows(name: str, entry: Mapping[str, Any], metrics: Mapping[str, Any]) -> Iterator[list[str]]:
    before, after, gain, others = (entry[key] or {} for key in ("blurred", "restored", "gain", "published"))
    ends = entry["intervals"]
    seconds = entry["seconds_per_image"]
    scored = entry["scored"]
    images = str(entry["images"]) if scored in (0, entry["images"]) else f"{scored} of {entry['images']}"
    for metric in list(dict.fromkeys([*before, *after, *others])) or [NOTHING]:
        written = scale(metric, metrics["metrics"])
        yield [
            name,
            written.title,
            images,
            written.with_interval(before.get(metric), ends["blurred"].get(metric)),
            written.with_interval(after.get(metric), ends["restored"].get(metric)),
            written.with_interval(gain.get(metric), ends["gain"].get(metric), signed=True),
            printed(others.get(metric)),
            NOTHING if seconds is None else f"{seconds['median']:.3f}",
        ]


def _data(metrics: Mapping[str, Any]) -> Table | None:
    """Returns what is known of the data that were trained and tested on."""
    described = {"training": metrics.get("trained_on")}
    described |= {name: entry.get("data") for name, entry in metrics["datasets"].items()}
    rows = [[name, _listed(facts)] for name, facts in described.items() if facts]
    return Table("Data", ["data set", "what it is"], rows, texts=2) if rows else None


def _environment_rows(environment: Mapping[str, Any]) -> list[list[str]]:
    return [[name, str(value)] for name, value in environment.items() if value not in (None, "")]


def _dataset(
    name: str, rows: Sequence[ImageScore], metrics: Mapping[str, Any], strips: Mapping[str, str]
) -> dict[str, Any]:
    """Returns what the page says of one data set."""
    entry = metrics["datasets"][name]
    scales = [scale(metric, metrics["metrics"]) for metric in entry["restored"] or {}]
    gains, shown = _extremes(rows, scales)
    timed, seconds = entry["seconds_per_image"], entry["seconds"] or {}
    return {
        "name": name,
        "protocol": entry["protocol"]["id"],
        "images": len(rows),
        "first": scales[0] if scales else None,
        "share": share_gained(rows, scales[0].name, scales[0].sign >= 0) if scales else None,
        "by_gain": gains,
        "extremes": shown,
        "groups": [_group(title, group, scales) for title, group in entry["groups"].items() if len(group) > 1],
        "strips": strips,
        "seconds": ", ".join(f"{part} {value:.1f}" for part, value in seconds.items() if value is not None),
        "per_image": None if timed is None else f"median {timed['median']:.3f}, 95th percentile {timed['p95']:.3f}",
        "inference": _listed(entry["inference_used"]),
    }


def _extremes(rows: Sequence[ImageScore], scales: Sequence[Scale]) -> tuple[bool, Table | None]:
    """Returns whether images are ranked by gain (else by score: nothing is known of the blurred), and both ends."""
    if not scales:
        return False, None
    first, higher = scales[0].name, scales[0].sign >= 0
    by_gain = ranked(rows, first, higher)
    order = by_gain or ranked_by_score(rows, first, higher)
    chosen = order if len(order) <= 2 * _EXTREMES else [*order[:_EXTREMES], *order[-_EXTREMES:]]
    sides = ("blurred", "restored", "gain") if by_gain else ("restored",)
    columns = ["image", *(f"{each.name} {side}" for each in scales for side in sides)]
    cells = []
    for row in chosen:
        values = [_values(row, each) for each in scales]
        cells.append([row.key, *(value[side] for value in values for side in sides)])
    return bool(by_gain), Table("Extremes", columns, cells)


def _values(row: ImageScore, written: Scale) -> dict[str, str]:
    return {
        "blurred": written.write((row.blurred or {}).get(written.name)),
        "restored": written.write((row.restored or {}).get(written.name)),
        "gain": written.write(row.gain(written.name), signed=True),
    }


def _group(title: str, group: Mapping[str, Mapping[str, Any]], scales: Sequence[Scale]) -> dict[str, Any]:
    rows = []
    for value, part in list(group.items())[:_GROUPS]:
        sides = (part["blurred"] or {}, part["restored"] or {})
        cells = [each.write(side.get(each.name)) for each in scales for side in sides]
        rows.append([value, str(part["images"]), *cells])
    columns = [title, "images", *(f"{each.name} {side}" for each in scales for side in ("blurred", "restored"))]
    return {"table": Table(f"By {title}", columns, rows), "left_out": max(0, len(group) - _GROUPS)}


def _listed(facts: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in facts.items())
