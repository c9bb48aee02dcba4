"""Real training processes for the tests, and what they leave behind."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from processes import start
from same_training import CLOCK, differences, records, timeless

from deblurkit import checkpoint

ROOT = Path(__file__).resolve().parents[2]
TRAIN = ROOT / "tools" / "train.py"
__all__ = ["CLOCK", "Run", "checkpoint_of", "differences", "last_iteration", "records", "run", "timeless"]


class Run:
    """One process of ``deblurkit train``, or of another script of the package."""

    def __init__(self, output: Path, *arguments: object, script: Path = TRAIN, **environment: str) -> None:
        self.output = output
        self.process = start(str(script), arguments, output, environment)

    def wait(self, seconds: float = 60) -> int:
        """Wait for the end; returns the exit code, negative for a signal."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            raise AssertionError(f"still running after {seconds} s:\n{self.text}")
        return self.process.exitcode

    @property
    def text(self) -> str:
        """All that it has printed."""
        return self.output.read_text(encoding="utf-8") if self.output.exists() else ""

    def signal_at(self, work_dir: Path, iteration: int, number: int) -> None:
        """Send a signal once ``scalars.jsonl`` shows the iteration."""
        deadline = time.monotonic() + 60
        while last_iteration(work_dir) < iteration:
            if not self.process.is_alive() or time.monotonic() > deadline:
                raise AssertionError(f"it never reached iteration {iteration}:\n{self.text}")
            time.sleep(0.002)
        os.kill(self.process.pid, number)


def run(output: Path, *arguments: object, script: Path = TRAIN, code: int = 0, **environment: str) -> str:
    """Run a script to its end, assert its exit code, return what it printed in this call."""
    before = len(output.read_text(encoding="utf-8")) if output.exists() else 0
    process = Run(output, *arguments, script=script, **environment)
    found = process.wait()
    assert found == code, f"exit code {found}, expected {code}:\n{process.text[before:]}"
    return process.text[before:]


def last_iteration(work_dir: Path) -> int:
    """The iteration of the last record; 0 before the first."""
    found = records(work_dir)
    return found[-1]["iteration"] if found else 0


def checkpoint_of(work_dir: Path, iteration: int) -> dict[str, Any]:
    """The state saved at an iteration."""
    return checkpoint.load(work_dir / "checkpoints" / f"iter_{iteration:08d}.pth")
