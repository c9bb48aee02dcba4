"""The critic of the crosshatch-attention paper, which ends in dense layers."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from deblurkit.archs.blocks import AFFINE_NORMS, require_one_of
from deblurkit.discriminators.spectral import apply_spectral_norm
from deblurkit.registry import DISCRIMINATORS
from deblurkit.weight_init import init_normal

_MAP = 16  # side of the map that is flattened: that of a 256x256 image
_SMALLEST = 32  # leaves 2x2 positions before the dense layers: a norm over one position has no variance


@DISCRIMINATORS.register_module()
class FlattenDiscriminator(nn.Module):
    """4x4 convolutions, four of them strided, then a 16x16 map flattened into two dense layers: one logit an image.

    With no arguments: 3,096,450 parameters. Other sizes than 256x256 are averaged (or, from small images, repeated)
    to 16x16 before the dense layers; the paper trains at 256x256 only.

    The paper's output lies "within the range of 0 and 1": ``sigmoid=True``, behind the last dense layer, as in the
    Keras port. Its relativistic least-squares loss asks for ``C(real) - C(fake) = 1``, which such scores reach only
    where both are saturated; in return the generator's term stays below 2, and the paper's weights are those of such
    a critic. A game that applies a sigmoid itself (``vanilla``, ``ragan``) or that needs scores without bounds
    (``wgan``) wants the raw logits of the default.

    Args:
        in_channels: 3; 6 where the term's ``condition: blurred`` joins the blurred image.
        channels: Width of the first two convolutions; the next have 2, 4 and 8 times that.
        hidden: Width of the first dense layer, followed by tanh.
        norm: ``batch`` as in the paper, ``instance`` (affine) or ``none``; from the second convolution to the
            last but one. Batch norm at batch size 1 trains as ``instance`` does.
        spectral_norm: Divide each layer's weight by its largest singular value.
        sigmoid: Whether scores are in [0, 1], as the paper says, and no raw logits.

    Shape:
        ``(n, in_channels, h, w)`` to raw logits or scores ``(n, 1)``; h and w at least 32.

    Raises:
        ValueError: An argument is out of range, or the image is smaller than 32x32.

    Reference:
        Aslam, Shaukat, Azam: Dynamic Image Deblurring Based on Crosshatch Attention Adversarial Network and Hybrid
        Loss, EasyChair preprint 2024, section 3.1. Widths, kernels and tanh are our reading: the paper states none,
        and these are those of the public Keras port of DeblurGAN (RaphaelMeudec/deblur-gan), which its network
        otherwise follows.
    """

    def __init__(
        self,
        in_channels: int = 3,
        channels: int = 64,
        hidden: int = 1024,
        norm: Literal["batch", "instance", "none"] = "batch",
        spectral_norm: bool = False,
        sigmoid: bool = False,
    ) -> None:
        super().__init__()
        if min(in_channels, channels, hidden) < 1:
            raise ValueError(f"widths must be at least 1, got {in_channels}, {channels} and {hidden}")
        require_one_of("norm", norm, (*AFFINE_NORMS, "none"))
        # from (n, in_channels, 256, 256) to (n, 4 channels, 16, 16), then two convolutions that keep the size
        layers: list[nn.Module] = [_halving(in_channels, channels), nn.LeakyReLU(0.2, inplace=True)]
        for before, width in pairwise((channels, channels, 2 * channels, 4 * channels)):
            layers += _normalized([_halving(before, width)], width, norm)
        layers += _normalized(_same(4 * channels, 8 * channels), 8 * channels, norm)
        self.body = nn.Sequential(*layers, *_same(8 * channels, 1))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(_MAP * _MAP, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        if sigmoid:
            self.head.append(nn.Sigmoid())
        init_normal(self)
        if spectral_norm:
            apply_spectral_norm(self)

    def forward(self, image: Tensor) -> Tensor:
        h, w = image.shape[-2:]
        if min(h, w) < _SMALLEST:
            raise ValueError(f"FlattenDiscriminator needs images of at least {_SMALLEST}x{_SMALLEST}, got {h}x{w}")
        scores = self.body(image)
        # only where it changes anything: the pooling's gradient on a GPU is not deterministic
        if scores.shape[-2:] != (_MAP, _MAP):
            scores = functional.adaptive_avg_pool2d(scores, _MAP)
        return self.head(scores)


def _normalized(convolution: Iterable[nn.Module], width: int, norm: str) -> list[nn.Module]:
    """Returns the convolution, the norm if there is one, and the activation."""
    norms = [] if norm == "none" else [AFFINE_NORMS[norm](width)]
    return [*convolution, *norms, nn.LeakyReLU(0.2, inplace=True)]


def _halving(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1)


def _same(in_channels: int, out_channels: int) -> tuple[nn.Module, nn.Module]:
    """Returns padding and a 4x4 convolution that keep the size, with the odd row and column at the end, as Keras."""
    return nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(in_channels, out_channels, 4)
