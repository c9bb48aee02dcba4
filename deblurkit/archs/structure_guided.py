"""The structures-guided generator with GradientNet (Qi 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from deblurkit.archs.blocks import (
    doubling,
    enlarging,
    halving,
    normalized,
    reflected,
    require_divisible,
    require_one_of,
)
from deblurkit.inner_outputs import InnerOutput, Ref
from deblurkit.registry import ARCHS
from deblurkit.weight_init import init_normal

Multipath = Literal["parallel", "cascade"]
Path = Literal["rgcl", "conv"]
Pointwise = Literal["outside", "inside"]
Upsample = Literal["nearest", "deconv"]

# The maps of an RGCL that can be shown, by the part that makes them; the empty name is the whole.
_STRUCTURES = {
    "horizontal": "horizontal filters in the last recurrence",
    "vertical": "vertical filters in the last recurrence",
    "attention": "what it adds to its input",
    "": "its output",
}
_MOST_RECURRENCES = 1000  # they need no weights: nothing else would bound them


class ChannelAttention(nn.Module):
    """Squeeze and excitation: ``x * sigmoid(W2 ReLU(W1 mean(x)))``, with biases; (n, c, h, w) to the same shape.

    Args:
        channels: Width c.
        reduction: W1 maps to ``c // reduction`` channels, at least one.

    Reference:
        Hu, Shen, Sun: Squeeze-and-Excitation Networks, CVPR 2018, section 3; the "CA" of Qi 2022.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        if reduction < 1:
            raise ValueError(f"reduction must be at least 1, got {reduction}")
        squeezed = max(channels // reduction, 1)
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1), nn.ReLU(inplace=True), nn.Conv2d(squeezed, channels, 1), nn.Sigmoid()
        )

    def forward(self, features: Tensor) -> Tensor:
        return features * self.weigh(features.mean(dim=(2, 3), keepdim=True))


class RecurrentGradientConv(nn.Module):
    """RGCL: both image directions in parallel, over and over; (n, c, h, w) to the same shape.

    ``y <- LeakyReLU(conv1x3(y) + conv3x1(y))``, ``recurrences`` times from ``y = x`` with the same weights, then
    ``CA(sigmoid(conv1x1(y))) + x``. 29,444 parameters for 64 channels, however many recurrences.

    Our reading: the inner Conv of equation 7 is 1x1 and stands outside the recurrence; weights are shared, as
    "recurrent" says; the slope of LeakyReLU is 0.2.

    Args:
        channels: Width c.
        recurrences: r of equation 7.
        reduction: Of the channel attention.
        pointwise: Where the 1x1 convolution stands, as ``Conv(LR(..), r)`` may be read both ways. ``inside``:
            ``y <- conv1x1(LeakyReLU(conv1x3(y) + conv3x1(y)))`` and ``CA(sigmoid(y)) + x``, of the same weights.

    Raises:
        ValueError: An argument is out of range.

    Reference:
        Qi: Structures Guided Dynamic Scene Deblurring Method, 2022, section 3.1.2 (4), equation 7, Figure 3.
    """

    def __init__(
        self, channels: int, recurrences: int = 3, reduction: int = 16, pointwise: Pointwise = "outside"
    ) -> None:
        super().__init__()
        require_one_of("pointwise", pointwise, ("outside", "inside"))
        if not 1 <= recurrences <= _MOST_RECURRENCES:
            raise ValueError(f"recurrences must be from 1 to {_MOST_RECURRENCES}, got {recurrences}")
        self.recurrences = recurrences
        self.inside = pointwise == "inside"
        self.horizontal = nn.Conv2d(channels, channels, (1, 3), padding=(0, 1))
        self.vertical = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0))
        self.gate = nn.Conv2d(channels, channels, 1)
        self.attention = ChannelAttention(channels, reduction)

    def forward(self, features: Tensor) -> Tensor:
        # one weight for all turns: with each the layer sees a pixel further along rows and columns, at no parameters
        state = features
        for _ in range(self.recurrences):
            state = functional.leaky_relu(self.horizontal(state) + self.vertical(state), 0.2)
            if self.inside:
                state = self.gate(state)
        if not self.inside:
            state = self.gate(state)
        return self.attention(torch.sigmoid(state)) + features


class MultiBranchReuseBlock(nn.Module):
    """MBRB: paths joined, weighed by channel and fused, plus the input; (n, c, h, w) to the same shape.

    ``x + conv3x3(ReLU(conv1x1(CA(cat[path_1, .., path_p]))))``; 142,424 parameters for three RGCLs of 64 channels.

    Our reading: the sum inside equation 5's concatenation lists its parts, as one sum would leave nothing to join;
    f_FE3 is 1x1, from p * c to c channels; f_FE4 is 3x3.

    Args:
        channels: Width c.
        paths: Their number p; 1 is the ablation "w/o MBRBs".
        path: ``rgcl``, or ``conv`` for a plain 3x3 convolution, the ablation "w/o RGCL".
        recurrences: This, ``reduction`` and ``pointwise``: see :class:`RecurrentGradientConv`.
        multipath: ``parallel``: each path sees the block's input, as in equation 5. ``cascade``: each sees what the
            one before it made, as "multipath reuse" may be understood; the cost is the same.

    Raises:
        ValueError: An argument is out of range.

    Reference:
        Qi 2022, section 3.1.2 (3), equations 5 and 6, Figure 2.
    """

    def __init__(
        self,
        channels: int,
        paths: int = 3,
        path: Path = "rgcl",
        recurrences: int = 3,
        multipath: Multipath = "parallel",
        reduction: int = 16,
        pointwise: Pointwise = "outside",
    ) -> None:
        super().__init__()
        if paths < 1:
            raise ValueError(f"an MBRB needs 1 path at least, got {paths}")
        if path not in ("rgcl", "conv") or multipath not in ("parallel", "cascade"):
            raise ValueError(f"path is rgcl or conv, multipath parallel or cascade; got {path!r} and {multipath!r}")
        self.cascade = multipath == "cascade"
        self.paths = nn.ModuleList()
        for _ in range(paths):
            if path == "rgcl":
                self.paths.append(RecurrentGradientConv(channels, recurrences, reduction, pointwise))
            else:
                self.paths.append(nn.Conv2d(channels, channels, 3, padding=1))
        self.attention = ChannelAttention(paths * channels, reduction)
        self.fuse = nn.Sequential(
            nn.Conv2d(paths * channels, channels, 1), nn.ReLU(inplace=True), nn.Conv2d(channels, channels, 3, padding=1)
        )

    def forward(self, features: Tensor) -> Tensor:
        found: list[Tensor] = []
        for path in self.paths:
            found.append(path(found[-1] if self.cascade and found else features))
        return features + self.fuse(self.attention(torch.cat(found, dim=1)))


class GradientNet(nn.Module):
    """PRFTM, MBRU and one convolution back to the width of the encoder; (n, c, h, w) to the same shape.

    ``conv3x3(CA(MBRBs(conv3x3(conv3x3(x)))))``; no activation between the convolutions, as none is stated.

    Our reading: the last convolution, which the decoder needs. The paper says that PRFTM increases the number of
    channels; here it narrows 256 to 64: with 128 inside, the whole network would cost over twice the printed figure.

    Args:
        outer: Width c of the encoder's last features.
        inner: Width inside.
        blocks: Number of MBRBs.
        paths: This and what follows: see :class:`MultiBranchReuseBlock`.

    Reference:
        Qi 2022, section 3.1.2 (1) and (2), equations 2 to 4, Figure 2.
    """

    def __init__(
        self,
        outer: int = 256,
        inner: int = 64,
        blocks: int = 10,
        paths: int = 3,
        path: Path = "rgcl",
        recurrences: int = 3,
        multipath: Multipath = "parallel",
        reduction: int = 16,
        pointwise: Pointwise = "outside",
    ) -> None:
        super().__init__()
        if inner < 1 or blocks < 1:
            raise ValueError(f"GradientNet needs 1 channel and 1 block at least, got {inner} and {blocks}")
        self.transition = nn.Sequential(nn.Conv2d(outer, inner, 3, padding=1), nn.Conv2d(inner, inner, 3, padding=1))
        self.blocks = nn.Sequential()
        for _ in range(blocks):
            self.blocks.append(MultiBranchReuseBlock(inner, paths, path, recurrences, multipath, reduction, pointwise))
        self.attention = ChannelAttention(inner, reduction)
        self.back = nn.Conv2d(inner, outer, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        return self.back(self.attention(self.blocks(self.transition(features))))


@ARCHS.register_module()
class StructureGuided(nn.Module):
    """U-Net whose bottleneck, GradientNet, looks for horizontal and vertical structures.

    Encoder: a 7x7 convolution, then one of stride 2 a level. GradientNet: two 3x3 convolutions without activation
    (PRFTM), ten MBRBs and a channel attention (MBRU), one 3x3 convolution back to the encoder's width. Decoder: double
    the size, convolve, join the encoder's features of that size; a 7x7 convolution and tanh end it.

    With no arguments: 2,596,855 parameters, of which GradientNet has 1,756,980; 31.696 GMAC for 256x256 and 445.730
    for 720x1280, 0.28 % below the printed 446.98 G. **Our reading:** every width, the encoder's and decoder's layers
    and the convolution back stand in a figure that the text does not repeat. They were chosen to meet that one cost,
    and other plans meet it too; the 64 channels inside GradientNet and the ratio 16 are those of Cross-SRN, which the
    paper names as its inspiration. Instance norm is not affine and has no running statistics; weights begin as
    N(0, 0.02).

    Args:
        channels: Width at full, half, quarter .. size.
        gradient_channels: Width inside GradientNet.
        blocks: Number of MBRBs.
        recurrences: Of each RGCL.
        reduction: Of the channel attentions.
        multipath: ``parallel`` (equation 5) or ``cascade``: see :class:`MultiBranchReuseBlock`.
        upsample: ``nearest``: repeat pixels, then convolve. ``deconv``: transposed convolutions of as many parameters;
            20.825 GMAC for 256x256, 292.848 for 720x1280, counted at their input's positions.
        global_skip: Whether to return ``clamp(blurred + tanh(..), -1, 1)``; the paper says nothing of it, so not.
        path: ``rgcl``, or ``conv`` for the ablation "w/o RGCL": one plain 3x3 convolution in the place of each RGCL,
            without activation (our reading of "normal convolution layers").
        paths: Paths of an MBRB; 1 for the ablation "w/o MBRBs": one RGCL, then attention, fusion and residual as
            ever (our reading of "a single path").
        gradient_net: Whether there is a GradientNet. ``False`` is the ablation "w/o GradientNet": the encoder's last
            features go to the decoder as they are, and the arguments of GradientNet do not matter.
        pointwise: Where the 1x1 convolution of an RGCL stands: ``outside`` the recurrence, once behind it, or
            ``inside``, once a turn: as many parameters, 32.703 GMAC for 256x256 and 459.886 for 720x1280.

    Shape:
        ``(n, 3, h, w)`` in [-1, 1] to the same; h and w divisible by ``2 ** (len(channels) - 1)``, and at
        least twice that.

    Raises:
        ValueError: A size is not divisible, or an argument is out of range.

    Reference:
        Qing Qi: Structures Guided Dynamic Scene Deblurring Method, 2022, section 3.1, Figure 2, equations 2 to 7;
        the ablations: section 4.8, Table 5. Liu et al.: Cross-SRN, IEEE TCSVT 2022.
    """

    value_range = (-1.0, 1.0)
    receptive_field = "global"  # instance norms

    def __init__(
        self,
        channels: Sequence[int] = (64, 128, 256),
        gradient_channels: int = 64,
        blocks: int = 10,
        recurrences: int = 3,
        reduction: int = 16,
        multipath: Multipath = "parallel",
        upsample: Upsample = "nearest",
        global_skip: bool = False,
        path: Path = "rgcl",
        paths: int = 3,
        gradient_net: bool = True,
        pointwise: Pointwise = "outside",
    ) -> None:
        super().__init__()
        if len(channels) < 2 or min(channels) < 1:
            raise ValueError(f"channels needs two levels at least, each of one channel at least, got {channels}")
        require_one_of("upsample", upsample, ("nearest", "deconv"))
        self.size_divisor = 2 ** (len(channels) - 1)
        self.min_size = 2 * self.size_divisor  # instance norms need two pixels of the coarsest features
        self.global_skip = global_skip
        first, last = channels[0], channels[-1]
        head = nn.Sequential(*reflected(3, first, 7), nn.InstanceNorm2d(first), nn.ReLU(inplace=True))
        self.encoder = nn.ModuleList([head])
        for fine, coarse in pairwise(channels):
            self.encoder.append(nn.Sequential(*normalized(halving(fine, coarse), nn.InstanceNorm2d(coarse))))
        self.gradient_net: nn.Module = nn.Identity()
        if gradient_net:
            self.gradient_net = GradientNet(
                last, gradient_channels, blocks, paths, path, recurrences, multipath, reduction, pointwise
            )
        self.decoder = nn.ModuleList()
        widen = doubling if upsample == "deconv" else enlarging
        width = last
        for fine in reversed(channels[:-1]):
            self.decoder.append(nn.Sequential(*normalized(widen(width, fine), nn.InstanceNorm2d(fine))))
            width = 2 * fine  # the encoder's features of that size are joined to it
        self.tail = nn.Sequential(*reflected(width, 3, 7), nn.Tanh())
        init_normal(self)

    def forward(self, blurred: Tensor) -> Tensor:
        require_divisible(self, blurred)
        # encoder: (n, channels[k], h / 2^k, w / 2^k) at each level k
        features, skips = blurred, []
        for stage in self.encoder:
            features = stage(features)
            skips.append(features)
        # structures are looked for in the coarsest features alone, where a pixel stands for a patch of the image
        features = self.gradient_net(skips.pop())
        # decoder: doubled in size, then joined with the encoder's features of that size, so twice channels[k] wide
        for stage in self.decoder:
            features = torch.cat([stage(features), skips.pop()], dim=1)
        restored: Tensor = self.tail(features)
        return torch.clamp(blurred + restored, -1.0, 1.0) if self.global_skip else restored

    def inner_outputs(self) -> list[InnerOutput]:
        """Returns edges and structures of the first and the last RGCL, as Figure 4 (c) to (e)."""
        layers = [name for name, module in self.named_modules() if isinstance(module, RecurrentGradientConv)]
        found: list[InnerOutput] = []
        for number in sorted({1, len(layers)}) if layers else ():
            name = layers[number - 1]
            for part, words in _STRUCTURES.items():
                ref = Ref(f"{name}.{part}" if part else name)
                found.append(InnerOutput(f"rgcl{number}.{part or 'structure'}", f"RGCL {number}: {words}", (ref,)))
        return found
