"""The generator of DeblurGAN-v2 (Kupyn et al., ICCV 2019)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from deblurkit.archs.blocks import Norm, require_divisible, require_one_of
from deblurkit.archs.fpn_encoders import ENCODERS, Encoder, load_imagenet, use_own_statistics
from deblurkit.contracts import ReceptiveField
from deblurkit.registry import ARCHS


@ARCHS.register_module()
class DeblurGANv2(nn.Module):
    """Feature pyramid over an ImageNet encoder, decoded to a residual: ``clamp(blurred + tanh(network(blurred)))``.

    The encoder's five maps, at 1/2 to 1/32 of the size, pass 1x1 convolutions. From the coarsest down, each is added to
    the one above, enlarged, and smoothed; four heads refine the sums, which are enlarged to 1/4 and joined. Two
    enlargements follow, the first of which takes in the finest map. All enlarging repeats pixels (nearest).

    With no arguments it is the paper's Inception-ResNet-v2 network, 35,840,099 parameters; ``mobilenet_v2`` has
    2,106,627, ``densenet121`` 10,118,275. Structure from the public code, with its unused encoder layers left out.

    Args:
        encoder: Which ImageNet network encodes.
        channels: Width of the pyramid, divisible by 4; the heads have half of it. Absent: 128 for ``mobilenet_v2``,
            256 for the others.
        decoder_norm: ``instance`` (not affine) or ``batch``. Absent: ``batch`` for ``densenet121``, ``instance`` for
            the others, as in the public code; there instance norm also tracks statistics, which ours does not.
        top_down_convs: Whether a sum in the pyramid passes a 3x3 convolution. Absent: not for ``densenet121``.
        global_skip: Whether the blurred image is added and the sum clamped. The public code leaves both out of its
            ``densenet121`` network: ``False`` there.
        encoder_norm: What the batch norms (also a decoder's) normalise by in evaluation: the ``running`` statistics, or
            those of each ``image``, which is how the public code tests, and what the published weights need.
        encoder_weights: ``imagenet``: the published file, from torch's cache; or a file's path. A training reads it
            when it starts from the beginning (:meth:`load_pretrained`). Absent: random.
        download: Whether that file may be fetched where the cache lacks it.

    Attributes:
        min_size: The least side of an image: 128 for ``inception_resnet_v2``, else 64 where ``encoder_norm`` is
            ``image``, else 0.

    Shape:
        ``(n, 3, h, w)`` in [-1, 1] to the same; h and w divisible by 32 and at least ``min_size``.

    Raises:
        ValueError: An argument or a size is none of these.

    Reference:
        Kupyn, Martyniuk, Wu, Wang: DeblurGAN-v2: Deblurring (Orders-of-Magnitude) Faster and Better, ICCV 2019,
        sections 3.1 and 3.2; what it leaves open from its public code.
    """

    value_range = (-1.0, 1.0)
    size_divisor = 32

    def __init__(
        self,
        encoder: Literal["inception_resnet_v2", "mobilenet_v2", "densenet121"] = "inception_resnet_v2",
        channels: int | None = None,
        decoder_norm: Literal["instance", "batch"] | None = None,
        top_down_convs: bool | None = None,
        global_skip: bool = True,
        encoder_norm: Literal["running", "image"] = "running",
        encoder_weights: str | None = None,
        download: bool = False,
    ) -> None:
        super().__init__()
        if encoder not in ENCODERS:
            raise ValueError(f"encoder is one of {', '.join(ENCODERS)}, got {encoder!r}")
        if decoder_norm not in (None, "instance", "batch"):
            raise ValueError(f"decoder_norm is instance, batch or absent, got {decoder_norm!r}")
        require_one_of("encoder_norm", encoder_norm, ("running", "image"))

        # Three networks under one name: what is not said follows the public code's, whose densenet121 is the odd one.
        dense = encoder == "densenet121"
        width = channels if channels is not None else (128 if encoder == "mobilenet_v2" else 256)
        if width < 4 or width % 4:
            raise ValueError(f"channels is a positive multiple of 4, got {width}")
        plan = ENCODERS[encoder]
        norm = nn.BatchNorm2d if (decoder_norm or ("batch" if dense else "instance")) == "batch" else nn.InstanceNorm2d
        smoothed = not dense if top_down_convs is None else top_down_convs
        half = width // 2

        # The finest map skips the pyramid, and joins where only half the width is left.
        self.encoder = Encoder(plan)
        self.laterals = nn.ModuleList()
        for taken, out in zip(plan.taps.values(), (half, width, width, width, width), strict=True):
            self.laterals.append(nn.Conv2d(taken, out, 1, bias=False))
        self.top_down = nn.ModuleList(_smooth(width, width, norm) if smoothed else nn.Identity() for _ in range(3))
        self.heads = nn.ModuleList(_head(width, half) for _ in range(4))
        self.smooth = _smooth(4 * half, half, norm)
        self.smooth2 = _smooth(half, half // 2, norm)
        self.final = nn.Conv2d(half // 2, 3, 3, padding=1)
        self.global_skip = global_skip
        self.min_size = max(plan.min_size, 64 if encoder_norm == "image" else 0)  # one pixel has no deviation
        instance = norm is nn.InstanceNorm2d or encoder_norm == "image"
        self.receptive_field: ReceptiveField = "global" if instance else plan.receptive_field
        self._pads = plan.pads
        self._pretrained = (encoder, encoder_weights, download)
        if encoder_norm == "image":
            use_own_statistics(self)

    def load_pretrained(self) -> None:
        """Reads the encoder's weights where ``encoder_weights`` names any.

        Raises:
            MissingWeightsError: They are not there and may not be fetched.
            UserError: The file cannot be read, or holds another network.
        """
        name, weights, download = self._pretrained
        if weights is not None:
            load_imagenet(self.encoder, name, None if weights == "imagenet" else weights, download)

    def forward(self, blurred: Tensor) -> Tensor:
        require_divisible(self, blurred)
        if min(blurred.shape[-2:]) < self.min_size:
            h, w = blurred.shape[-2:]
            raise ValueError(f"DeblurGANv2 with this encoder needs sizes of at least {self.min_size}, got {h}x{w}")

        # Laterals: the encoder's maps at 1/2 to 1/32, brought to the pyramid's width and to exact fractions of h and w.
        sides: list[Tensor] = []
        for lateral, taken, pads in zip(self.laterals, self.encoder(blurred), self._pads, strict=True):
            side = lateral(taken)
            sides.append(functional.pad(side, pads, mode="reflect") if any(pads) else side)

        # Pyramid, from the coarsest down: each level, (n, channels, ...), gets what the coarser ones have seen.
        levels = [sides.pop()]
        for top_down in self.top_down:
            levels.insert(0, top_down(sides.pop() + _enlarge(levels[0], 2)))

        # Heads: all levels at 1/4, (n, channels / 2, ...) each, joined coarsest first, as published weights need it.
        maps: list[Tensor] = []
        for exponent, (head, level) in enumerate(zip(self.heads, levels, strict=True)):
            maps.insert(0, _enlarge(head(level), 2**exponent))
        joined = self.smooth(torch.cat(maps, dim=1))

        # Back to full size; the encoder's finest map, all that is left of the laterals, joins at 1/2.
        refined = self.smooth2(_enlarge(joined, 2) + sides.pop())
        residual = torch.tanh(self.final(_enlarge(refined, 2)))
        return torch.clamp(blurred + residual, -1.0, 1.0) if self.global_skip else residual


def _enlarge(features: Tensor, factor: int) -> Tensor:
    return functional.interpolate(features, scale_factor=factor, mode="nearest") if factor > 1 else features


def _smooth(in_channels: int, out_channels: int, norm: Norm) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, padding=1), norm(out_channels), nn.ReLU(inplace=True))


def _head(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
        nn.ReLU(inplace=True),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        nn.ReLU(inplace=True),
    )
