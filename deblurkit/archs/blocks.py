"""Shared by several networks: checks of sizes and arguments, and the convolutions of the DeblurGAN family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

Norm = Callable[[int], nn.Module]
"""Makes a normalisation layer for a number of channels."""

AFFINE_NORMS: dict[str, Norm] = {"batch": nn.BatchNorm2d, "instance": partial(nn.InstanceNorm2d, affine=True)}
"""Norms with scale and shift, by the names that options give them; at batch size 1 both train alike."""


def require_divisible(network: nn.Module, image: Tensor) -> None:
    """Refuses sizes that ``network.size_divisor`` does not divide.

    Raises:
        ValueError: Names the network, the divisor and the size.
    """
    h, w = image.shape[-2:]
    divisor = int(network.size_divisor)  # type: ignore[arg-type]
    if h % divisor or w % divisor:
        raise ValueError(f"{type(network).__name__} needs sizes divisible by {divisor}, got {h}x{w}")


def require_one_of(key: str, value: object, known: Sequence[str]) -> None:
    """Refuses an argument that is none of its two or more choices.

    Raises:
        ValueError: Names the argument, the choices and the value.
    """
    if value not in known:
        raise ValueError(f"{key} is {', '.join(known[:-1])} or {known[-1]}, got {value!r}")


def normalized(convolution: nn.Module, norm: nn.Module) -> tuple[nn.Module, nn.Module, nn.Module]:
    """Returns convolution, norm and ReLU."""
    return convolution, norm, nn.ReLU(inplace=True)


def halving(in_channels: int, out_channels: int) -> nn.Conv2d:
    """Returns a 3x3 convolution of stride 2: (n, c, h, w) to (n, d, h / 2, w / 2)."""
    return nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1)


def doubling(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    """Returns a 3x3 transposed convolution of stride 2: (n, c, h, w) to (n, d, 2h, 2w)."""
    # output_padding: alone the layer makes 2h - 1 rows, as a strided convolution maps 2h - 1 and 2h rows alike
    return nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1)


def reflected(in_channels: int, out_channels: int, kernel: int) -> tuple[nn.Module, nn.Module]:
    """Returns reflection padding and a convolution of stride 1 that together keep the size."""
    # zeros would put a frame around the image that the first and last layers, 7x7, carry three pixels inwards
    return nn.ReflectionPad2d(kernel // 2), nn.Conv2d(in_channels, out_channels, kernel)


def enlarging(in_channels: int, out_channels: int) -> nn.Module:
    """Returns nearest upsampling and a 3x3 convolution: (n, c, h, w) to (n, d, 2h, 2w)."""
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(in_channels, out_channels, 3, padding=1))


def encoder_layers(widths: Sequence[int], norm: Norm) -> list[nn.Module]:
    """Returns DeblurGAN's encoder: a 7x7 convolution, then one of stride 2 for each further of the k widths.

    Each is followed by norm and ReLU: (n, 3, h, w) to (n, widths[-1], h / 2^(k - 1), w / 2^(k - 1)).
    """
    padding, head = reflected(3, widths[0], 7)
    layers = [padding, *normalized(head, norm(widths[0]))]
    for fine, coarse in pairwise(widths):
        layers += normalized(halving(fine, coarse), norm(coarse))
    return layers


def decoder_layers(
    widths: Sequence[int], norm: Norm, widen: Callable[[int, int], nn.Module] = doubling
) -> list[nn.Module]:
    """Returns layers that double the size for each of the k widths after the first, with norm and ReLU.

    (n, widths[0], h, w) to (n, widths[-1], 2^(k - 1) h, 2^(k - 1) w).
    """
    layers: list[nn.Module] = []
    for coarse, fine in pairwise(widths):
        layers += normalized(widen(coarse, fine), norm(fine))
    return layers


class ReflectedResBlock(nn.Module):
    """DeblurGAN's residual block; (n, c, h, w) to the same shape.

    Two convolutions: ``x + norm(conv(Dropout(ReLU(norm(conv(x))))))``. One: ``x + Dropout(ReLU(norm(conv(x))))``,
    which is what DeblurGAN's public code builds since March 2019.

    Args:
        channels: Width.
        dropout: Probability, active in training mode only.
        norm: Makes the norm layers.
        convs: 2 or 1.

    Raises:
        ValueError: ``convs`` is neither.
    """

    def __init__(self, channels: int, dropout: float, norm: Norm = nn.InstanceNorm2d, convs: Literal[1, 2] = 2) -> None:
        super().__init__()
        if convs not in (1, 2):
            raise ValueError(f"a residual block has 1 or 2 convolutions, got {convs!r}")
        layers = [*reflected(channels, channels, 3), norm(channels), nn.ReLU(inplace=True), nn.Dropout(dropout)]
        if convs == 2:
            layers += [*reflected(channels, channels, 3), norm(channels)]
        self.body = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        # no ReLU after the sum, so that the identity path runs from the first block to the last
        return features + self.body(features)
