"""Weight initialisations that several networks share."""

from __future__ import annotations

from torch import nn


def init_normal(network: nn.Module, std: float = 0.02) -> None:
    """Draw every convolution's weight from N(0, ``std``) and set its bias to zero (DeblurGAN's public code)."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(module.weight, 0.0, std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def init_kaiming(network: nn.Module, slope: float = 0.0) -> None:
    """Draw weights as He et al. (ICCV 2015) for layers followed by (leaky) ReLU of ``slope``; biases become zero.

    Keeps the variance through a network without norms, where N(0, 0.02) would leave almost no signal.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, a=slope)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
