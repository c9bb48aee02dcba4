"""How often a training step makes the process wait for its device, and where.

On CUDA torch warns of each operation that does. Without a GPU the step runs on the meta device, whose tensors hold no
numbers, so that whatever reads one raises; copies from the host, which are silent there, are looked for on the way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from rich.console import Console
from torch import Tensor
from torch.overrides import TorchFunctionMode

from deblurkit.engine.build import Setup
from deblurkit.engine.position import Position
from deblurkit.engine.work_dir import WorkDir
from deblurkit.options.schema import Options
from deblurkit.report.tables import Table
from gpu.recipes import FILES, TRIED, Mode, recipe
from gpu.task import Task, run

EVERY = 4  # iterations from one log line to the next
_ITERATIONS, _ITERATIONS_ON_META = 12, 2
_NEEDED_S = 3.0
_WARNING = "synchronizing CUDA operation"
_THEIRS = (str(Path(torch.__file__).parent), warnings.__file__, __file__)
_FROM_HOST = (torch.tensor, torch.as_tensor, Tensor.new_tensor)


@dataclasses.dataclass(frozen=True)
class Iteration:
    """One iteration: whether it was logged, and the places in the code where it waited."""

    logged: bool
    waits: tuple[str, ...]


class _Enough(Exception):  # noqa: N818 (no error: it ends a run before anything is saved)
    """All iterations are done."""


class WaitsHook(Hook):
    """Sorts the waits that are seen by iteration, and ends the run."""

    priority = "VERY_HIGH"  # what hooks do between iterations, such as fetching, is the next one's

    def __init__(self, waits: list[str], iterations: int, start: int) -> None:
        self.waits, self.iterations, self.start = waits, iterations, start
        self.found: list[Iteration] = []

    def before_train(self, runner: Any) -> None:
        """Takes the run up where it is to begin."""
        runner.train_loop.take_up(Position(self.start, 0, self.start))

    def after_iteration(self, runner: Any) -> None:
        """Closes an iteration."""
        self.found.append(Iteration(runner.restorer.measure, tuple(self.waits)))
        self.waits.clear()
        if len(self.found) == self.iterations:
            raise _Enough


class _CopiesFromHost(TorchFunctionMode):
    """Notes tensors that are made of Python's numbers for another device: each is a copy that is waited for."""

    def __init__(self, waits: list[str]) -> None:
        super().__init__()
        self.waits = waits

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Calls the function, and looks where what it returned lies."""
        result = func(*args, **(kwargs or {}))
        if func in _FROM_HOST and isinstance(result, Tensor) and result.device.type != "cpu":
            self.waits.append(_place())
        return result


@contextlib.contextmanager
def _watching(device: torch.device, waits: list[str]) -> Iterator[None]:
    if device.type != "cuda":
        with _CopiesFromHost(waits):
            yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        shown = warnings.showwarning

        def note(message: Any, *rest: Any) -> None:
            if _WARNING in str(message):
                waits.append(_place())
            else:
                shown(message, *rest)

        warnings.showwarning = note
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")


def _place() -> str:
    """Returns the innermost line that is not torch's own."""
    stack = [frame for frame in traceback.extract_stack() if not frame.filename.startswith(_THEIRS)]
    return f"{'/'.join(Path(stack[-1].filename).parts[-3:])}:{stack[-1].lineno}"


def watch(options: Options, device: torch.device) -> list[Iteration]:
    """Runs the whole training loop, hooks and averages and all, and returns the waits of each iteration.

    On the meta device all iterations are such as are not logged: a log reads.

    Raises:
        RuntimeError: On the meta device something reads a number.
    """
    waits: list[str] = []
    meta = device.type == "meta"
    every, iterations = (10**6, _ITERATIONS_ON_META) if meta else (EVERY, _ITERATIONS)
    (entry,) = options.datasets.train
    pairs = entry.model_copy(update={"loader": entry.loader.model_copy(update={"batch_size": 2})})  # the same waits
    change: dict[str, Any] = {"datasets": options.datasets.model_copy(update={"train": [pairs]})}
    change |= {"logging": options.logging.model_copy(update={"every": every})}
    if meta:  # where no fused optimizer runs
        change["optimizers"] = {name: {**each, "fused": False} for name, each in options.optimizers.items()}
    setup = Setup(options.model_copy(update=change), device)
    hook = WaitsHook(waits, iterations, start=int(meta))
    with tempfile.TemporaryDirectory() as folder:
        work = WorkDir(Path(folder) / "run")
        work.checkpoints.mkdir(parents=True)
        runner = setup.runner(work, Console(quiet=True), None, "none")
        runner.logger.handlers.clear()
        runner.register_hook(hook)
        with _watching(device, waits), contextlib.suppress(_Enough), contextlib.closing(runner):
            runner.train()
    return hook.found


def measure(task: Task) -> None:
    """Watches the recipes, in fp32 and in bf16 where there is a GPU."""
    cuda = task.device.type == "cuda"
    device = task.device if cuda else torch.device("meta")
    modes = (Mode("fp32"), Mode("bf16", "bf16", channels_last=True)) if cuda else (Mode("fp32"),)
    found: list[dict[str, Any]] = []
    task.found = {"device": str(device), "trainings": found}
    for name in TRIED if task.tiny else FILES:
        for mode in modes:
            if not task.has_time(f"{name}, {mode.name}", _NEEDED_S):
                continue
            with task.unit(f"{name}, {mode.name}"):
                seen = watch(mode.of(recipe(name, task.tiny)), device)[1:]  # in the first one much is set up
                found.append({"file": name, "mode": mode.name, **_told(seen)})
            _keep(task, found)
    if not found:
        _keep(task, found)


def _told(seen: list[Iteration]) -> dict[str, Any]:
    quiet, logged = ([each for each in seen if each.logged == which] for which in (False, True))
    return {
        "unlogged": statistics.fmean(len(each.waits) for each in quiet),
        "logged": statistics.fmean(len(each.waits) for each in logged) if logged else None,
        "places": dict(Counter(place for each in quiet for place in each.waits)),
    }


def _keep(task: Task, found: list[dict[str, Any]]) -> None:
    rows = []
    for each in found:
        logged = "-" if each["logged"] is None else f"{each['logged']:.1f}"
        places = ", ".join(each["places"]) or "-"
        rows.append([each["file"], each["mode"], places, f"{each['unlogged']:.1f}", logged])
    table = Table("Waits for the device, an iteration", ["file", "mode", "where", "not logged", "logged"], rows, 3)
    told = "torch.cuda.set_sync_debug_mode, the first iteration apart"
    if task.device.type != "cuda":
        told = "no GPU: on the meta device, where reading a number fails; copies of numbers from the host are counted"
    task.keep([table], [f"How: {told}. fp16 waits in each step, to learn whether it was skipped."])


if __name__ == "__main__":
    run("syncs", measure)
