"""What of an unfinished evaluation has reached the disk: a line for what is evaluated, then one for each image."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deblurkit.evaluation.scoring import Outcome, Spent
from deblurkit.files import JsonLines, Lock, saying
from deblurkit.report.scores import ImageScore

UNFINISHED = "unfinished"
"""The folder, beside the report's files, of the journals."""

_LAYOUT = 2  # goes up whenever a line's keys or their meaning change


class Journal:
    """The journal of one data set and one candidate. A line that a crash cut short is taken for not written.

    Args:
        file: Made where it is missing, its folder too. One that was begun as something else is begun anew.
        fingerprint: Everything that the outcomes depend on, as plain values.

    Attributes:
        outcomes: What is recorded, by index.
        elapsed: Seconds of wall-clock time that the recorded images took, all runs together.
        differing: Names of the fingerprint's entries in which an earlier journal differed and so was not gone on with.
    """

    def __init__(self, file: Path, fingerprint: Mapping[str, Any]) -> None:
        self.outcomes: dict[int, Outcome] = {}
        self.elapsed = 0.0
        self.differing: list[str] = []
        self._start = time.perf_counter()
        plain = json.loads(json.dumps({"layout": _LAYOUT, **fingerprint}))
        file.parent.mkdir(parents=True, exist_ok=True)
        self._lines = JsonLines(file)
        lines = self._lines.read()
        if lines:
            begun = lines[0] if isinstance(lines[0], dict) else {}
            self.differing = [key for key in {**begun, **plain} if begun.get(key) != plain.get(key)]
        if lines and not self.differing:
            self._take(lines[1:])
        self._before = self.elapsed
        if not self.outcomes:
            self._lines.clear()
            self._lines.append([plain])

    def record(self, outcome: Outcome) -> None:
        """Writes an outcome; when this returns, no crash of this process takes it back."""
        self.elapsed = self._before + time.perf_counter() - self._start
        self._lines.append([{**_line(outcome), "elapsed": self.elapsed}])
        self.outcomes[outcome.index] = outcome

    def close(self) -> None:
        """Writes no more."""
        self._lines.close()

    def _take(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Goes on from an earlier journal's lines, or from none of them where one is laid out in another way."""
        try:
            outcomes = [_outcome(line) for line in lines]
            elapsed = float(lines[-1]["elapsed"]) if lines else 0.0
        except (KeyError, TypeError, ValueError):
            self.differing = ["layout"]
            return
        self.outcomes, self.elapsed = {outcome.index: outcome for outcome in outcomes}, elapsed


@contextlib.contextmanager
def held(out: Path, folders: Sequence[Path]) -> Iterator[None]:
    """Holds a report's folder within the block: two runs would write one journal.

    Args:
        out: The folder; made where it is missing.
        folders: Those of its candidates, made too.

    Raises:
        UserError: A folder cannot be made, or another run holds ``out``.
    """
    for folder in (*folders, out / UNFINISHED):
        with saying(f"--out {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
    with saying(f"--out {out / UNFINISHED}"):
        lock = Lock(out / UNFINISHED / ".lock", f"--out {out}: another run is writing its report there")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows keeps files that are open, and filelock removes them itself
            lock.file.unlink()
        lock.release()
        with contextlib.suppress(OSError):  # there are journals
            (out / UNFINISHED).rmdir()


def remove(file: Path) -> None:
    """Removes a journal whose report is written, and its folder where it is empty."""
    file.unlink(missing_ok=True)
    if file.parent.is_dir() and not any(file.parent.iterdir()):
        file.parent.rmdir()


def digest_of(dataset: Any, count: int) -> str:
    """Returns a digest of the names of a data set's images and, where it can tell, of what changes with their files."""
    digest = hashlib.sha256()
    for key in dataset.keys() if hasattr(dataset, "keys") else ():
        digest.update(f"{key}\n".encode())
    for index in range(count) if hasattr(dataset, "stamp") else ():
        digest.update(repr(list(dataset.stamp(index))).encode())
    return digest.hexdigest()


def _line(outcome: Outcome) -> dict[str, Any]:
    thumbnail = base64.b64encode(outcome.thumbnail).decode() if outcome.thumbnail is not None else None
    return {**asdict(outcome), "spent": list(outcome.spent), "thumbnail": thumbnail}


def _outcome(line: Mapping[str, Any]) -> Outcome:
    thumbnail = base64.b64decode(line["thumbnail"]) if line["thumbnail"] is not None else None
    row, events, spent = ImageScore(**line["row"]), tuple(line["events"]), Spent(*line["spent"])
    return Outcome(line["index"], row, line["mode"], line["live_bytes"], events, spent, thumbnail)
