"""A U-Net of plain residual blocks behind a space-to-depth step: the network in the box."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from deblurkit.archs.blocks import require_divisible
from deblurkit.registry import ARCHS


@ARCHS.register_module()
class ResidualUNet(nn.Module):
    """U-Net of residual blocks of two convolutions: ``restored = blurred + network(blurred)``.

    Not from a paper: deblurkit's own choice for CPUs. Dense 3x3 convolutions over a map of half the image's size do
    several times more multiplications a second there than NAFNet's depthwise ones, in fp32 and more so in bf16. There
    is no norm, and no product of features, which without a norm grow out of bounds. The last convolution starts at
    zero, so that a new network returns its input.

    With no arguments it is the network in the box: 2.7 million parameters, 89 GMAC for 1280x720.

    Args:
        channels: Width of each level, the finest (half the image's size) first; each level halves the size.
        encoder_blocks: Blocks of each level on the way down, the finest first.
        decoder_blocks: Blocks of each level but the coarsest on the way up, the finest first.

    Shape:
        ``(n, 3, h, w)`` in [0, 1] to the same, not clamped; h and w divisible by ``2 ** len(channels)``.

    Raises:
        ValueError: The lists' lengths do not fit, a width or a number of blocks is below 1, or a size is not divisible.
    """

    value_range = (0.0, 1.0)

    def __init__(
        self,
        channels: Sequence[int] = (48, 96, 128),
        encoder_blocks: Sequence[int] = (1, 2, 6),
        decoder_blocks: Sequence[int] = (1, 2),
    ) -> None:
        super().__init__()
        if not channels or len(encoder_blocks) != len(channels) or len(decoder_blocks) != len(channels) - 1:
            raise ValueError(
                "encoder_blocks needs one entry for each of channels, decoder_blocks one less, "
                f"got {len(channels)}, {len(encoder_blocks)} and {len(decoder_blocks)}"
            )
        if min(*channels, *encoder_blocks, *decoder_blocks) < 1:
            raise ValueError(
                "needs a channel and a block at every level, "
                f"got {list(channels)}, {list(encoder_blocks)} and {list(decoder_blocks)}"
            )
        self.size_divisor = 2 ** len(channels)
        # In pixels: two convolutions a block, each one cell of its level wide; the coarsest cell itself; stem and tail.
        # A coarser level sees the stem's two pixels in whole cells of four.
        depths = [*enumerate(encoder_blocks, 1), *enumerate(decoder_blocks, 1)]
        in_blocks = sum(2 * 2**level * blocks for level, blocks in depths)
        self.receptive_field = in_blocks + self.size_divisor - 1 + (6 if len(channels) > 1 else 4)
        self.stem = nn.Conv2d(12, channels[0], 3, padding=1)
        self.encoder = nn.ModuleList(_stage(*pair) for pair in zip(channels, encoder_blocks, strict=True))
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairwise(channels))
        self.up = nn.ModuleList(
            nn.Sequential(nn.Conv2d(coarse, 4 * fine, 1), nn.PixelShuffle(2)) for fine, coarse in pairwise(channels)
        )
        self.decoder = nn.ModuleList(_stage(*pair) for pair in zip(channels[:-1], decoder_blocks, strict=True))
        self.tail = nn.Conv2d(channels[0], 12, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]

    def forward(self, blurred: Tensor) -> Tensor:
        require_divisible(self, blurred)
        # space to depth: 2x2 pixels become 12 channels, (n, 12, h / 2, w / 2)
        features = self.encoder[0](self.stem(functional.pixel_unshuffle(blurred, 2)))

        skips = []
        for down, stage in zip(self.down, self.encoder[1:], strict=True):
            skips.append(features)
            features = stage(down(features))
        for up, skip, stage in zip(reversed(self.up), reversed(skips), reversed(self.decoder), strict=True):
            features = stage(up(features) + skip)
        return blurred + functional.pixel_shuffle(self.tail(features), 2)


class _Block(nn.Module):
    """``x + s * conv(ReLU(conv(x)))``, ``s`` one learned factor a channel; (n, c, h, w) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.scale = nn.Parameter(torch.full((1, channels, 1, 1), 0.2))  # small: there is no norm

    def forward(self, features: Tensor) -> Tensor:
        return features + self.scale * self.second(functional.relu(self.first(features)))


def _stage(channels: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(channels) for _ in range(blocks)))
