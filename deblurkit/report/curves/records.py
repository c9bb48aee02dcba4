"""Reads ``scalars.jsonl`` into curves of bounded length, whatever the length of the run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deblurkit.errors import UserError
from deblurkit.files import saying

FULL = 240
"""Bins at which neighbours are joined, so that a long curve has from half as many to all of them."""

_CHUNK = 20_000  # records read before they are put into bins
_NOT_DRAWN = {"iteration", "epoch", "date", "eta"}
_LAST = 2**53  # iterations from here on are no exact floating-point numbers
_GREATEST = 1e100  # values beyond are taken for infinite: matplotlib could not compute the ticks of an axis
_COLUMNS = 5  # of a bin: iteration of its last record, sum, least, greatest, number of finite values

Values = NDArray[np.float64]


class Curve:
    """One quantity over a run, in bins of ever more records as it grows.

    Attributes:
        bins: ``(n, 5)``: a bin's last iteration, the sum of its finite values, the least, the greatest, their number.
        records: Records in a bin.
        count: Records that name the quantity.
        bad: Those among them that are NaN or infinite.
        first: Iteration and value of the first finite record.
        last: Of the last.
        lowest: Of the least.
        highest: Of the greatest.
    """

    def __init__(self) -> None:
        self.bins = np.empty((0, _COLUMNS))
        self.records = 1
        self.count = 0
        self.bad = 0
        self.first = self.last = self.lowest = self.highest = (0, math.nan)
        self._rest = np.empty((0, 2))  # records that do not fill a bin yet

    def extend(self, records: Values) -> None:
        """Takes more records ``(n, 2)``: iteration and value."""
        self.count += len(records)
        finite = records[np.isfinite(records[:, 1])]
        self.bad += len(records) - len(finite)
        if len(finite):
            self._remember(finite)
        records = np.concatenate([self._rest, records])
        whole = len(records) // self.records * self.records
        self._rest = records[whole:]
        self.bins = np.concatenate([self.bins, _binned(records[:whole], self.records)])
        while len(self.bins) > FULL:
            self._halve()

    def drawn(self) -> Values:
        """Returns at most ``FULL + 1`` points ``(n, 4)``: iteration, mean, least, greatest; NaN for gaps."""
        bins = np.concatenate([self.bins, _binned(self._rest, max(1, len(self._rest)))])
        with np.errstate(invalid="ignore", divide="ignore"):
            means = bins[:, 1] / bins[:, 4]
        gaps = np.where(bins[:, 4:] > 0, 1.0, math.nan)
        return np.column_stack([bins[:, 0], means, bins[:, 2:4] * gaps])

    def _remember(self, finite: Values) -> None:
        values = finite[:, 1]
        if math.isnan(self.first[1]):
            self.first = self.lowest = self.highest = _pair(finite[0])
        self.last = _pair(finite[-1])
        low, high = _pair(finite[values.argmin()]), _pair(finite[values.argmax()])
        self.lowest = min(self.lowest, low, key=lambda found: found[1])
        self.highest = max(self.highest, high, key=lambda found: found[1])

    def _halve(self) -> None:
        """Joins neighbouring bins; an odd last one stays as it is."""
        even = len(self.bins) // 2 * 2
        self.bins = np.concatenate([_joined(self.bins[:even].reshape(-1, 2, _COLUMNS)), self.bins[even:]])
        self.records *= 2


@dataclass
class Run:
    """What one work dir tells of its training.

    Attributes:
        name: What it is called on the page.
        folder: The work dir.
        curves: By key of ``scalars.jsonl``.
        records: Number of records read.
        last: The last value of every key, those that are not drawn among them.
        unread: Lines that are no records, but for a last one that was not finished.
    """

    name: str
    folder: Path
    curves: dict[str, Curve] = field(default_factory=dict)
    records: int = 0
    last: dict[str, Any] = field(default_factory=dict)
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
    with saying(f"{path}: it cannot be read"), path.open("rb") as file:
        for chunk in _chunks(_parsed(file, run)):
            _take(run, chunk)
    if not run.records and run.unread:
        raise UserError(f"{path}: {run.unread:,} lines, none of them a record of a training")
    if not run.records:
        raise UserError(f"{path}: there is no record in it yet; the first is written after the first iteration")
    return run


def _parsed(lines: Iterable[bytes], run: Run) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict) and _is_iteration(record.get("iteration")):
            yield record
        else:
            run.unread += line.endswith(b"\n")


def _is_iteration(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LAST


def _chunks(records: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    chunk: list[dict[str, Any]] = []
    for record in records:
        chunk.append(record)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _take(run: Run, chunk: list[dict[str, Any]]) -> None:
    columns: dict[str, list[tuple[int, float]]] = {}
    for record in chunk:
        iteration = record["iteration"]
        for key, value in record.items():
            if key not in _NOT_DRAWN and (number := number_of(value)) is not None:
                columns.setdefault(_sayable(key), []).append((iteration, number))
        run.last.update(record)
    for key, pairs in columns.items():
        run.curves.setdefault(key, Curve()).extend(np.array(pairs, np.float64))
    run.records += len(chunk)


def number_of(value: Any) -> float | None:
    """Returns a value as a number; what is not finite is written as ``"nan"``, ``"inf"`` and ``"-inf"``."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if abs(value) <= _GREATEST else math.inf
    return float(value) if value in ("nan", "inf", "-inf") else None


def _sayable(name: str) -> str:
    """Replaces what UTF-8 cannot write: JSON and names of files may hold halves of characters."""
    return name.encode("utf-8", "replace").decode("utf-8")


def _binned(records: Values, size: int) -> Values:
    """Returns the bins ``(n / size, 5)`` of records ``(n, 2)``."""
    finite = np.isfinite(records[:, 1:])
    single = np.column_stack(
        [
            records[:, :1],
            np.where(finite, records[:, 1:], 0.0),
            np.where(finite, records[:, 1:], math.inf),
            np.where(finite, records[:, 1:], -math.inf),
            finite,
        ]
    )
    return _joined(single.reshape(-1, size, _COLUMNS))


def _joined(bins: Values) -> Values:
    """Joins bins ``(n, k, 5)`` along the second axis."""
    if not len(bins):
        return np.empty((0, _COLUMNS))
    return np.column_stack(
        [
            bins[:, -1, 0],
            bins[:, :, 1].sum(1),
            bins[:, :, 2].min(1),
            bins[:, :, 3].max(1),
            bins[:, :, 4].sum(1),
        ]
    )


def _pair(record: Values) -> tuple[int, float]:
    return int(record[0]), float(record[1])
