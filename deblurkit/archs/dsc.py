"""The lightweight generator of depthwise-separable residual blocks with attention (Li et al.)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from deblurkit.archs.blocks import halving, reflected, require_divisible, require_one_of
from deblurkit.inner_outputs import InnerOutput, Pixel, Ref
from deblurkit.registry import ARCHS
from deblurkit.weight_init import init_kaiming

Upsample = Literal["two_conv", "espcn", "literal", "shuffle_first"]
_SLOPE = 0.2  # of every LeakyReLU
_SOFT = 0.1  # what the last layer of each block and of the network is multiplied by at the start


@ARCHS.register_module()
class DSCNet(nn.Module):
    """DeblurGAN's layout without norms, of attentive depthwise-separable blocks and pixel shuffles.

    ``restored = clamp(blurred + tanh(network(blurred)), -1, 1)``

    With no arguments: 3,124,213 parameters (11.92 MiB as fp32), 18.403 GMAC for 3x256x256. The paper's figure of the
    block is lost and its "128, 64 convolution kernels" of the upsampling has several readings; the default was chosen
    because it meets the published 11.9 "MB", which is a fit and no proof.

    Clamp, slope 0.2 and initialisation are our reading too: He weights, made smaller by ``_SOFT`` in the last layer of
    each block and of the network. With He's alone the nine blocks, which have no norms, drive the input of the tanh to
    an RMS of 600 to 850, where it has no gradient; so it is about 0.2.

    Args:
        channels: Width after the first convolution; doubled by each of the two strided ones.
        blocks: Number of :class:`AttentiveSeparableBlock`.
        n_dsc: Depthwise-separable convolutions of a block. The paper's "three" may also mean one of size 3x3.
        dsc_bias: Whether they have biases.
        reduction: Ratio of the channel attention's perceptron; 16 is CBAM's.
        dropout: Probability after the first separable convolution of a block, active in training mode only.
        upsample: How width c is halved while the size doubles, with 3x3 convolutions before a LeakyReLU.
            ``two_conv``: c to c, shuffle to c / 4, to c / 2. ``espcn``: c to 2c, shuffle to c / 2; 3,769,525
            parameters. ``shuffle_first``: shuffle to c / 4, to c / 2; 2,386,549. ``literal``: the stated 128 and 64
            kernels, each then shuffled to a quarter; 2,600,677.

    Shape:
        ``(n, 3, h, w)`` in [-1, 1] to the same; h and w divisible by 4.

    Raises:
        ValueError: An argument is out of its range, or a size is not divisible by 4.

    Reference:
        Li, Kong, Xue, Wang: Depth Separable Convolution Lightweight Blind Motion Deblurring Algorithm, sections 2.1 to
        2.4 and Figure 1; channel and spatial attention of Woo et al.: CBAM, ECCV 2018, equations 1 to 3.
    """

    value_range = (-1.0, 1.0)
    size_divisor = 4

    def __init__(
        self,
        channels: int = 64,
        blocks: int = 9,
        n_dsc: int = 3,
        dsc_bias: bool = False,
        reduction: int = 16,
        dropout: float = 0.5,
        upsample: Upsample = "two_conv",
    ) -> None:
        super().__init__()
        if channels < 4 or channels % 4 or blocks < 0 or not 0 <= dropout < 1:
            got = f"got {channels}, {blocks}, {dropout}"
            raise ValueError(f"needs channels a multiple of 4, blocks >= 0, 0 <= dropout < 1; {got}")
        require_one_of("upsample", upsample, get_args(Upsample))
        wide = 4 * channels
        # DeblurGAN's encoder without norms: (n, 3, h, w) to (n, 4 channels, h / 4, w / 4)
        down = [_leaky(), halving(channels, 2 * channels), _leaky(), halving(2 * channels, wide), _leaky()]
        self.encoder = nn.Sequential(*reflected(3, channels, 7), *down)
        self.blocks = nn.Sequential()
        for _ in range(blocks):
            self.blocks.append(AttentiveSeparableBlock(wide, n_dsc, dsc_bias, reduction, dropout))
        # what a doubling leaves depends on the reading of "128, 64 convolution kernels"
        first, middle = _doubling(wide, 2 * channels, upsample)
        second, last = _doubling(middle, channels, upsample)
        self.decoder = nn.Sequential(*first, *second, *reflected(last, 3, 7), nn.Tanh())
        self.receptive_field = "global" if blocks else None  # the blocks weigh channels by means of the whole map
        init_kaiming(self, _SLOPE)
        # start near the identity: without norms nine blocks at full strength would saturate the tanh
        with torch.no_grad():
            for part in (*self.blocks.children(), self.decoder):
                last_layer = [module for module in part.modules() if isinstance(module, nn.Conv2d)][-1]
                last_layer.weight.mul_(_SOFT)

    def forward(self, blurred: Tensor) -> Tensor:
        require_divisible(self, blurred)
        return torch.clamp(blurred + self.decoder(self.blocks(self.encoder(blurred))), -1.0, 1.0)

    def inner_outputs(self) -> list[InnerOutput]:
        """Returns the attention of each block: M_C, one weight a channel, and M_S, one a position."""
        found: list[InnerOutput] = []
        for index in range(len(self.blocks)):
            number, body = index + 1, f"blocks.{index}.body"  # its first two layers are the attentions
            words = f"attention of block {number}: what its {{}} are multiplied by"
            # the perceptron runs twice, on the means and on the maxima
            calls = (Ref(f"{body}.0.perceptron", 1), Ref(f"{body}.0.perceptron", 2))
            found.append(InnerOutput(f"M_C{number}", words.format("channels"), calls, _weights, "weights"))
            map_ = (Ref(f"{body}.1.conv"),)
            found.append(InnerOutput(f"M_S{number}", words.format("positions"), map_, _weights, "weights"))
        return found


class ChannelAttention(nn.Module):
    """``x * sigmoid(MLP(mean of x) + MLP(maximum of x))``, one weight a channel; (n, c, h, w) to the same shape.

    The perceptron is shared, has no biases, and LeakyReLU between its two layers (Li et al., section 2.2).

    Raises:
        ValueError: ``reduction`` leaves no hidden channel.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        if not 1 <= reduction <= channels:
            raise ValueError(f"reduction must be from 1 to the block's {channels} channels, got {reduction}")
        hidden = channels // reduction
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.perceptron = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False), _leaky(), nn.Conv2d(hidden, channels, 1, bias=False)
        )

    def forward(self, features: Tensor) -> Tensor:
        maximum = features.amax((2, 3), keepdim=True)
        return features * torch.sigmoid(self.perceptron(self.mean(features)) + self.perceptron(maximum))


class SpatialAttention(nn.Module):
    """``x * sigmoid(conv7([maximum over channels; mean over channels]))``; (n, c, h, w) to the same shape."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        maximum, mean = features.amax(1, keepdim=True), features.mean(1, keepdim=True)
        return features * torch.sigmoid(self.conv(torch.cat([maximum, mean], dim=1)))


class AttentiveSeparableBlock(nn.Module):
    """The paper's DSCRB: ``x + separable convolutions(spatial attention(channel attention(x)))``.

    LeakyReLU follows each separable convolution. The sum with x is our reading of "residual block"; where dropout
    stands is too. 211,810 parameters for 256 channels.

    Raises:
        ValueError: There is no separable convolution.
    """

    def __init__(self, channels: int, n_dsc: int, dsc_bias: bool, reduction: int, dropout: float) -> None:
        super().__init__()
        if n_dsc < 1:
            raise ValueError(f"n_dsc must be at least 1, got {n_dsc}")
        layers: list[nn.Module] = [ChannelAttention(channels, reduction), SpatialAttention()]
        for index in range(n_dsc):
            layers += [*separable(channels, channels, dsc_bias), _leaky()]
            if index == 0:
                layers.append(nn.Dropout(dropout))
        self.body = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.body(features)


def separable(in_channels: int, out_channels: int, bias: bool) -> tuple[nn.Conv2d, nn.Conv2d]:
    """Returns a 3x3 convolution of each channel by itself, and a 1x1 convolution that mixes them (section 2.3)."""
    depthwise = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=bias)
    return depthwise, nn.Conv2d(in_channels, out_channels, 1, bias=bias)


def _weights(logits: Sequence[Tensor], pixel: Pixel) -> Tensor:
    return torch.sigmoid(torch.stack([*logits]).sum(0))


def _leaky() -> nn.LeakyReLU:
    return nn.LeakyReLU(_SLOPE, inplace=True)


def _doubling(in_channels: int, kernels: int, upsample: Upsample) -> tuple[list[nn.Module], int]:
    """Returns layers from (n, in_channels, h, w) to (n, d, 2h, 2w), and d; ``kernels`` is the paper's stated number."""

    def conv3(before: int, after: int) -> nn.Module:
        return nn.Conv2d(before, after, 3, padding=1)

    # a shuffle turns four channels into 2x2 pixels of one, so the width it leaves is a quarter of what it gets
    shuffle = nn.PixelShuffle(2)
    if upsample == "two_conv":
        layers = [conv3(in_channels, in_channels), shuffle, conv3(in_channels // 4, kernels), _leaky()]
        return layers, kernels
    if upsample == "espcn":
        return [conv3(in_channels, 4 * kernels), shuffle, _leaky()], kernels
    if upsample == "literal":
        return [conv3(in_channels, kernels), shuffle, _leaky()], kernels // 4
    return [shuffle, conv3(in_channels // 4, kernels), _leaky()], kernels
