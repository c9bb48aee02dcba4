"""A small generator for machines without a GPU: the one that the quickstart trains."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from deblurkit.registry import ARCHS


class AttentionBlock(nn.Module):
    """``x + a * conv(ReLU(conv(x)))`` without norm; (n, c, h, w) to the same shape.

    ``a`` weighs the channels by what the whole image shows (squeeze-and-excitation, Hu et al., CVPR 2018): camera
    shake is nearly one kernel for the whole image, which a convolution alone cannot see.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.squeeze = nn.Conv2d(channels, channels // 2, 1)
        self.excite = nn.Conv2d(channels // 2, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        change = self.second(functional.relu(self.first(features)))
        pooled = change.mean(dim=(2, 3), keepdim=True)
        attention = torch.sigmoid(self.excite(functional.relu(self.squeeze(pooled))))
        return features + attention * change


@ARCHS.register_module()
class ResidualUNet(nn.Module):
    """U-Net of norm-free residual blocks on 2x2 pixel blocks, predicting what to add to the blurred image.

    Not from a paper: deblurkit's own choice where seconds of CPU count. The image enters through a space-to-depth
    step, so that no convolution runs at full resolution; each level halves the size and adds its features to the
    decoder's. The last convolution starts at a tenth of its usual scale: the untrained network nearly returns its
    input.

    Args:
        channels: Width of each level, the finest (half resolution) first.
        blocks: Residual blocks a level, in the encoder and again in the decoder.

    Shape:
        ``(n, 3, h, w)`` in [0, 1] to the same, not clamped; h and w divisible by ``2 ** len(channels)``.
    """

    value_range = (0.0, 1.0)

    def __init__(self, channels: Sequence[int] = (32, 64, 96), blocks: int = 2) -> None:
        super().__init__()
        if not channels or min(channels) < 1 or blocks < 1:
            raise ValueError(f"needs at least one level of at least one channel and block, got {channels}, {blocks}")
        self.size_divisor = 2 ** len(channels)
        self.stem = nn.Conv2d(12, channels[0], 3, padding=1)
        self.encoder = nn.ModuleList(_stage(width, blocks) for width in channels)
        self.decoder = nn.ModuleList(_stage(width, blocks) for width in channels[:-1])
        pairs = list(pairwise(channels))
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.up = nn.ModuleList(
            nn.Sequential(nn.Conv2d(coarse, 4 * fine, 1), nn.PixelShuffle(2)) for fine, coarse in pairs
        )
        self.tail = nn.Conv2d(channels[0], 12, 3, padding=1)
        with torch.no_grad():
            self.tail.weight.mul_(0.1)
            self.tail.bias.zero_()  # type: ignore[union-attr]

    def forward(self, blurred: Tensor) -> Tensor:
        h, w = blurred.shape[-2:]
        if h % self.size_divisor or w % self.size_divisor:
            raise ValueError(f"ResidualUNet needs sizes divisible by {self.size_divisor}, got {h}x{w}")
        features = self.encoder[0](self.stem(functional.pixel_unshuffle(blurred, 2)))
        skips = []
        for down, stage in zip(self.down, self.encoder[1:], strict=True):
            skips.append(features)
            features = stage(down(features))
        for stage, up, skip in zip(reversed(self.decoder), reversed(self.up), reversed(skips), strict=True):
            features = stage(up(features) + skip)
        return blurred + functional.pixel_shuffle(self.tail(features), 2)


def _stage(channels: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(AttentionBlock(channels) for _ in range(blocks)))
