"""The training loop: iterations with true epoch boundaries, taken up where a checkpoint left them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from mmengine.runner import BaseLoop
from torch import nn

from deblurkit.engine.waiting import DataClock

LoaderFrom = Callable[[int, int], Iterable[dict[str, Any]]]
"""Makes a loader that starts at (epoch, batch); its iterator is a generator."""


class IterationLoop(BaseLoop):
    """Runs ``max_iters`` iterations of ``batches_per_iteration`` batches.

    A hook may have ``after_iteration(runner)``: it is called between iterations, after MMEngine's epoch hooks, with
    ``runner.iter`` the number of iterations done; what is saved there is a whole state.

    Args:
        runner: The runner.
        dataloader: Makes an endless loader that starts at (epoch, batch in the epoch).
        epoch_length: Iterations in one epoch.
        max_iters: Where the run ends.
        max_epochs: The epoch in which it ends, for MMEngine's hooks.
        batches_per_iteration: Batches one iteration takes.
    """

    def __init__(
        self,
        runner: Any,
        dataloader: LoaderFrom,
        epoch_length: int,
        max_iters: int,
        max_epochs: int,
        batches_per_iteration: int,
    ) -> None:
        self._runner = runner
        self.dataloader = dataloader
        self.epoch_length = epoch_length
        self.max_iters = max_iters
        self.max_epochs = max_epochs
        self.batches_per_iteration = batches_per_iteration
        self.iter = 0
        self.waiting = DataClock(runner.device)
        self.val_interval = self.val_begin = 0  # MMEngine's validation loop is not used

    @property
    def epoch(self) -> int:
        """Epochs that are complete."""
        return self.iter // self.epoch_length

    def run(self) -> nn.Module:
        """Train from the present position to the end."""
        runner = self._runner
        runner.call_hook("before_train")
        if self.iter < self.max_iters:
            in_epoch = self.iter % self.epoch_length
            batches: Any = iter(self.dataloader(self.epoch, in_epoch * self.batches_per_iteration))
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
        data = [next(batches) for _ in range(self.batches_per_iteration)]
        self.waiting.stop()
        runner.call_hook("before_train_iter", batch_idx=self.iter, data_batch=data)
        runner.restorer.iteration = self.iter
        outputs = runner.model.train_step(data, optim_wrapper=runner.optim_wrapper)
        runner.call_hook("after_train_iter", batch_idx=self.iter, data_batch=data, outputs=outputs)
        ends_epoch = (self.iter + 1) % self.epoch_length == 0
        if ends_epoch:
            runner.call_hook("after_train_epoch")
        self.iter += 1
        runner.call_hook("after_iteration")
        if ends_epoch and self.iter < self.max_iters:
            runner.call_hook("before_train_epoch")
