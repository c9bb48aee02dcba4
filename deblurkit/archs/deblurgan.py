"""The generator of DeblurGAN (Kupyn et al., CVPR 2018)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from deblurkit.archs.blocks import ReflectedResBlock, decoder_layers, encoder_layers, reflected, require_divisible
from deblurkit.registry import ARCHS
from deblurkit.weight_init import init_normal


@ARCHS.register_module()
class DeblurGAN(nn.Module):
    """Residual generator: two strided convolutions, nine residual blocks, two transposed convolutions.

    ``restored = clamp(blurred + tanh(network(blurred)), -1, 1)``

    With no arguments it is the paper's network of two convolutions a block: 11,378,179 parameters. Instance norm is
    not affine and does not track statistics, so training and evaluation normalise alike; that, and dropout being off
    in evaluation, is our reading: the public code tests in training mode.

    Args:
        channels: Width after the first convolution; doubled by each of the two strided ones.
        blocks: Number of residual blocks.
        dropout: Probability between a block's two convolutions, active in training mode only.
        convs_per_block: 2, or 1 as in the public code since March 2019, where an operator-precedence slip dropped
            half of each block: 6,067,459 parameters.

    Shape:
        ``(n, 3, h, w)`` in [-1, 1] to the same; h and w divisible by 4, from 8 on.

    Raises:
        ValueError: A size is not divisible by 4.

    Reference:
        Kupyn, Budzan, Mykhailych, Mishkin, Matas: DeblurGAN: Blind Motion Deblurring Using Conditional Adversarial
        Networks, CVPR 2018, section 3.2 and Figure 3; initialisation N(0, 0.02) from its public code.
    """

    value_range = (-1.0, 1.0)
    size_divisor = 4
    min_size = 8  # the residual blocks mirror one line of their features, which have a quarter of the size
    receptive_field = "global"  # instance norms

    def __init__(
        self, channels: int = 64, blocks: int = 9, dropout: float = 0.5, convs_per_block: Literal[1, 2] = 2
    ) -> None:
        super().__init__()
        if channels < 1 or blocks < 0 or not 0 <= dropout < 1:
            raise ValueError(f"needs channels >= 1, blocks >= 0, 0 <= dropout < 1; got {channels}, {blocks}, {dropout}")
        widths = (channels, 2 * channels, 4 * channels)
        norm = nn.InstanceNorm2d
        # (n, 3, h, w) to (n, 4 channels, h / 4, w / 4), where all the residual blocks work
        self.encoder = nn.Sequential(*encoder_layers(widths, norm))
        self.blocks = nn.Sequential()
        for _ in range(blocks):
            self.blocks.append(ReflectedResBlock(widths[-1], dropout, norm, convs_per_block))
        # back to full size; the last layer has no norm, which would fix the mean and contrast of what is restored
        ups = decoder_layers(widths[::-1], norm)
        self.decoder = nn.Sequential(*ups, *reflected(channels, 3, 7), nn.Tanh())
        init_normal(self)

    def forward(self, blurred: Tensor) -> Tensor:
        require_divisible(self, blurred)
        # ResOut (section 3.2): the network learns what to add to the blurred image, which the paper finds to train
        # faster and to generalise better. The clamp, from the public code, keeps the sum in the range of an image.
        return torch.clamp(blurred + self.decoder(self.blocks(self.encoder(blurred))), -1.0, 1.0)
