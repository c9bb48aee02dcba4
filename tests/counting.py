"""Parameters and multiply-accumulates of a network by PyTorch alone, to hold deblurkit's figures against."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count(network: nn.Module) -> int:
    """Return the number of parameters, frozen ones included; a shared one counts once."""
    return sum(p.numel() for p in network.parameters())


def gmacs(network: nn.Module, height: int, width: int, gradients: bool = False) -> float:
    """Return the 10^9 multiply-accumulates of a forward pass of one RGB image, half of PyTorch's count of FLOPs.

    The network is on the meta device, so that nothing is computed; ``gradients`` has the pass recorded for them.
    """
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(gradients):
        network(torch.empty(1, 3, height, width, device="meta"))
    return counter.get_total_flops() / 2 / 1e9
