"""Holds parts of the generator still for the first epochs."""

from __future__ import annotations

from mmengine.hooks import Hook

from deblurkit.engine.runner import TrainingRunner


class FreezeHook(Hook):
    """Keeps the weights and the norms' statistics of named parts as they are until their epoch.

    Args:
        parts: Direct or nested children of the generator by name, and the number of epochs each is held.
    """

    priority = "HIGH"

    def __init__(self, parts: dict[str, int]) -> None:
        self.parts = parts
        self._frozen: set[str] = set()

    def before_train_epoch(self, runner: TrainingRunner) -> None:
        """Freezes and thaws the parts for the epoch that begins."""
        frozen = {name for name, epochs in self.parts.items() if runner.epoch < epochs}
        for name in self.parts:
            part = runner.restorer.generator.get_submodule(name)
            part.requires_grad_(name not in frozen)
            part.train(name not in frozen)
        # The wrapper of a distributed run looks once, when it is made, which weights have gradients to exchange.
        if frozen != self._frozen and runner.distributed:
            runner.restorer.distribute()
        self._frozen = frozen
