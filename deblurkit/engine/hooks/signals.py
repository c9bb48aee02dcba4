"""SIGINT and SIGTERM end a run at the next iteration boundary, with a checkpoint."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from mmengine.hooks import Hook

from deblurkit.engine.processes import Agreement
from deblurkit.engine.runner import Interrupted, TrainingRunner


class SignalHook(Hook):
    """Turns the first signal into an orderly end; a second one ends the process at once.

    A validation looks at :meth:`received` itself and gives way.
    """

    priority = "LOWEST"  # when all else of an iteration is done

    def __init__(self) -> None:
        self._number = 0
        self._former: dict[int, Any] = {}
        self._runner: TrainingRunner | None = None
        self._agreement: Agreement | None = None

    def received(self) -> bool:
        """Tells whether this process got a signal."""
        return self._number != 0

    def before_run(self, runner: TrainingRunner) -> None:
        """Takes the signals over, where this is the main thread: Python lets no other one do so."""
        self._runner = runner
        self._agreement = Agreement()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._take)

    def after_stop(self, runner: TrainingRunner) -> None:
        """Gives the signals back, however the run ended."""
        for number, former in self._former.items():
            signal.signal(number, former)
        self._former = {}

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._number:
            if self._runner is not None:
                self._runner.logger.info(f"ended at once by a second signal, {signal.Signals(number).name}")
            os._exit(128 + number)
        self._number = number

    def before_train(self, runner: TrainingRunner) -> None:
        """Leaves before the first iteration, where a validation that was made up gave way to a signal."""
        self.after_iteration(runner)

    def after_iteration(self, runner: TrainingRunner) -> None:
        """Saves and leaves, where a signal came.

        Raises:
            Interrupted: A signal came, to this process or to another of the run.
        """
        assert self._agreement is not None
        # After every iteration: a cluster may leave the processes of a run 30 seconds, or less.
        number = self._agreement.largest(self._number)
        if not number:
            return
        if not runner.saved:
            runner.save()
        runner.logger.info(f"stopped by {signal.Signals(number).name} after iteration {runner.iter}; --resume goes on")
        raise Interrupted(number)
