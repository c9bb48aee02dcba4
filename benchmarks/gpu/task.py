"""A part's orders: its device, how long it may take, and where it keeps its findings."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from deblurkit import cli, compat
from deblurkit.files import write_atomically
from deblurkit.report.costs import markdown_notes, markdown_table
from deblurkit.report.tables import Table
from deblurkit.report.write import json_text

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Task:
    """One part at work.

    Attributes:
        name: Of the part, and of its files ``NAME.json`` and ``NAME.md``.
        out: The folder for everything.
        seconds: What it may take; it begins nothing for which there is no time left.
        tiny: Whether as little as possible is done, on small networks.
        found: All that goes to ``NAME.json``.
        left_out: What there was no time for, one line each.
        failures: What failed, one line each.
    """

    name: str
    out: Path
    device: torch.device
    seconds: float
    tiny: bool
    begun: float = field(default_factory=time.monotonic)
    found: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.begun + self.seconds - time.monotonic()

    def has_time(self, what: str, seconds: float) -> bool:
        """Tells whether so many seconds are left, and notes what is left out if not; a trial leaves out nothing."""
        if self.tiny or self.left >= seconds:
            return True
        self.left_out.append(what)
        return False

    @contextmanager
    def unit(self, what: str) -> Iterator[None]:
        """Notes what raises inside, so that the part goes on; frees the GPU's memory behind it."""
        print(f"{self.seconds - self.left:6.1f} s  {what}", flush=True)
        try:
            yield
        except Exception as error:  # whatever a network, a compiler or a driver raises
            traceback.print_exc()
            self.failures.append(f"{what}: {type(error).__name__}: {str(error).strip().splitlines()[0][:200]}")
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def wait(self) -> None:
        """Waits until the device has done all that it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def keep(self, tables: Sequence[Table] = (), notes: Sequence[str] = ()) -> None:
        """Writes both files anew: all that was found so far."""
        state = {"seconds": round(self.seconds - self.left, 1), "left_out": self.left_out, "failures": self.failures}
        lines: list[str] = []
        for table in tables:
            lines += markdown_table(table) if table.rows else []
        lines += markdown_notes([("Notes", notes), ("Left out", self.left_out), ("Failed", self.failures)])
        write_atomically(self.out / f"{self.name}.json", json_text({**self.found, **state}))
        write_atomically(self.out / f"{self.name}.md", "\n".join(lines))


def run(name: str, part: Callable[[Task], None]) -> None:
    """Runs a part as its process does, and exits with 1 if anything in it failed."""
    if hasattr(os, "setsid"):
        os.setsid()  # so that it is ended together with the processes that it starts
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    compat.ensure_torchvision()
    gc.freeze()  # what was imported never goes, and looking through it takes as long as a small measurement
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", type=torch.device, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()

    def main() -> int:
        device: torch.device = args.device
        if device.type == "cuda":  # with its number, as a training has it
            device = torch.device("cuda", device.index or 0)
            torch.cuda.set_device(device)
        task = Task(name, args.out, device, args.seconds, args.tiny)
        part(task)
        for line in task.failures:
            print(f"FAILED: {line}", file=sys.stderr)
        return 1 if task.failures else 0

    cli.run(main)
