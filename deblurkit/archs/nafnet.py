"""NAFNet, the baseline without nonlinear activations (Chen et al., ECCV 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from deblurkit.archs.blocks import require_divisible, require_one_of
from deblurkit.contracts import SizePadding
from deblurkit.registry import ARCHS


@ARCHS.register_module()
class NAFNet(nn.Module):
    """U-shaped network of :class:`NAFBlock`: ``restored = blurred + network(blurred)``, not clamped.

    With no arguments it is the width 32 of the GoPro experiments: 17,111,907 parameters, 15.956 GMAC for 3x256x256.
    Width 64: 67,888,835 and 63.055. Initialised as PyTorch does; every block starts as the identity, the network does
    not.

    Args:
        width: Channels at full size; doubled at each level.
        encoder_blocks: Blocks of each level on the way down, full size first; as many entries as levels.
        middle_blocks: Blocks at the smallest size.
        decoder_blocks: Blocks of each level on the way up, smallest size first.
        padding: What images are padded with to the divisor, outside the network: ``reflect``, the image mirrored; or
            ``zeros``, as the public code pads inside, and so what its weights were trained with.

    Attributes:
        size_divisor: 2 to the number of levels.
        size_padding: ``padding``.

    Shape:
        ``(n, 3, h, w)`` in [0, 1] to the same size, not clamped; h and w divisible by ``size_divisor``.

    Raises:
        ValueError: An argument is out of its range, the two lists differ in length, or a size is not divisible.

    Reference:
        Chen, Chu, Zhang, Sun: Simple Baselines for Image Restoration, ECCV 2022, sections 3 and 4; counts of blocks
        from its public code.
    """

    value_range = (0.0, 1.0)

    def __init__(
        self,
        width: int = 32,
        encoder_blocks: Sequence[int] = (1, 1, 1, 28),
        middle_blocks: int = 1,
        decoder_blocks: Sequence[int] = (1, 1, 1, 1),
        padding: SizePadding = "reflect",
    ) -> None:
        super().__init__()
        require_one_of("padding", padding, get_args(SizePadding))
        if len(encoder_blocks) != len(decoder_blocks):
            raise ValueError(
                "encoder_blocks and decoder_blocks need one entry for each level, "
                f"got {len(encoder_blocks)} and {len(decoder_blocks)}"
            )
        if width < 1 or min(*encoder_blocks, *decoder_blocks, middle_blocks, 0) < 0:
            raise ValueError(
                f"needs width >= 1 and no negative number of blocks; got {width}, {list(encoder_blocks)}, "
                f"{middle_blocks}, {list(decoder_blocks)}"
            )
        widths = [width * 2**level for level in range(len(encoder_blocks) + 1)]
        rising = widths[-2::-1]
        self.size_divisor = 2 ** len(encoder_blocks)
        self.size_padding = padding
        # Every block weighs its channels by means of the whole map; without any, nothing is said.
        self.receptive_field = "global" if sum((*encoder_blocks, middle_blocks, *decoder_blocks)) else None
        self.intro = nn.Conv2d(3, width, 3, padding=1)
        self.encoders = nn.ModuleList(_stage(*pair) for pair in zip(widths[:-1], encoder_blocks, strict=True))
        self.downs = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, stride=2) for w in widths[:-1])
        self.middle = _stage(widths[-1], middle_blocks)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * w, 4 * w, 1, bias=False), nn.PixelShuffle(2)) for w in rising
        )
        self.decoders = nn.ModuleList(_stage(*pair) for pair in zip(rising, decoder_blocks, strict=True))
        self.ending = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, blurred: Tensor) -> Tensor:
        require_divisible(self, blurred)
        features = self.intro(blurred)  # (n, width, h, w)

        # down: each level halves the size and doubles the width
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            features = encoder(features)
            skips.append(features)
            features = down(features)
        features = self.middle(features)

        # up: skips are added, not joined, so that each block of the decoder is as wide as its twin in the encoder
        for up, skip, decoder in zip(self.ups, reversed(skips), self.decoders, strict=True):
            features = decoder(up(features) + skip)
        return blurred + self.ending(features)


class NAFBlock(nn.Module):
    """Two residual halves, whose only nonlinearities are products; (n, c, h, w) to the same shape.

    ``y = x + beta conv1(attention(gate(depthwise3(conv1(norm1(x))))))`` and ``y + gamma conv1(gate(conv1(norm2(y))))``.
    beta and gamma, one number a channel, start at 0.

    Reference:
        Chen et al., ECCV 2022, section 4 and Figures 3 and 4.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        twice = 2 * channels
        self.spatial = nn.Sequential(
            ChannelLayerNorm(channels),
            nn.Conv2d(channels, twice, 1),
            nn.Conv2d(twice, twice, 3, padding=1, groups=twice),
            SimpleGate(),
            SimplifiedChannelAttention(channels),
            nn.Conv2d(channels, channels, 1),
        )
        self.pointwise = nn.Sequential(
            ChannelLayerNorm(channels), nn.Conv2d(channels, twice, 1), SimpleGate(), nn.Conv2d(channels, channels, 1)
        )
        # at 0 a new block is the identity, so that 36 of them in a row can be trained from the start
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        features = features + self.beta * self.spatial(features)
        return features + self.gamma * self.pointwise(features)


class ChannelLayerNorm(nn.Module):
    """Normalises each pixel over its channels, then scales and shifts each channel; in fp32 also under autocast.

    Shape:
        ``(n, c, h, w)`` to the same; in memory the result is channels last, which is what makes it fast.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, features: Tensor) -> Tensor:
        # a variance in fp16 overflows once values exceed 255
        precise = torch.promote_types(features.dtype, torch.float32)
        weight, bias = self.weight.to(precise), self.bias.to(precise)
        pixels = features.permute(0, 2, 3, 1).to(precise)  # layer_norm takes the last axes
        normal = functional.layer_norm(pixels, weight.shape, weight, bias, self.eps)
        return normal.permute(0, 3, 1, 2).to(features.dtype)


class SimpleGate(nn.Module):
    """The product of the two halves of the channels; (n, 2c, h, w) to (n, c, h, w)."""

    def forward(self, features: Tensor) -> Tensor:
        # in place of GELU, which is itself a product of x and a function of x
        first, second = features.chunk(2, dim=1)
        return first * second


class SimplifiedChannelAttention(nn.Module):
    """``x * conv1(mean of x over the image)``, without activation; (n, c, h, w) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        return features * self.conv(self.mean(features))


def _stage(channels: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(NAFBlock(channels) for _ in range(blocks)))
