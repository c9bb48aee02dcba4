"""Real training processes for the tests, and what they leave behind.

A process is forked from a server that has imported the package once: it is a process of its own, which can be killed,
and starts in a fraction of the seconds that importing torch takes.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

import torch

from deblurkit import checkpoint

ROOT = Path(__file__).resolve().parents[2]
TRAIN = ROOT / "tools" / "train.py"
CLOCK = {"date", "time", "data_time", "eta", "memory"}
_PRELOAD = ["deblurkit.engine.build", "deblurkit.engine.restorer", "deblurkit.options.load", "torchvision"]

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["deblurkit.compat", *_PRELOAD[:3]])


def _main(script: str, arguments: list[str], output: str) -> None:
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    torch.set_num_threads(1)
    sys.argv = [script, *arguments]
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


class Run:
    """One process of ``tools/train.py``, or of another script of the package."""

    def __init__(self, output: Path, *arguments: object, script: Path = TRAIN) -> None:
        self.output = output
        self.output.parent.mkdir(parents=True, exist_ok=True)
        self.process = _processes.Process(
            target=_main, args=(str(script), [str(argument) for argument in arguments], str(output))
        )
        self.process.start()

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


def run(output: Path, *arguments: object, script: Path = TRAIN, code: int = 0) -> str:
    """Run a script to its end, assert its exit code, return what it printed in this call."""
    before = len(output.read_text(encoding="utf-8")) if output.exists() else 0
    process = Run(output, *arguments, script=script)
    found = process.wait()
    assert found == code, f"exit code {found}, expected {code}:\n{process.text[before:]}"
    return process.text[before:]


def records(work_dir: Path) -> list[dict[str, Any]]:
    """The lines of ``scalars.jsonl``, finished ones only."""
    file = work_dir / "scalars.jsonl"
    lines = file.read_text(encoding="utf-8").split("\n")[:-1] if file.is_file() else []
    return [json.loads(line) for line in lines]


def timeless(work_dir: Path) -> list[dict[str, Any]]:
    """The records without what a clock decides."""
    return [{key: value for key, value in record.items() if key not in CLOCK} for record in records(work_dir)]


def last_iteration(work_dir: Path) -> int:
    """The iteration of the last record; 0 before the first."""
    found = records(work_dir)
    return found[-1]["iteration"] if found else 0


def checkpoint_of(work_dir: Path, iteration: int) -> dict[str, Any]:
    """The state saved at an iteration."""
    return checkpoint.load(work_dir / "checkpoints" / f"iter_{iteration:08d}.pth")


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Where two states of plain types and tensors are not bit-identical."""
    if type(one) is not type(other):
        return [f"{place}: {type(one).__name__}, {type(other).__name__}"]
    if isinstance(one, torch.Tensor):
        same = (
            one.dtype == other.dtype and one.shape == other.shape and one.numpy().tobytes() == other.numpy().tobytes()
        )
        return [] if same else [f"{place}: tensors differ"]
    if isinstance(one, dict):
        if list(one) != list(other):
            return [f"{place}: keys {list(one)}, {list(other)}"]
        return [line for key in one for line in differences(one[key], other[key], f"{place}.{key}")]
    if isinstance(one, (list, tuple)):
        if len(one) != len(other):
            return [f"{place}: lengths {len(one)}, {len(other)}"]
        return [
            line for n, pair in enumerate(zip(one, other, strict=True)) for line in differences(*pair, f"{place}[{n}]")
        ]
    return [] if one == other else [f"{place}: {one!r}, {other!r}"]
