"""How weights start: for a network's constructor, and for the key ``init`` of an option file's networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

from torch import Tensor, nn

Layer = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
Init = Literal["pytorch", "glorot", "he", "normal"]

_SETTLING = 15  # readings of a spectrally normalised weight, each a power iteration on the new values


def init_normal(network: nn.Module, std: float = 0.02) -> None:
    """Draws every convolution's weight from N(0, ``std``) and sets its bias to zero (DeblurGAN's public code)."""
    _restart(network, partial(nn.init.normal_, std=std))


def init_kaiming(network: nn.Module, slope: float = 0.0) -> None:
    """Draws weights as He et al. (ICCV 2015) for layers followed by (leaky) ReLU of ``slope``; biases become zero.

    Keeps the variance through a network without norms, where N(0, 0.02) would leave almost no signal.
    """
    _restart(network, partial(nn.init.kaiming_normal_, a=slope))


def init_glorot(network: nn.Module) -> None:
    """Draws weights uniformly as Glorot and Bengio (AISTATS 2010), biases become zero: the start of Keras's layers."""
    _restart(network, nn.init.xavier_uniform_)


def init_pytorch(network: nn.Module) -> None:
    """Draws weights and biases uniformly from +-1 / sqrt(inputs), as PyTorch's layers do when they are made."""
    _restart(network, partial(nn.init.kaiming_uniform_, a=math.sqrt(5)), uniform_bias=True)


_BY_NAME: dict[str, Callable[[nn.Module], None]] = {
    "pytorch": init_pytorch,
    "glorot": init_glorot,
    "he": init_kaiming,
    "normal": init_normal,
}
INITS: tuple[str, ...] = get_args(Init)


def init_by_name(network: nn.Module, name: str) -> None:
    """Starts every convolution and linear layer anew by one of :data:`INITS`, spectrally normalised ones too.

    What else is learned (norms, gammas) stays as it is.
    """
    _BY_NAME[name](network)


def _restart(network: nn.Module, draw: Callable[[Tensor], Tensor], uniform_bias: bool = False) -> None:
    for module in network.modules():
        if not isinstance(module, Layer):
            continue
        if nn.utils.parametrize.is_parametrized(module, "weight"):
            # A parametrized weight is computed whenever it is read. Assigning sets the values behind it; reading it
            # in training mode then lets the spectral norm's estimate settle on them.
            module.weight = draw(module.weight.detach().clone())
            for _ in range(_SETTLING):
                _ = module.weight
        else:
            draw(module.weight)
        if module.bias is None:
            continue
        if uniform_bias:
            # PyTorch's default: the same bound as the weight's, of the layer's inputs
            bound = 1 / math.sqrt(module.weight[0].numel())
            nn.init.uniform_(module.bias, -bound, bound)
        else:
            nn.init.zeros_(module.bias)
