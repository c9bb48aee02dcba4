"""Which share of a training on packed pairs is spent waiting for them."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

from loader import make_pairs
from mmengine.hooks import Hook
from rich.console import Console

from deblurkit.data.packing.writer import pack
from deblurkit.data.paired import PairedImages
from deblurkit.device import usable_cores
from deblurkit.engine.build import Setup
from deblurkit.engine.work_dir import WorkDir
from deblurkit.options.load import options_from_dict
from deblurkit.report.tables import Table
from gpu.recipes import TRIED, Mode, recipe
from gpu.task import Task, run

FILES = ("deblurgan", "deblurgan_v2_mobilenet", "starter")
"""The quickest: what keeps up with them keeps up with all."""
_SKIPPED = 10  # iterations, in which workers start
_SECONDS, _NEEDED_S = 5.0, 9.0


class _Enough(Exception):  # noqa: N818 (no error: it ends a run before anything is saved)
    """The time is up."""


class WaitingHook(Hook):
    """Reads the loop's own clock of waiting at two moments, and ends the run at the second."""

    priority = "VERY_HIGH"

    def __init__(self, skipped: int, seconds: float) -> None:
        self.skipped, self.seconds = skipped, seconds
        self.done = 0
        self.share = self.rate = 0.0
        self._since: tuple[float, float] | None = None

    def after_iteration(self, runner: Any) -> None:
        """Starts the clock, or looks at it every few iterations: reading it waits for a GPU."""
        if self._since is None:
            if runner.iter == self.skipped:
                waited = runner.train_loop.waiting.seconds
                self._since = time.perf_counter(), waited
            return
        self.done += 1
        if self.done % self.skipped:
            return
        waited = runner.train_loop.waiting.seconds - self._since[1]
        passed = time.perf_counter() - self._since[0]
        if passed >= self.seconds:
            self.share, self.rate = waited / passed, self.done / passed
            raise _Enough


def measure(task: Task) -> None:
    """Makes pairs of photographs, packs them, and trains on them."""
    found: list[dict[str, Any]] = []
    workers = 1 if task.tiny else min(8, usable_cores())
    task.found = {"workers": workers, "trainings": found}
    folder = task.out / "loading"
    with task.unit("the pairs"):
        make_pairs(folder, 2 if task.tiny else 6, (288, 320) if task.tiny else (720, 1280))
        pack(PairedImages(str(folder / "blur"), str(folder / "sharp")), folder / "packed")
    for name in TRIED[:1] if task.tiny else FILES:
        if task.has_time(name, _NEEDED_S):
            with task.unit(name):
                found.append(train(task, name, folder / "packed", workers))
        _keep(task, found)


def train(task: Task, name: str, packed: Path, workers: int) -> dict[str, Any]:
    """Trains for some seconds in bf16 with channels last, through the whole loop."""
    told = Mode("bf16", "bf16", channels_last=True).of(recipe(name, task.tiny)).to_dict()
    made = told["datasets"]["train"]
    batch, repeat = made["batch_size"], 100 * made["batch_size"]  # an epoch is long, so that its end is not measured
    told["datasets"]["train"] = {"type": "PackedPairs", "path": str(packed), "crop": made["side"], "repeat": repeat}
    told["datasets"]["train"] |= {"augment": ["hflip", "rot90"], "batch_size": batch, "workers": workers}
    options = options_from_dict(told, name)
    hook = WaitingHook(1, 0.1) if task.tiny else WaitingHook(_SKIPPED, min(_SECONDS, task.left - 4))
    work = WorkDir(task.out / "loading" / name)
    work.checkpoints.mkdir(parents=True)
    runner = Setup(options, task.device).runner(work, Console(quiet=True), None, "none")
    runner.register_hook(hook)
    with contextlib.suppress(_Enough), contextlib.closing(runner):
        runner.train()
    return {"file": name, "batch": batch, "images_per_s": hook.rate * batch, "waiting": hook.share}


def _keep(task: Task, found: list[dict[str, Any]]) -> None:
    rows = []
    for each in found:
        rows.append([each["file"], str(each["batch"]), f"{each['images_per_s']:.1f}", f"{each['waiting']:.1%}"])
    workers = task.found["workers"]
    table = Table(f"Packed pairs, {workers} workers", ["file", "batch", "images a second", "waiting for data"], rows)
    task.keep([table], ["The whole loop in bf16 with channels last, by its own clock of waiting (as in its log)."])


if __name__ == "__main__":
    run("loading", measure)
