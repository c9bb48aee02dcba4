"""Reads ``scalars.jsonl`` into curves of bounded length, whatever the length of the run."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deblurkit.errors import UserError
from deblurkit.files import saying
from deblurkit.report.tables import NOTHING

FULL = 240
"""Bins at which neighbours are joined, so that a long curve has from half as many to all of them."""

_CHUNK = 20_000  # records read before they are put into bins
_NOT_DRAWN = {"iteration", "epoch", "date", "eta"}
_LAST = 2**53  # iterations from here on are no exact floating-point numbers
_GREATEST = 1e100  # values beyond are taken for infinite: matplotlib could not compute the ticks of an axis
_COLUMNS = 5  # of a bin: iteration of its last record, sum, least, greatest, number of finite values

Values = NDArray[np.float64]


class Point(NamedTuple):
    """One value of a curve; NaN before the first one."""

    iteration: int
    value: float


class Curve:
    """One quantity over a run, in bins of ever more records as it grows.

    Attributes:
        bins: ``(n, 5)``: a bin's last iteration, the sum of its finite values, the least, the greatest, their number.
        records: Records in a bin.
        count: Records that name the quantity.
        bad: Those among them that are NaN or infinite.
        first, last, lowest, highest: Of the finite records.
    """

    def __init__(self) -> None:
        self.bins = np.empty((0, _COLUMNS))
        self.records = 1
        self.count = 0
        self.bad = 0
        self.first = self.last = self.lowest = self.highest = Point(0, math.nan)
        self._rest = np.empty((0, 2))  # records that do not fill a bin yet

    def extend(self, records: Values) -> None:
        """Takes more records ``(n, 2)``: iteration and value."""
        self.count += len(records)
        finite = records[np.isfinite(records[:, 1])]
        self.bad += len(records) - len(finite)
        if len(finite):
            values = finite[:, 1]
            points = (finite[0], finite[-1], finite[values.argmin()], finite[values.argmax()])
            first, self.last, low, high = (Point(int(iteration), float(value)) for iteration, value in points)
            if math.isnan(self.first.value):
                self.first = self.lowest = self.highest = first
            # min and max keep the earlier one of equal values: the best is marked where it was reached.
            self.lowest = min(self.lowest, low, key=lambda point: point.value)
            self.highest = max(self.highest, high, key=lambda point: point.value)
        records = np.concatenate([self._rest, records])
        whole = len(records) // self.records * self.records
        self._rest = records[whole:]
        self.bins = np.concatenate([self.bins, _binned(records[:whole], self.records)])
        # Joining neighbours halves the bins and not the records: memory and plots stay small, and no peak is lost.
        while len(self.bins) > FULL:
            even = len(self.bins) // 2 * 2  # an odd last bin stays as it is
            self.bins = np.concatenate([_joined(self.bins[:even].reshape(-1, 2, _COLUMNS)), self.bins[even:]])
            self.records *= 2

    def drawn(self) -> Values:
        """Returns at most ``FULL + 1`` points ``(n, 4)``: iteration, mean, least, greatest; NaN for gaps."""
        bins = np.concatenate([self.bins, _binned(self._rest, max(1, len(self._rest)))])
        with np.errstate(invalid="ignore", divide="ignore"):
            means = bins[:, 1] / bins[:, 4]  # NaN where no value was finite
        gaps = np.where(bins[:, 4:] > 0, 1.0, math.nan)
        return np.column_stack([bins[:, 0], means, bins[:, 2:4] * gaps])


@dataclass(frozen=True)
class Standing:
    """How far a run has come: the last value of each; ``None``, of the date ``-``, where that is not known.

    Attributes:
        date: When the last record was written, as it says itself.
        time: Seconds that an iteration took.
        memory: Peak memory in MiB.
        eta: Seconds left at that time.
    """

    iteration: int = 0
    epoch: float | None = None
    date: str = NOTHING
    time: float | None = None
    memory: float | None = None
    eta: float | None = None


@dataclass
class Run:
    """The curves of a training, as its work dir has them.

    Attributes:
        name: What it is called on the page.
        folder: The work dir.
        standing: How far it has come.
        curves: By key of ``scalars.jsonl``.
        unread: Lines that are no records, except a last one that was not finished.
    """

    name: str
    folder: Path
    standing: Standing = Standing()
    curves: dict[str, Curve] = field(default_factory=dict)
    records: int = 0
    unread: int = 0


def read_run(folder: Path, name: str) -> Run:
    """Reads a run, also while it is being trained.

    Raises:
        UserError: There is no such folder, no ``scalars.jsonl`` in it, or not one record.
    """
    path = folder / "scalars.jsonl"
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder, expected the work dir of a training")
    if not path.is_file():
        raise UserError(f"{folder}: there is no scalars.jsonl in it, expected the work dir of a training")
    run = Run(_sayable(name), folder)
    latest: dict[str, Any] = {}
    columns: dict[str, list[tuple[int, float]]] = defaultdict(list)
    with saying(f"{path}: it cannot be read"), path.open("rb") as file:
        for line in file:
            record = _parsed(line)
            if record is None:
                run.unread += line.endswith(b"\n")  # a line without an end is being written just now
                continue
            latest |= record
            for key, value in record.items():
                number = number_of(value)
                if number is not None and key not in _NOT_DRAWN:
                    columns[_sayable(key)].append((record["iteration"], number))
            run.records += 1
            if run.records % _CHUNK == 0:
                _move(columns, run.curves)
        _move(columns, run.curves)
    if not run.records and run.unread:
        raise UserError(f"{path}: {run.unread:,} lines, none of them a record of a training")
    if not run.records:
        raise UserError(f"{path}: there is no record in it yet; the first is written after the first iteration")
    run.standing = Standing(
        iteration=latest["iteration"],
        epoch=number_of(latest.get("epoch")),
        date=str(latest.get("date", NOTHING)),
        time=number_of(latest.get("time")),
        memory=number_of(latest.get("memory")),
        eta=number_of(latest.get("eta")),
    )
    return run


def _parsed(line: bytes) -> dict[str, Any] | None:
    """Returns a record; ``None`` for whatever else a line may hold."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):  # the latter for thousands of open brackets
        return None
    if isinstance(record, dict):
        iteration = record.get("iteration")
        if isinstance(iteration, int) and not isinstance(iteration, bool) and 0 <= iteration < _LAST:
            return record
    return None


def _move(columns: dict[str, list[tuple[int, float]]], curves: dict[str, Curve]) -> None:
    """Moves what has been read into the curves: many records at a time, as arrays are slow to grow by one."""
    for key, pairs in columns.items():
        curves.setdefault(key, Curve()).extend(np.array(pairs, np.float64))
    columns.clear()


def number_of(value: Any) -> float | None:
    """Returns a value as a number; what is not finite is written as ``"nan"``, ``"inf"`` and ``"-inf"``."""
    if value in ("nan", "inf", "-inf"):
        return float(value)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return float(value) if abs(value) <= _GREATEST else math.inf


def _sayable(name: str) -> str:
    """Replaces what UTF-8 cannot write: JSON and names of files may hold halves of characters."""
    return name.encode("utf-8", "replace").decode("utf-8")


def _binned(records: Values, size: int) -> Values:
    """Returns the bins ``(n / size, 5)`` of records ``(n, 2)``."""
    iterations, values = records[:, 0], records[:, 1]
    finite = np.isfinite(values)
    # What is not finite gets the value that changes neither sum nor least nor greatest.
    sums, least, greatest = (np.where(finite, values, neutral) for neutral in (0.0, math.inf, -math.inf))
    single = np.column_stack([iterations, sums, least, greatest, finite])
    return _joined(single.reshape(-1, size, _COLUMNS))


def _joined(bins: Values) -> Values:
    """Joins bins ``(n, k, 5)`` along the second axis."""
    if not len(bins):
        return np.empty((0, _COLUMNS))
    last, sums, least, greatest, counts = np.moveaxis(bins, 2, 0)
    return np.column_stack([last[:, -1], sums.sum(1), least.min(1), greatest.max(1), counts.sum(1)])
