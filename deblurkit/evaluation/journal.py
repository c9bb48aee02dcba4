"""What of an unfinished evaluation has reached the disk: a line for what is evaluated, then one for each image."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deblurkit.evaluation.scoring import Outcome, Spent
from deblurkit.report.scores import ImageScore

UNFINISHED = "unfinished"
"""The folder, beside the report's files, of the journals."""


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
        plain = json.loads(json.dumps(dict(fingerprint)))
        file.parent.mkdir(parents=True, exist_ok=True)
        lines, length = _whole_lines(file)
        if lines and lines[0] == plain:
            for line in lines[1:]:
                self.elapsed = line.pop("elapsed")
                self.outcomes[line["index"]] = _outcome(line)
            os.truncate(file, length)
        elif lines:
            self.differing = [key for key in {**lines[0], **plain} if lines[0].get(key) != plain.get(key)]
        self._before = self.elapsed
        self._stream = open(file, "a" if self.outcomes else "w", encoding="utf-8", newline="\n")  # noqa: SIM115
        self._file = file
        if not self.outcomes:
            self._write(plain)

    def record(self, outcome: Outcome) -> None:
        """Write an outcome; when this returns, no crash of this process takes it back."""
        self.elapsed = self._before + time.perf_counter() - self._start
        self._write({**_line(outcome), "elapsed": self.elapsed})
        self.outcomes[outcome.index] = outcome

    def close(self) -> None:
        """Write no more."""
        self._stream.close()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._stream.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._stream.flush()


def remove(file: Path) -> None:
    """Remove a journal whose report is written, and its folder where it is empty."""
    file.unlink(missing_ok=True)
    if file.parent.is_dir() and not any(file.parent.iterdir()):
        file.parent.rmdir()


def digest_of(dataset: Any, count: int) -> str:
    """Return a digest of the names of a data set's images and, where it can tell, of what changes with their files."""
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


def _whole_lines(file: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the lines of a journal up to the first that is not whole, and how many bytes they take."""
    lines: list[dict[str, Any]] = []
    length = 0
    for line in file.read_bytes().splitlines(keepends=True) if file.is_file() else ():
        try:
            content = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            content = None
        if not isinstance(content, dict):
            break
        lines.append(content)
        length += len(line)
    return lines, length
