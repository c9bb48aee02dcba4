"""Holds parts of the generator still for the first epochs."""

from __future__ import annotations

from mmengine.hooks import Hook
from torch import nn

from deblurkit.engine.runner import TrainingRunner


class FreezeHook(Hook):
    """Keeps the weights and the norms' statistics of named parts as they are until their epoch.

    A part inside another is held for as long as either says. What a network holds still by itself stays so.

    Args:
        parts: Parts of the generator at any depth by name, such as ``encoders.0``, and the epochs each is held.
    """

    priority = "HIGH"

    def __init__(self, parts: dict[str, int]) -> None:
        self.parts = parts
        self._frozen: set[str] = set()
        self._weights: list[nn.Parameter] = []  # held by this hook, as the modules are
        self._modules: list[nn.Module] = []

    def before_train_epoch(self, runner: TrainingRunner) -> None:
        """Freezes and thaws the parts for the epoch that begins."""
        frozen = {name for name, epochs in self.parts.items() if runner.epoch < epochs}
        for weight in self._weights:
            weight.requires_grad_(True)
        for module in self._modules:
            module.training = True
        parts = [runner.restorer.generator.get_submodule(name) for name in frozen]
        self._weights = [weight for part in parts for weight in part.parameters() if weight.requires_grad]
        self._modules = [module for part in parts for module in part.modules() if module.training]
        for part in parts:
            part.requires_grad_(False)
            part.train(False)
        # The wrapper of a distributed run looks once, when it is made, which weights have gradients to exchange.
        if frozen != self._frozen and runner.distributed:
            runner.restorer.distribute()
        self._frozen = frozen
