"""Spectral normalisation of a whole critic."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm


def apply_spectral_norm(network: nn.Module) -> None:
    """Divides the weight of each convolution and linear layer of ``network`` by its largest singular value, in place.

    The value is estimated by one power iteration per forward pass in training mode; its vectors are buffers of the
    state dict. Each weight becomes ``parametrizations.weight.original``, which is what optimizers train: the number of
    parameters stays. Call it last in a constructor, after the initialisation.

    Reference:
        Miyato et al.: Spectral Normalization for Generative Adversarial Networks, ICLR 2018, section 2.1, algorithm 1.
    """
    for module in list(network.modules()):  # wrapping adds modules
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            spectral_norm(module)
