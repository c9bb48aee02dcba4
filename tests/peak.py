"""The most memory that this process takes, from a moment on."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path


def forget_peak() -> None:
    """Have :func:`peak_bytes` begin anew: other tests of the same process may have needed more."""
    with contextlib.suppress(OSError):  # where there is no such file the whole life of the process counts
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """The most memory that this process has had since its peak was forgotten.

    Not ``ru_maxrss``, which on Linux begins with the peak of the process that started this one.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
