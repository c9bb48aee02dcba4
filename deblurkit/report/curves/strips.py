"""Sample strips of a training: which of many are shown, and what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deblurkit.names import strip_files
from deblurkit.report.curves.records import Run
from deblurkit.report.templating import data_uri

MOST_BYTES = 8_000_000
"""Of all strips of a page."""

_SHOWN = 6  # of each validation set


@dataclass(frozen=True)
class Strip:
    """Sample images of the validation after ``iteration``; the picture is a data URI."""

    iteration: int
    source: str


def spread(length: int, wanted: int) -> list[int]:
    """Returns at most ``wanted`` places spread evenly over ``length``, the first and the last among them.

    >>> spread(10, 3), spread(2, 3), spread(10, 1), spread(0, 3)
    ([0, 4, 9], [0, 1], [0], [])
    """
    count = min(length, wanted)
    return [round(place * (length - 1) / max(count - 1, 1)) for place in range(count)]


def strips_of(runs: Sequence[Run]) -> tuple[dict[str, list[Strip]], list[str]]:
    """Returns the strips to show, by the validation set and, of several runs, the run; and notes on those that are not.

    A strip may be damaged, or there may be no room for it.
    """
    found: dict[str, list[Strip]] = {}
    notes = []
    room = MOST_BYTES  # one for all runs, so that the page of many is as small as that of one
    for run in runs:
        damaged = left_out = 0
        for folder in sorted((run.folder / "samples").glob("*/")):
            files = strip_files(folder)
            title = f"{run.name}: {folder.name}" if len(runs) > 1 else folder.name
            for place in spread(len(files), _SHOWN):
                iteration = list(files)[place]
                data = _jpeg(files[iteration])
                room -= len(data)
                if not data:
                    damaged += 1
                elif room < 0:
                    left_out += 1
                else:
                    found.setdefault(title, []).append(Strip(iteration, data_uri(data)))
        if damaged:
            notes.append(f"{run.name}: {counted(damaged, 'strip')} of samples cannot be read")
        if left_out:
            verb = "is" if left_out == 1 else "are"
            why = f"{verb} left out, or the page would be too large"
            notes.append(f"{run.name}: {counted(left_out, 'strip')} of samples {why}")
    return found, notes


def counted(number: int, thing: str) -> str:
    """Writes a number with its noun.

    >>> counted(1, "line"), counted(2000, "line")
    ('1 line', '2,000 lines')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def _jpeg(file: Path) -> bytes:
    """Returns a file's bytes; none where it cannot be read or does not begin and end as a JPEG does."""
    try:
        data = file.read_bytes()
    except OSError:
        return b""
    return data if data.startswith(b"\xff\xd8") and data.endswith(b"\xff\xd9") else b""
