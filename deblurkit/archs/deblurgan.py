"""The generator of DeblurGAN (Kupyn et al., CVPR 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deblurkit.registry import ARCHS
from deblurkit.weight_init import init_normal


class ResBlock(nn.Module):
    """``x + IN(conv(Dropout(ReLU(IN(conv(x))))))`` with reflection padding; (n, c, h, w) to the same shape."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.body(features)


@ARCHS.register_module()
class DeblurGAN(nn.Module):
    """Residual generator: two strided convolutions, nine residual blocks, two transposed convolutions.

    ``restored = clamp(blurred + tanh(network(blurred)), -1, 1)``

    With no arguments it is the paper's network of two convolutions a block: 11,378,179 parameters. (The public
    code after March 2019 has one, through an operator-precedence slip.) Instance norm is not affine and does not
    track statistics, so training and evaluation normalise alike; that, and dropout being off in evaluation, is our
    reading: the public code tests in training mode.

    Args:
        channels: Width after the first convolution; doubled by each of the two strided ones.
        blocks: Number of residual blocks.
        dropout: Probability between a block's two convolutions, active in training mode only.

    Shape:
        ``(n, 3, h, w)`` in [-1, 1] to the same; h and w divisible by 4.

    Raises:
        ValueError: A size is not divisible by 4.

    Reference:
        Kupyn, Budzan, Mykhailych, Mishkin, Matas: DeblurGAN: Blind Motion Deblurring Using Conditional Adversarial
        Networks, CVPR 2018, section 3.2 and Figure 3; initialisation N(0, 0.02) from its public code.
    """

    value_range = (-1.0, 1.0)
    size_divisor = 4

    def __init__(self, channels: int = 64, blocks: int = 9, dropout: float = 0.5) -> None:
        super().__init__()
        if channels < 1 or blocks < 0 or not 0 <= dropout < 1:
            raise ValueError(f"needs channels >= 1, blocks >= 0, 0 <= dropout < 1; got {channels}, {blocks}, {dropout}")
        wide = 4 * channels
        self.encoder = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(3, channels, 7),
            nn.InstanceNorm2d(channels),
            nn.ReLU(inplace=True),
            *_resampled(nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1), 2 * channels),
            *_resampled(nn.Conv2d(2 * channels, wide, 3, stride=2, padding=1), wide),
        )
        self.blocks = nn.Sequential(*(ResBlock(wide, dropout) for _ in range(blocks)))
        self.decoder = nn.Sequential(
            *_resampled(_upsample(wide, 2 * channels), 2 * channels),
            *_resampled(_upsample(2 * channels, channels), channels),
            nn.ReflectionPad2d(3),
            nn.Conv2d(channels, 3, 7),
            nn.Tanh(),
        )
        init_normal(self)

    def forward(self, blurred: Tensor) -> Tensor:
        h, w = blurred.shape[-2:]
        if h % self.size_divisor or w % self.size_divisor:
            raise ValueError(f"DeblurGAN needs sizes divisible by {self.size_divisor}, got {h}x{w}")
        return torch.clamp(blurred + self.decoder(self.blocks(self.encoder(blurred))), -1.0, 1.0)


def _resampled(convolution: nn.Module, channels: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    return convolution, nn.InstanceNorm2d(channels), nn.ReLU(inplace=True)


def _upsample(in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(in_channels, out_channels, 3, stride=2, padding=1, output_padding=1)
