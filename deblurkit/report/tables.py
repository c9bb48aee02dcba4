"""Tables for the terminal and for ``report.md``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deblurkit.report.model import Paper
from deblurkit.report.scorings import set_titles
from deblurkit.results import LEVEL, RESAMPLES, CandidateResult, ScoreKind

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

NOTHING = "-"
"""Stands where there is no value."""

OWN_METHOD = "the paper itself"
"""Names the row that a paper prints of its own method."""

ABOUT_INTERVALS = (
    f"Intervals in brackets: {100 * LEVEL:.0f} %, percentile bootstrap of the mean over images, {RESAMPLES} resamples. "
    "Frames of one video are alike: over independent scenes the intervals would be wider."
)

_WIDE = 200  # columns where no terminal says how many there are: a file should hold no broken rows
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
        if ends is not None:
            written += f" [{', '.join(self.write(end, signed) for end in ends)}]"
        return written


@dataclass(frozen=True)
class Table:
    """A table of finished texts; the first ``texts`` columns hold words, the others numbers."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1

    def without_empty(self, *optional: str) -> Table:
        """Leaves out those of the ``optional`` columns in which no row has a value."""
        columns, rows, texts = list(self.columns), list(map(list, self.rows)), self.texts
        for column in optional:
            index = columns.index(column)
            if all(row[index] == NOTHING for row in rows):
                texts -= index < texts
                for row in (columns, *rows):
                    del row[index]
        return Table(self.title, columns, rows, texts)


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
        others, seconds = entry.published or {}, NOTHING
        if entry.seconds_per_image is not None:
            seconds = f"{entry.seconds_per_image.median:.3f}"
        images = str(entry.images) if entry.scored in (0, entry.images) else f"{entry.scored} of {entry.images}"
        metrics = dict.fromkeys([*(entry.blurred or {}), *(entry.restored or {}), *others])
        for metric in metrics or [NOTHING]:  # one row where nothing is known
            written = scale(metric, result.metrics)
            row = [titles[name], written.title, images]
            row.append(written.with_interval(*entry.mean("blurred", metric)))
            row.append(written.with_interval(*entry.mean("restored", metric)))
            row.append(written.with_interval(*entry.mean("gain", metric), signed=True))
            rows.append([*row, printed(others.get(metric)), seconds])
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
    console, texts = rich_console(), []
    for table in tables:
        with console.capture() as captured:
            console.print(rich_table(table))
        texts.append("\n".join(line.rstrip() for line in captured.get().splitlines() if line.strip()))
    return "\n\n".join(texts)


def rich_console() -> Console:
    """Returns a console of rich for standard output."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = _WIDE
    return console


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
