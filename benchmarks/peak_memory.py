"""By how much a process grows at most while it works; Linux alone tells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

MIB = 2**20
KNOWN = Path("/proc/self/clear_refs").is_file()
"""Whether this system tells."""


def resident(key: Literal["VmRSS", "VmHWM"]) -> int:
    """Return the bytes of this process that are in memory: ``VmRSS`` now, or ``VmHWM``, the peak."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) << 10
    raise RuntimeError(f"/proc/self/status has no {key}")


def forget_peak() -> None:
    """Let the peak start anew, from what the process holds now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def growth(work: Callable[[], object]) -> int:
    """Return by how many bytes this process grows at most while ``work`` runs, beyond what it holds before."""
    before = resident("VmRSS")
    forget_peak()
    kept = work()
    highest = resident("VmHWM")
    del kept  # what the work returns counts
    return max(0, highest - before)
