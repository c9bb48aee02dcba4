"""The training loop: iterations with true epoch boundaries, taken up where a checkpoint left them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from mmengine.runner import BaseLoop
from torch import nn

from deblurkit.engine.data_timer import DataClock
from deblurkit.engine.position import Length, Position

LoaderFrom = Callable[[Position], Iterable[dict[str, Any]]]
"""Makes a loader that starts where a run stands; its iterator is a generator."""


class IterationLoop(BaseLoop):
    """Runs iterations of ``batches`` batches to the end of the run.

    A hook may have ``after_iteration(runner)``: it is called between iterations, after MMEngine's epoch hooks, with
    ``runner.iter`` the number of iterations done; what is saved there is a whole state.

    Args:
        runner: The runner.
        dataloader: Makes an endless loader of the batches from a position on.
        length: How long the run is.
        batches: Batches that an iteration takes, the critics' own included.

    Attributes:
        position: Where the run stands.
        max_iters: The iteration at which it ends.
    """

    def __init__(self, runner: Any, dataloader: LoaderFrom, length: Length, batches: int) -> None:
        self._runner = runner
        self.dataloader = dataloader
        self.length = length
        self.batches = batches
        self.waiting = DataClock(runner.device)
        self.val_interval = self.val_begin = 0  # MMEngine's validation loop is not used
        self.take_up(Position())

    def take_up(self, position: Position) -> None:
        """Goes to a position; before the run."""
        self.position = position
        self.max_iters = self.length.end(position)

    @property
    def iter(self) -> int:
        """Iterations that are done."""
        return self.position.iteration

    @property
    def epoch(self) -> int:
        """Epochs that are complete."""
        return self.position.epoch

    @property
    def max_epochs(self) -> int:
        """The epoch in which the run ends, for MMEngine's hooks."""
        return self.epoch + -(-(self.max_iters - self.iter + self.position.into_epoch) // self.length.epoch)

    def run(self) -> nn.Module:
        """Trains from the present position to the end."""
        runner = self._runner
        runner.call_hook("before_train")
        if self.iter < self.max_iters:
            batches: Any = iter(self.dataloader(self.position))
            try:
                runner.call_hook("before_train_epoch")
                while self.iter < self.max_iters:
                    self._run_iteration(batches)
            finally:
                batches.close()  # ends the workers, which ignore signals, before the process waits for them
        runner.call_hook("after_train")
        model: nn.Module = runner.model
        return model

    def _run_iteration(self, batches: Any) -> None:
        runner = self._runner
        self.waiting.start()
        data = [next(batches) for _ in range(self.batches)]
        self.waiting.stop()
        runner.call_hook("before_train_iter", batch_idx=self.iter, data_batch=data)
        runner.restorer.iteration = self.iter
        outputs = runner.model.train_step(data, optim_wrapper=runner.optim_wrapper)
        runner.call_hook("after_train_iter", batch_idx=self.iter, data_batch=data, outputs=outputs)
        following = self.length.after(self.position)
        if following.epoch > self.epoch:
            runner.call_hook("after_train_epoch")
        self.position = following
        runner.call_hook("after_iteration")
        if following.into_epoch == 0 and self.iter < self.max_iters:
            runner.call_hook("before_train_epoch")
