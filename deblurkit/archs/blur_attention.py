"""The generator of BAG, the Blur-Attention GAN (Li et al., Neurocomputing)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from deblurkit.archs.blocks import (
    Norm,
    ReflectedResBlock,
    decoder_layers,
    encoder_layers,
    normalized,
    require_divisible,
    require_one_of,
)
from deblurkit.inner_outputs import InnerOutput, Ref
from deblurkit.registry import ARCHS
from deblurkit.weight_init import init_normal

Unit = Literal["dense", "residual", "plain"]
Fusion = Literal["input+outputs", "outputs", "none"]
Residual = Literal["multilevel", "plain", "none"]


class DenseUnit(nn.Module):
    """The paper's DenseBlock Unit (DBU): densely connected 3x3 convolutions, then a fusion; same shape out as in.

    ``y_i = ReLU(norm(conv3x3([y_0, ..., y_(i-1)])))`` with ``y_0`` the input ``(n, channels, h, w)`` and each later
    ``y_i`` ``(n, growth, h, w)``; the result is ``ReLU(norm(conv1x1([y_0, ..., y_layers])))``.

    Args:
        channels: Width of input and result.
        growth: Width of each convolution's output.
        layers: 3x3 convolutions.
        fusion: What the 1x1 convolution sees: ``input+outputs``, or ``outputs`` without ``y_0``. ``none``: the
            concatenated outputs are the result.
        norm: Makes the norm layers.

    Raises:
        ValueError: There is no fusion and ``layers * growth`` is not ``channels``.

    Reference:
        Section 3.1 (1). The fusion is our reading; see :class:`BlurAttention`.
    """

    def __init__(self, channels: int, growth: int, layers: int, fusion: Fusion, norm: Norm) -> None:
        super().__init__()
        if fusion == "none" and layers * growth != channels:
            raise ValueError(f"fusion none needs layers * growth = trunk, got {layers} * {growth} and {channels}")
        self.layers = nn.ModuleList(_convolution(channels + i * growth, growth, 3, norm) for i in range(layers))
        self.keeps_input = fusion == "input+outputs"
        joined = layers * growth + (channels if self.keeps_input else 0)
        self.fusion = nn.Identity() if fusion == "none" else _convolution(joined, channels, 1, norm)

    def forward(self, features: Tensor) -> Tensor:
        maps = [features]
        for layer in self.layers:
            maps.append(layer(torch.cat(maps, dim=1)))
        # back to the input's width, which the sum with F_1 outside needs
        return self.fusion(torch.cat(maps if self.keeps_input else maps[1:], dim=1))


class SpatialAttention(nn.Module):
    """The paper's Spatial Attention Unit (SAU): ``A = sigmoid(conv7x7([max_c F', mean_c F']))``.

    Shape:
        ``(n, c, h, w)`` to ``(n, 1, h, w)`` in [0, 1]. 99 parameters whatever ``c`` is.

    Reference:
        Section 3.1 (2), equation 3.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, features: Tensor) -> Tensor:
        # two maps whatever the width: the strongest and the mean response at each position, as CBAM pools
        pooled = torch.cat([features.amax(dim=1, keepdim=True), features.mean(dim=1, keepdim=True)], dim=1)
        return torch.sigmoid(self.convolution(pooled))


class BlurAttentionModule(nn.Module):
    """``A(F') * F'`` with ``F' = unit(features)``, or F' alone where ``attention`` is false; same shape out as in.

    Reference:
        Section 3.1, equation 2.
    """

    def __init__(self, unit: nn.Module, attention: bool) -> None:
        super().__init__()
        self.unit = unit
        self.attention = SpatialAttention() if attention else None

    def forward(self, features: Tensor) -> Tensor:
        extracted: Tensor = self.unit(features)
        return extracted if self.attention is None else self.attention(extracted) * extracted


@ARCHS.register_module()
class BlurAttention(nn.Module):
    """Encoder, blur-attention modules joined by a multi-level residual connection, decoder.

    ``restored = clamp(blurred + tanh(network(blurred)), -1, 1)``. With F_1 the encoder's features and BAM_k the k-th
    module, ``F_(k+1) = F_1 + BAM_k(F_k)``, and the decoder takes the last one: every module gets the first features
    and what the module before it found, and there is no skip around a single module.

    With no arguments: 8,245,071 parameters. Encoder and decoder always use instance norm (not affine, no running
    statistics). The paper prints neither its widths nor a size; our reading: the encoder's widths are DeblurGAN's, its
    baseline; 72 is what each 3x3 convolution adds; and a 1x1 convolution brings input and outputs back to the
    encoder's width, which is the seventh of the "7 convolutional layers" of section 4.2.1. The alternatives we counted
    are arguments: ``fusion: outputs`` (7,982,927); trunk 72 with growth 12 and no fusion (``channels: [64, 128, 72]``,
    597,687); trunk 72 or 128 with growth 72; trunk 432 and no fusion (``channels: [64, 128, 432]``, 10,682,367).

    Args:
        channels: Widths of the encoder's three convolutions; the last one is the modules' (the trunk).
        growth: Width of each dense convolution's output; dense unit only.
        fusion: See :class:`DenseUnit`; dense unit only.
        modules: Number of modules.
        layers: 3x3 convolutions before a module's last one.
        unit: What extracts features in a module. ``dense``: :class:`DenseUnit`. ``residual`` (Table 1's Model 1, our
            reading): ``layers / 2`` of DeblurGAN's residual blocks without dropout, then a 3x3 convolution. ``plain``
            (Model Plain, our reading): ``layers + 1`` 3x3 convolutions, each with norm and ReLU.
        norm: The norm in the modules: ``instance``, or ``batch`` (Model 2).
        attention: Whether the modules have a :class:`SpatialAttention`.
        residual: ``multilevel`` as above, ``plain`` for ``F_(k+1) = F_k + BAM_k(F_k)`` (Model 4), or ``none``.

    Shape:
        ``(n, 3, h, w)`` in [-1, 1] to the same; h and w divisible by 4, from 8 on.

    Raises:
        ValueError: An argument is out of range, or a size is not divisible by 4.

    Reference:
        Li, Yang, Lam, Zhuo, Li: Blur-Attention: A boosting mechanism for non-uniform blurred image restoration,
        preprint submitted to Neurocomputing, sections 3.1, 3.2 and 4.2, Table 1, Figures 2 and 3. Initialisation
        N(0, 0.02) is our reading, from DeblurGAN.
    """

    value_range = (-1.0, 1.0)
    size_divisor = 4
    min_size = 8  # its instance norms need two pixels, at a quarter of the size
    receptive_field = "global"  # instance norms, whatever the modules have

    def __init__(
        self,
        channels: Sequence[int] = (64, 128, 256),
        growth: int = 72,
        fusion: Fusion = "input+outputs",
        modules: int = 4,
        layers: int = 6,
        unit: Unit = "dense",
        norm: Literal["instance", "batch"] = "instance",
        attention: bool = True,
        residual: Residual = "multilevel",
    ) -> None:
        super().__init__()
        if len(channels) != 3 or min(channels) < 1:
            raise ValueError(f"channels are the widths of three convolutions, got {list(channels)}")
        if growth < 1 or modules < 1 or layers < 1:
            raise ValueError(f"needs growth, modules and layers >= 1, got {growth}, {modules}, {layers}")
        require_one_of("fusion", fusion, get_args(Fusion))
        require_one_of("unit", unit, get_args(Unit))
        require_one_of("norm", norm, ("instance", "batch"))
        require_one_of("residual", residual, get_args(Residual))
        self.residual = residual
        self.encoder = nn.Sequential(*encoder_layers(channels, nn.InstanceNorm2d))
        # Model 2 changes the norms of the modules alone
        module_norm: Norm = nn.BatchNorm2d if norm == "batch" else nn.InstanceNorm2d
        self.blocks = nn.ModuleList(
            BlurAttentionModule(_unit(unit, channels[-1], growth, layers, fusion, module_norm), attention)
            for _ in range(modules)
        )
        ups = decoder_layers(channels[::-1], nn.InstanceNorm2d)
        self.decoder = nn.Sequential(*ups, nn.ConvTranspose2d(channels[0], 3, 7, padding=3), nn.Tanh())
        init_normal(self)

    def forward(self, blurred: Tensor) -> Tensor:
        require_divisible(self, blurred)
        first = features = self.encoder(blurred)  # (n, channels[-1], h / 4, w / 4), and so throughout the modules
        for block in self.blocks:
            change = block(features)
            if self.residual == "multilevel":
                features = first + change  # F_1, not F_k: no path leads around a single module
            elif self.residual == "plain":
                features = features + change
            else:
                features = change
        return torch.clamp(blurred + self.decoder(features), -1.0, 1.0)

    def inner_outputs(self) -> list[InnerOutput]:
        """Returns the attention maps A1, A2 .. of Figures 1, 7 and 8, one a module."""
        found: list[InnerOutput] = []
        for name, module in self.named_modules():
            if isinstance(module, SpatialAttention):
                number = len(found) + 1
                words = f"attention of blur-attention module {number}: what its features are multiplied by"
                found.append(InnerOutput(f"A{number}", words, (Ref(name),), kind="weights"))
        return found


def _convolution(in_channels: int, out_channels: int, kernel: int, norm: Norm) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)
    return nn.Sequential(*normalized(convolution, norm(out_channels)))


def _unit(kind: Unit, channels: int, growth: int, layers: int, fusion: Fusion, norm: Norm) -> nn.Module:
    if kind == "dense":
        return DenseUnit(channels, growth, layers, fusion, norm)
    if kind == "plain":
        return nn.Sequential(*(_convolution(channels, channels, 3, norm) for _ in range(layers + 1)))
    if layers % 2:
        raise ValueError(f"a residual unit has two layers a block, so layers must be even, got {layers}")
    # a block has two convolutions, so that all three units are of the same depth
    blocks = (ReflectedResBlock(channels, dropout=0.0, norm=norm) for _ in range(layers // 2))
    return nn.Sequential(*blocks, _convolution(channels, channels, 3, norm))
