"""Tables for the terminal and for ``report.md``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

from deblurkit.report.model import Paper
from deblurkit.report.scorings import set_titles
from deblurkit.results import LEVEL, RESAMPLES, CandidateResult, DatasetResult, ScoreKind

if TYPE_CHECKING:
    from rich.table import Table as RichTable

NOTHING = "-"
"""What stands where there is no value."""

OWN_METHOD = "the paper itself"
"""What the row is called that a paper prints of its own method."""

ABOUT_INTERVALS = (
    f"Intervals in brackets: {100 * LEVEL:.0f} %, percentile bootstrap of the mean over images, {RESAMPLES} resamples. "
    "Frames of one video are alike: over independent scenes the intervals would be wider."
)

WIDE = 200  # columns where no terminal says how many there are: a file should hold no broken rows
_POWER = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_ARROWS = {1: " ↑", -1: " ↓", 0: ""}


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
        return {True: 1, False: -1, None: 0}[self.higher_is_better]

    @property
    def digits(self) -> int:
        """Decimals that are written: two of decibels, four of others."""
        return 2 if "psnr" in self.name else 4

    def write(self, value: float | None, signed: bool = False) -> str:
        """Writes one score; ``-`` where there is none, and no sign where nothing but zeros is left.

        >>> Scale("psnr").write(27.8251), Scale("psnr").write(0.25, signed=True), Scale("ssim").write(-0.00004)
        ('27.83', '+0.25', '0.0000')
        >>> Scale("ssim").write(None), Scale("psnr").write(float("inf"))
        ('-', 'inf')
        """
        if value is None:
            return NOTHING
        text = f"{value:+.{self.digits}f}" if signed else f"{value:.{self.digits}f}"
        return text if float(text) else text.lstrip("+-")  # no "-0.00"

    def tone(self, change: float | None) -> int:
        """Returns 1 where a change, as it is written, is for the better, -1 where for the worse, 0 for neither."""
        if change is None:
            return 0
        written = self.sign * float(self.write(change))  # a change that reads 0.00 is none
        return (written > 0) - (written < 0)

    def order(self, values: Iterable[float | None]) -> list[str]:
        """Returns the different numbers as they are written, the best first; none where no direction is known."""
        if not self.sign:
            return []
        return sorted({self.write(value) for value in values if value is not None}, key=float, reverse=self.sign > 0)

    def with_interval(self, value: float | None, ends: Sequence[float] | None, signed: bool = False) -> str:
        """Writes a mean and, where there is one, its interval: ``27.83 [27.61, 28.05]``."""
        written = self.write(value, signed)
        if ends is None:
            return written
        return f"{written} [{', '.join(self.write(end, signed) for end in ends)}]"


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

    def without_empty(self, *optional: str) -> Table:
        """Leaves out those of the ``optional`` columns in which no row has a value."""
        empty = set()
        for index, column in enumerate(self.columns):
            if column in optional and all(row[index] == NOTHING for row in self.rows):
                empty.add(index)
        if not empty:
            return self
        kept = itemgetter(*(index for index in range(len(self.columns)) if index not in empty))
        rows = [list(kept(row)) for row in self.rows]
        return Table(
            self.title, list(kept(self.columns)), rows, self.texts - sum(index < self.texts for index in empty)
        )


def scale(name: str, known: Mapping[str, ScoreKind]) -> Scale:
    """Returns the scale of a score; without unit and direction where ``known`` lacks it."""
    kind = known.get(name)
    return Scale(name) if kind is None else Scale(name, kind.unit, kind.higher_is_better)


def printed(value: str | float | None) -> str:
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


def headline(result: CandidateResult) -> Table:
    """Returns the table of all data sets: blurred, restored, gain and, labelled, the published value."""
    columns = ["data set", "score", "images", "blurred", "restored", "gain", "published", "s/image"]
    titles = set_titles(result.datasets)
    rows: list[list[str]] = []
    for name, entry in result.datasets.items():
        rows += _headline_rows(titles[name], entry, result.metrics)
    return Table("Scores", columns, rows, texts=2).without_empty("published", "s/image")


def published(paper: Paper | None) -> Table | None:
    """Returns all that a paper prints: its own rows, then those that it compares with; ``None`` without any.

    Its own stand here too because a table of scores has only those of data sets that were scored.
    """
    if paper is None or not (paper.published or paper.compared):
        return None
    found: list[tuple[str, str, Mapping[str, str | float]]] = []
    for dataset, own in paper.published.items():
        found.append((OWN_METHOD, dataset, own))
    for row in paper.compared:
        found.append((row.method, row.dataset, row.values))
    # Rows need not have the same columns: papers rarely print all scores of all methods.
    columns: dict[str, None] = {}
    for _, _, values in found:
        columns |= dict.fromkeys(values)
    rows = []
    for method, dataset, values in found:
        rows.append([method, dataset, *(printed(values.get(column)) for column in columns)])
    return Table("Published", ["method", "data set", *columns], rows, texts=2)


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


def escape(text: object) -> str:
    """Returns ``text`` so that it can neither end a table cell nor start markup."""
    escaped = " ".join(str(text).split())
    for character in "\\`*_|<[":
        escaped = escaped.replace(character, "\\" + character)
    return escaped


def _headline_rows(name: str, entry: DatasetResult, known: Mapping[str, ScoreKind]) -> Iterator[list[str]]:
    before, after, gain, others = entry.blurred or {}, entry.restored or {}, entry.gain or {}, entry.published or {}
    ends, seconds = entry.intervals, entry.seconds_per_image
    images = str(entry.images) if entry.scored in (0, entry.images) else f"{entry.scored} of {entry.images}"
    for metric in list(dict.fromkeys([*before, *after, *others])) or [NOTHING]:  # one row where nothing is known
        written = scale(metric, known)
        yield [
            name,
            written.title,
            images,
            written.with_interval(before.get(metric), ends.blurred.get(metric)),
            written.with_interval(after.get(metric), ends.restored.get(metric)),
            written.with_interval(gain.get(metric), ends.gain.get(metric), signed=True),
            printed(others.get(metric)),
            NOTHING if seconds is None else f"{seconds.median:.3f}",
        ]
