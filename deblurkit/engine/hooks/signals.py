"""SIGINT and SIGTERM end a run at the next iteration boundary, with a checkpoint."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook

_AGREE_EVERY = 10  # iterations between the exchanges of a distributed run


class Interrupted(SystemExit):
    """The run was stopped by a signal, after a checkpoint was written; exit code 128 + the signal's number."""


class SignalHook(Hook):
    """Turns the first signal into an orderly end; a second one ends the process at once.

    Args:
        keep: Checkpoints by iteration to keep, as the checkpoint hook does.
    """

    priority = "LOWEST"

    def __init__(self, keep: int) -> None:
        self.keep = keep
        self._received = 0
        self._former: dict[int, Any] = {}

    def before_train(self, runner: Any) -> None:
        """Take the signals over, where this is the main thread."""
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._take) for number in (signal.SIGINT, signal.SIGTERM)}

    def after_stop(self, runner: Any) -> None:
        """Give the signals back, however the run ended."""
        for number, former in self._former.items():
            signal.signal(number, former)
        self._former = {}

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._received:
            os._exit(128 + number)
        self._received = number

    def after_iteration(self, runner: Any) -> None:
        """Save and leave, where a signal came.

        Raises:
            Interrupted: A signal came, to this process or to another of the run.
        """
        number = self._agreed(runner)
        if not number:
            return
        runner.save(self.keep)
        runner.logger.info(f"stopped by {signal.Signals(number).name} after iteration {runner.iter}; --resume goes on")
        raise Interrupted(128 + number)

    def _agreed(self, runner: Any) -> int:
        if get_world_size() == 1:
            return self._received
        if runner.iter % _AGREE_EVERY:
            return 0
        received = torch.tensor(self._received, device=runner.restorer.device)
        all_reduce(received, op="max")
        return int(received)
