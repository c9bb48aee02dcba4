"""Stops a training whose values are no longer finite, naming the iteration, the term and the batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from deblurkit.errors import UserError

if TYPE_CHECKING:
    from deblurkit.engine.optim import NetworkOptimizer

_HELD = 10_000  # steps whose values may wait on the device: a few MiB; no log is so rare that they wait as long
_SKIPPED = 20  # steps in a row; from PyTorch's first scale, 65536, the 17th brings it below 1


class NonFiniteError(UserError):
    """A loss, a gradient or a weight became NaN or infinite; nothing was saved after it did."""


class FiniteGuard:
    """Watches scalars. On the CPU each is read at once; elsewhere they wait, since reading one would stop the device.

    ``check`` reads all of them in one transfer. It must be called before anything is logged, saved or validated.
    """

    def __init__(self) -> None:
        self._held: list[tuple[int, list[str], list[str], Tensor]] = []

    @staticmethod
    def holds(device: torch.device) -> bool:
        """Tells whether values of a device wait there until they are read together."""
        return device.type != "cpu"

    def watch(self, iteration: int, keys: Sequence[str], values: dict[str, Tensor]) -> None:
        """Takes the scalars of one step, by the names that a message should give them; iterations count from 1.

        Raises:
            NonFiniteError: One is not finite (on the CPU; elsewhere it may be an earlier iteration's).
        """
        scalars = list(values.values())
        if not self.holds(scalars[0].device):
            _refuse(iteration, keys, values, [scalar.item() for scalar in scalars])
            return
        self._held.append((iteration, list(keys), list(values), torch.stack(scalars).detach()))
        if len(self._held) >= _HELD:
            self.check()

    def check(self) -> None:
        """Reads every value held so far.

        Raises:
            NonFiniteError: One is not finite.
        """
        if not self._held:
            return
        held, self._held = self._held, []
        numbers = iter(torch.cat([values for *_, values in held]).tolist())
        for iteration, keys, names, _ in held:
            _refuse(iteration, keys, names, [next(numbers) for _ in names])

    def check_steps(self, iteration: int, keys: Iterable[str], optimizers: Mapping[str, NetworkOptimizer]) -> None:
        """Sees that fp16 does not only skip steps: a gradient that is NaN stays so at any scale of the loss.

        Raises:
            NonFiniteError: A network skipped too many steps in a row, or its scale went below 1.
        """
        for name, optimizer in optimizers.items():
            row = optimizer.skipped_in_a_row
            if row and (row >= _SKIPPED or optimizer.scaler.get_scale() < 1):
                raise NonFiniteError(
                    f"iteration {iteration}: {name} has skipped {row} steps in a row, since its gradients are not "
                    f"finite at any scale of the loss, and its scale is {optimizer.scaler.get_scale():g}; batch: "
                    f"{', '.join(keys)}; stopped, its weights are those from before. Try a lower lr, or precision fp32 "
                    "or bf16"
                )

    def check_weights(self, iteration: int, networks: Iterable[tuple[str, nn.Module]]) -> None:
        """Reads whether every weight and buffer is finite.

        Raises:
            NonFiniteError: Names the first network that has one that is not.
        """
        self.check()
        for name, network in networks:
            tensors = [t.detach() for t in (*network.parameters(), *network.buffers()) if t.is_floating_point()]
            if tensors and not bool(torch.isfinite(torch.stack(torch._foreach_norm(tensors))).all()):
                raise NonFiniteError(
                    f"iteration {iteration}: {name} holds a weight that is not finite; stopped, and it was not saved. "
                    "Try a lower lr or train.clip_grad_norm"
                )


def _refuse(iteration: int, keys: Iterable[str], names: Iterable[str], numbers: Iterable[float]) -> None:
    for name, number in zip(names, numbers, strict=True):
        if not math.isfinite(number):
            raise NonFiniteError(
                f"iteration {iteration}: {name} is {number}; batch: {', '.join(keys)}; stopped, nothing was "
                "saved since. Try a lower lr, train.clip_grad_norm, or precision fp32 or bf16"
            )
