"""A small generator for machines without a GPU: the one that the quickstart trains."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from deblurkit.archs.blocks import require_divisible
from deblurkit.registry import ARCHS


class ScaledBlock(nn.Module):
    """``x + s * a * conv(ReLU(conv(x)))`` without norm; (n, c, h, w) to the same shape.

    ``a`` weighs the channels by their means over the image, as NAFNet's simplified channel attention does (Chen et
    al., ECCV 2022, section 3.3); ``s`` is one learned factor a channel, small at first.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.attention = nn.Conv2d(channels, channels, 1)
        nn.init.ones_(self.attention.bias)  # type: ignore[arg-type]  # each channel counts fully at first
        self.scale = nn.Parameter(torch.full((1, channels, 1, 1), 0.2))  # small: there is no norm

    def forward(self, features: Tensor) -> Tensor:
        change = self.second(functional.relu(self.first(features)))
        weights = self.attention(change.mean(dim=(2, 3), keepdim=True))
        return features + self.scale * weights * change


@ARCHS.register_module()
class FilterBankUNet(nn.Module):
    """U-Net that mixes, at each pixel, the responses of a learned bank of large linear filters.

    ``restored = blurred + sum_k c_k(blurred) * (f_k convolved with blurred) + r(blurred)``

    Not from a paper: deblurkit's own choice where seconds of CPU count. Undoing camera shake is close to a convolution
    that depends on the path. Small convolutions need many layers to imitate one; here a bank of filters ``f``, each as
    wide as the shake, spans such convolutions, and the U-Net says how much of each a pixel needs in each colour
    (``c``) and what remains to be added (``r``). The filters sum to zero and see one colour at a time.

    The image enters the U-Net through a space-to-depth step, so that none of its convolutions runs at full resolution;
    each level halves the size and adds its features to the decoder's.

    Args:
        channels: Width of each level, the finest (half resolution) first.
        blocks: Residual blocks a level, in the encoder and again in the decoder.
        filters: Size of the bank.
        taps: Side of a filter in pixels, odd; a little more than the widest shake.

    Shape:
        ``(n, 3, h, w)`` in [0, 1] to the same, not clamped; h and w divisible by ``2 ** len(channels)``.

    Raises:
        ValueError: A size is not divisible.
    """

    value_range = (0.0, 1.0)
    receptive_field = "global"  # the means that weigh the channels

    def __init__(
        self, channels: Sequence[int] = (32, 48, 64), blocks: int = 2, filters: int = 16, taps: int = 15
    ) -> None:
        super().__init__()
        if not channels or min(channels) < 1 or blocks < 1 or filters < 1:
            raise ValueError(f"needs a level, channel, block and filter at least, got {channels}, {blocks}, {filters}")
        if taps < 1 or taps % 2 == 0:
            raise ValueError(f"taps must be an odd number of pixels, got {taps}")
        self.size_divisor = 2 ** len(channels)
        self.stem = nn.Conv2d(12, channels[0], 3, padding=1)
        self.encoder = nn.ModuleList(_stage(width, blocks) for width in channels)
        self.decoder = nn.ModuleList(_stage(width, blocks) for width in channels[:-1])
        pairs = list(pairwise(channels))  # all of down before all of up: the order in which a seed draws the weights
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.up = nn.ModuleList(
            nn.Sequential(nn.Conv2d(coarse, 4 * fine, 1), nn.PixelShuffle(2)) for fine, coarse in pairs
        )
        self.coefficients = nn.Conv2d(channels[0], 3 * filters, 3, padding=1)
        self.remainder = nn.Conv2d(channels[0], 12, 3, padding=1)
        self.bank = nn.Parameter(torch.randn(filters, 1, taps, taps).div_(taps))
        # Start near the identity, but not at it: with coefficients of zero the bank would get no gradient.
        with torch.no_grad():
            self.coefficients.weight.mul_(0.1)
            self.remainder.weight.mul_(0.1)
            self.remainder.bias.zero_()  # type: ignore[union-attr]

    def forward(self, blurred: Tensor) -> Tensor:
        require_divisible(self, blurred)
        n, c, h, w = blurred.shape

        # U-Net: 2x2 pixels become 12 channels, (n, 12, h / 2, w / 2), and its features have that size too.
        features = self.encoder[0](self.stem(functional.pixel_unshuffle(blurred, 2)))
        skips = []
        for down, stage in zip(self.down, self.encoder[1:], strict=True):
            skips.append(features)
            features = stage(down(features))
        for stage, up, skip in zip(reversed(self.decoder), reversed(self.up), reversed(skips), strict=True):
            features = stage(up(features) + skip)

        # Bank: filters that sum to zero leave flat areas alone; each colour by itself, (n, 3, filters, h, w).
        reach = self.bank.shape[-1] // 2
        bank = self.bank - self.bank.mean(dim=(2, 3), keepdim=True)
        padded = functional.pad(blurred, (reach, reach, reach, reach), mode="replicate")
        responses = functional.conv2d(padded.flatten(0, 1).unsqueeze(1), bank).view(n, c, self.bank.shape[0], h, w)

        # Mixture: how much of each filter a pixel needs changes slowly, so that interpolated coefficients will do.
        coefficients = self.coefficients(features)
        weights = functional.interpolate(coefficients, scale_factor=2, mode="bilinear", align_corners=False)
        mixed = (responses * weights.reshape_as(responses)).sum(2)
        return blurred + mixed + functional.pixel_shuffle(self.remainder(features), 2)


def _stage(channels: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(ScaledBlock(channels) for _ in range(blocks)))
