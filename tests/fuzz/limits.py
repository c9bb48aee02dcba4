"""What no case may do: end in another error than the user's, take long or much, or write where nobody sent it."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from peak import forget_peak, peak_bytes

from deblurkit.errors import UserError

MAX_SECONDS = 10
MAX_BYTES = 2 * 2**30
_KILLED_SECONDS = 120


def fuzz(cases: int) -> settings:
    """Hypothesis's settings for so many cases, the same ones in every run."""
    return settings(
        max_examples=cases,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # the example is small enough; what traces it makes cases slow
        suppress_health_check=list(HealthCheck),
    )


class HangError(BaseException):
    """A case took too long."""


@dataclass
class Tally:
    """What became of the cases.

    Attributes:
        accepted: How many worked.
        refused: How many ended in a user's mistake.
        slowest: Seconds of the slowest.
    """

    accepted: int = 0
    refused: int = 0
    slowest: float = 0.0

    def __post_init__(self) -> None:
        forget_peak()
        self._before = peak_bytes()  # what earlier tests of this process have left in it

    def _grown(self) -> int:
        return peak_bytes() - self._before

    def attempt(self, action: Callable[[], Any]) -> Any:
        """Do something with a case; ``None`` where it is refused in lines that can be shown."""
        start = time.process_time()
        try:
            with _alarm():
                done = action()
        except UserError as error:
            problems, done = error.problems, None
            self.refused += 1
        else:
            problems = ()
            self.accepted += 1
        assert all("\n" not in line and len(line) < 5000 for line in problems), problems
        self.slowest = max(self.slowest, time.process_time() - start)
        assert self._grown() < MAX_BYTES, f"{self._grown()} bytes"
        return done

    def __str__(self) -> str:
        return (
            f"{self.accepted} accepted, {self.refused} refused, slowest {self.slowest:.1f} s, "
            f"{self._grown() / 2**20:.0f} MiB at the peak"
        )


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    """Interrupt Python after :data:`MAX_SECONDS` of work, and end the process where that does not help.

    It is the process's own time that counts: other processes on the machine make nobody hang.
    """

    def ring(*_: object) -> None:
        raise HangError

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)
    faulthandler.dump_traceback_later(_KILLED_SECONDS, exit=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGPROF, before)


@contextlib.contextmanager
def untouched(folder: Path, *sent: Path) -> Iterator[None]:
    """See that nothing below ``folder`` is made, changed or removed but below ``sent``."""
    before = _listing(folder, sent)
    yield
    assert _listing(folder, sent) == before


def _listing(folder: Path, sent: tuple[Path, ...]) -> dict[str, tuple[int, int]]:
    found = {}
    for above, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if Path(above, name) not in sent]
        for name in (*folders, *files):
            entry = Path(above, name).lstat()
            size = 0 if name in folders else entry.st_size
            found[os.path.join(above, name)] = (size, 0 if name in folders else entry.st_mtime_ns)
    return found
