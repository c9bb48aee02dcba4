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
