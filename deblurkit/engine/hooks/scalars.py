"""Writes each logged iteration: a line in the log, a record in ``scalars.jsonl``, the visualizer's backends."""

from __future__ import annotations

import datetime
import math
import time
from typing import Any, NamedTuple

import torch
from mmengine.dist import all_reduce_dict, is_main_process
from mmengine.hooks import Hook

from deblurkit.data.epoch_plan import place
from deblurkit.device import peak_memory, usable_cores
from deblurkit.engine.runner import TrainingRunner
from deblurkit.files import JsonLines, saying

_WAITING = 0.05  # share of the time from which on the loader is worth a word
_JUDGED = 10  # iterations before that is judged, the first one apart: workers start in it


class _Reading(NamedTuple):
    """A moment of the training, and for how many seconds it had waited for data by then."""

    iteration: int
    clock: float
    waited: float

    @classmethod
    def now(cls, runner: TrainingRunner, iteration: int) -> _Reading:
        return cls(iteration, time.perf_counter(), runner.train_loop.waiting.seconds)


class ScalarsHook(Hook):
    """Reads the restorer's scalars at logging iterations only: the first, every ``logging.every``-th and the last.

    Values are those of that one iteration; in a distributed run their mean over the processes. ``time`` and
    ``data_time`` are seconds an iteration since the last record, ``eta`` seconds, ``memory`` MiB at the most, where the
    system says.
    """

    priority = "NORMAL"

    def __init__(self) -> None:
        self._lines: JsonLines | None = None  # the main process's
        self._due = False
        self._last = _Reading(0, 0.0, 0.0)
        self._first: _Reading | None = None
        self._advised = False

    def before_train(self, runner: TrainingRunner) -> None:
        """Opens the file and starts the clock.

        Raises:
            UserError: The disk refuses it.
        """
        if is_main_process():
            with saying(f"{runner.folder.scalars}: cannot be written"):
                self._lines = JsonLines(runner.folder.scalars)
        self._last = _Reading.now(runner, runner.iter)

    def after_stop(self, runner: TrainingRunner) -> None:
        """Closes the file, however the run ended."""
        if self._lines is not None:
            self._lines.close()
            self._lines = None

    def before_train_iter(self, runner: TrainingRunner, batch_idx: int, data_batch: object) -> None:
        """Tells the restorer whether to measure gradients."""
        iteration = runner.iter + 1
        self._due = iteration == 1 or iteration % runner.options.logging.every == 0 or iteration == runner.max_iters
        runner.restorer.measure = self._due

    def after_train_iter(
        self, runner: TrainingRunner, batch_idx: int, data_batch: object, outputs: dict[str, torch.Tensor]
    ) -> None:
        """Records the iteration where it is due; before the schedulers move the learning rates."""
        if not self._due:
            return
        runner.restorer.guard.check()
        # Means over the processes. One transfer for all, which waits for a GPU: the clock is read behind it.
        stacked = {"all": torch.stack([output.float() for output in outputs.values()])}
        all_reduce_dict(stacked, op="mean")
        values = dict(zip(outputs, stacked["all"].tolist(), strict=True))
        rates = {f"lr/{name}": wrapper.param_groups[0]["lr"] for name, wrapper in runner.optim_wrapper.items()}
        now = _Reading.now(runner, runner.iter + 1)
        done = now.iteration - self._last.iteration
        seconds = (now.clock - self._last.clock) / done
        # The only keys under which a log may hold what another run of the same options would not repeat.
        clock: dict[str, Any] = {
            "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "time": round(seconds, 6),
            "data_time": round((now.waited - self._last.waited) / done, 6),
            "eta": round(seconds * (runner.max_iters - now.iteration)),
        }
        peak = peak_memory()
        if peak is not None:
            clock["memory"] = peak >> 20
        runner.record({"iteration": now.iteration, "epoch": runner.epoch, **rates, **values}, clock)
        shown = [f"{name} {value:.4g}" for name, value in values.items() if not name.startswith("grad/")]
        waiting = f"{clock['data_time'] / clock['time']:.0%} waiting for data"
        runner.logger.info(
            f"iteration {now.iteration}/{runner.max_iters} lr {rates['lr/generator']:.3g} {' '.join(shown)} | "
            f"{clock['time']:.3f} s/it ({waiting}) eta {datetime.timedelta(seconds=clock['eta'])}"
        )
        self._advise(runner, _Reading.now(runner, now.iteration))
        self._last = _Reading.now(runner, now.iteration)  # what the record itself took counts for no iteration

    def on_record(self, runner: TrainingRunner, record: dict[str, Any]) -> None:
        """Appends a record; called by the runner, for validation scores too.

        Raises:
            UserError: The disk refuses it: a run whose record has holes cannot be compared with any other.
        """
        if self._lines is None:
            return
        with saying(f"{runner.folder.scalars}: cannot be written"):
            self._lines.append([as_json(record)])
        scalars: dict[str, float] = {}
        for name, value in record.items():
            if isinstance(value, (int, float)) and name not in ("iteration", "epoch"):
                scalars[name] = value
        runner.visualizer.add_scalars(scalars, step=record["iteration"])

    def on_save(self, runner: TrainingRunner) -> None:
        """Brings the file to the disk, before a checkpoint is renamed.

        Raises:
            UserError: The disk refuses it.
        """
        if self._lines is not None:
            with saying(f"{runner.folder.scalars}: cannot be written"):
                self._lines.sync()

    def _advise(self, runner: TrainingRunner, reading: _Reading) -> None:
        """Says once what helps, where the loader keeps the training waiting on the whole."""
        if self._first is None:
            self._first = reading
        iterations, seconds, waited = (new - old for new, old in zip(reading, self._first, strict=True))
        if self._advised or iterations < _JUDGED or waited <= _WAITING * seconds:
            return
        self._advised = True
        entries, cores = runner.options.datasets.train, usable_cores()
        key, now = f"{place(0, len(entries))}.workers", entries[0].loader.workers
        workers = f"{key} (now 0: the training itself reads; there are {cores} cores)"
        if now == "auto":
            workers = f"more than the {cores} cores of which {key}: auto made use"
        elif now:
            workers = f"more {key} (now {now}, with {cores} cores)"
        runner.logger.info(
            f"{waited / seconds:.0%} of the time is spent waiting for data. What helps: {workers}; cache: true, where "
            "the decoded images fit into memory; a packed set of crops (deblurkit prepare-data); fewer or cheaper "
            "transforms in augment"
        )


def as_json(record: dict[str, Any]) -> dict[str, Any]:
    """Returns a record with ``"inf"`` or ``"nan"`` where JSON has no number.

    A perfect score is infinite, and so is a gradient that overflowed in fp16.
    """
    written = dict(record)
    for name, value in record.items():
        if isinstance(value, float) and not math.isfinite(value):
            written[name] = str(value)
    return written
