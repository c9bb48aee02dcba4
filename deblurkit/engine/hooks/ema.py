"""The averaged generator."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from mmengine.hooks import Hook
from torch import Tensor, nn

from deblurkit.contracts import Restorer
from deblurkit.engine.runner import TrainingRunner

if TYPE_CHECKING:
    from deblurkit.options.schema import Ema


def averaged(restorer: Restorer) -> nn.Module:
    """Returns the generator that is validated, drawn and used: the average where one is kept."""
    return restorer.generator if restorer.ema is None else restorer.ema


class EMAHook(Hook):
    """Keeps ``ema = decay * ema + (1 - decay) * weights`` of the generator; buffers are copied.

    With ``warmup`` the decay is ``min(decay, (1 + n) / (10 + n))`` after n updates of the generator since the average
    began, as TensorFlow's ``num_updates`` has it: a short run's average reaches back about a tenth of the run.

    Args:
        decay: In [0, 1).
        warmup: Whether the decay grows from 0.1 on.
        start: The average to go on from; ``None``: it starts at the generator's weights.
    """

    priority = "VERY_HIGH"  # before anything that looks at the average

    def __init__(self, decay: float, warmup: bool = False, start: dict[str, Tensor] | None = None) -> None:
        self.decay = decay
        self.warmup = warmup
        self._start = start
        # Lists of tensors, made once: two fused calls an iteration update them all.
        self._average: list[Tensor] = []
        self._weights: list[Tensor] = []
        self._average_buffers: list[Tensor] = []
        self._buffers: list[Tensor] = []

    def before_run(self, runner: TrainingRunner) -> None:
        """Starts the average, once for a runner."""
        if runner.restorer.ema is not None:
            return
        generator = runner.restorer.generator
        average = copy.deepcopy(generator).requires_grad_(False).eval()
        if self._start is not None:
            average.load_state_dict(self._start)
            self._start = None
        runner.restorer.ema = average
        self._average, self._weights = list(average.parameters()), list(generator.parameters())
        self._average_buffers, self._buffers = list(average.buffers()), list(generator.buffers())

    @torch.no_grad()
    def after_train_iter(self, runner: TrainingRunner, batch_idx: int, data_batch: object, outputs: object) -> None:
        """Moves the average toward the weights."""
        decay = self.decay
        if self.warmup:
            # From the iteration, so that a resumed run needs no count. While critics warm up the weights stand still.
            updates = max(0, runner.iter - max(runner.average_began, runner.options.train.critic_warmup))
            decay = min(decay, (1 + updates) / (10 + updates))
        torch._foreach_lerp_(self._average, self._weights, 1.0 - decay)
        # Running statistics are averages already; an average of them would lag behind the weights.
        if self._buffers:
            torch._foreach_copy_(self._average_buffers, self._buffers)


def notes_on_average(ema: Ema | None, iterations: int) -> list[str]:
    """Returns what the log must say where much of the random start is left in the average at the end of a run."""
    if ema is None or ema.warmup or iterations >= round(5 / (1 - ema.decay)):
        return []
    return [
        f"train.ema: after {iterations} iterations its average still holds {ema.decay**iterations:.0%} of the weights "
        f"at the beginning: set train.ema.warmup=true, or a decay of {max(0.0, 1 - 5 / iterations):.4g} at most"
    ]
