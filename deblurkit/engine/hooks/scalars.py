"""Writes each logged iteration: a line in the log, a record in ``scalars.jsonl``, the visualizer's backends."""

from __future__ import annotations

import datetime
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmengine.dist import all_reduce_dict, is_main_process
from mmengine.hooks import Hook

from deblurkit.device import peak_memory, usable_cores
from deblurkit.files import JsonLines, saying

if TYPE_CHECKING:
    from deblurkit.data.prefetch import Batch
    from deblurkit.engine.runner import TrainingRunner

_WAITING = 0.05  # share of the time from which on the loader is worth a word
_JUDGED = 10  # iterations before that is judged, the first one apart: workers start in it


class ScalarsHook(Hook):
    """Reads the restorer's scalars at logging iterations only: the first, every ``every``-th and the last.

    Values are those of that one iteration; in a distributed run their mean over the processes. ``time`` and
    ``data_time`` are seconds an iteration since the last record, ``eta`` seconds, ``memory`` MiB at the most.

    Args:
        every: Iterations.
        path: ``scalars.jsonl``; appended to.
        workers: ``datasets.train.workers``, for advice on a loader that keeps the training waiting.
    """

    priority = "NORMAL"

    def __init__(self, every: int, path: Path, workers: int) -> None:
        self.every = every
        self.path = path
        self.workers = workers
        self._lines: JsonLines | None = None
        self._since = 0.0
        self._last_iteration = 0
        self._data_seconds = 0.0
        self._first: tuple[int, float, float] | None = None  # iteration, clock and data_seconds at the first record
        self._advised = False

    def before_train(self, runner: TrainingRunner) -> None:
        """Opens the file and starts the clock."""
        if is_main_process():
            self._lines = JsonLines(self.path)
        self._restart_clock(runner)

    def after_stop(self, runner: TrainingRunner) -> None:
        """Closes the file, however the run ended."""
        if self._lines is not None:
            self._lines.close()
            self._lines = None

    def _restart_clock(self, runner: TrainingRunner) -> None:
        self._since = time.perf_counter()
        self._last_iteration = runner.iter
        self._data_seconds = runner.train_loop.waiting.seconds

    def before_train_iter(
        self, runner: TrainingRunner, batch_idx: int, data_batch: Sequence[Batch] | None = None
    ) -> None:
        """Tells the restorer whether to measure gradients."""
        runner.restorer.measure = self._due(runner)

    def _due(self, runner: TrainingRunner) -> bool:
        iteration = runner.iter + 1
        return iteration == 1 or iteration % self.every == 0 or iteration == runner.max_iters

    def after_train_iter(
        self,
        runner: TrainingRunner,
        batch_idx: int,
        data_batch: Sequence[Batch] | None = None,
        outputs: dict[str, torch.Tensor] | None = None,
    ) -> None:
        """Records the iteration where it is due; before the schedulers move the learning rates."""
        if not self._due(runner) or outputs is None:
            return
        runner.restorer.guard.check()
        values = _read(outputs)
        rates = {f"lr/{name}": wrapper.param_groups[0]["lr"] for name, wrapper in runner.optim_wrapper.items()}
        iteration = runner.iter + 1
        done = iteration - self._last_iteration
        seconds = (time.perf_counter() - self._since) / done
        waiting = (runner.train_loop.waiting.seconds - self._data_seconds) / done
        clock = {
            "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "time": round(seconds, 6),
            "data_time": round(waiting, 6),
            "eta": round(seconds * (runner.max_iters - iteration)),
            "memory": peak_memory() >> 20,
        }
        runner.record({"iteration": iteration, "epoch": runner.epoch, **rates, **values}, clock)
        self._say(runner, iteration, values, rates, clock)
        self._advise(runner)
        self._since = time.perf_counter()
        self._last_iteration = iteration
        self._data_seconds = runner.train_loop.waiting.seconds

    def on_record(self, runner: TrainingRunner, record: dict[str, Any]) -> None:
        """Appends a record; called by the runner, for validation scores too.

        Raises:
            UserError: The disk refuses it: a run whose record has holes cannot be compared with any other.
        """
        if self._lines is None:
            return
        with saying(f"{self.path}: cannot be written"):
            self._lines.append([{name: _json(value) for name, value in record.items()}])
        scalars = {
            name: value
            for name, value in record.items()
            if isinstance(value, (int, float)) and name not in ("iteration", "epoch")
        }
        runner.visualizer.add_scalars(scalars, step=record["iteration"])

    def on_save(self, runner: TrainingRunner) -> None:
        """Brings the file to the disk, before a checkpoint is renamed.

        Raises:
            UserError: The disk refuses it.
        """
        if self._lines is None:
            return
        with saying(f"{self.path}: cannot be written"):
            self._lines.sync()

    def _say(
        self,
        runner: TrainingRunner,
        iteration: int,
        values: dict[str, float],
        rates: dict[str, float],
        clock: dict[str, Any],
    ) -> None:
        shown = {name: value for name, value in values.items() if name == "loss" or name.split("/")[0] != "grad"}
        numbers = " ".join(f"{name} {value:.4g}" for name, value in shown.items())
        speed = f"{clock['time']:.3f} s/it ({clock['data_time'] / clock['time']:.0%} waiting for data)"
        eta = datetime.timedelta(seconds=clock["eta"])
        runner.logger.info(
            f"iteration {iteration}/{runner.max_iters} lr {rates['lr/generator']:.3g} {numbers} | {speed} eta {eta}"
        )

    def _advise(self, runner: TrainingRunner) -> None:
        """Says once what helps, where the loader keeps the training waiting on the whole."""
        now = (runner.iter, time.perf_counter(), runner.train_loop.waiting.seconds)
        if self._first is None:
            self._first = now
        iterations, seconds, waiting = (new - old for new, old in zip(now, self._first, strict=True))
        if self._advised or iterations < _JUDGED or waiting <= _WAITING * seconds:
            return
        self._advised = True
        cores = usable_cores()
        workers = f"more datasets.train.workers (now {self.workers}, with {cores} cores)"
        if not self.workers:
            workers = f"datasets.train.workers (now 0: the training itself reads; there are {cores} cores)"
        runner.logger.info(
            f"{waiting / seconds:.0%} of the time is spent waiting for data. What helps: {workers}; cache: true, where "
            "the decoded images fit into memory; a packed set of crops (deblurkit prepare-data); fewer or cheaper "
            "transforms in augment"
        )


def _read(outputs: dict[str, torch.Tensor]) -> dict[str, float]:
    """Reads all scalars in one transfer; their mean over the processes."""
    names = list(outputs)
    stacked = {"all": torch.stack([outputs[name].float() for name in names])}
    all_reduce_dict(stacked, op="mean")
    return dict(zip(names, stacked["all"].tolist(), strict=True))


def _json(value: object) -> Any:
    """Returns ``"inf"`` or ``"nan"`` where JSON has no number: a perfect score, an fp16 gradient that overflowed."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
