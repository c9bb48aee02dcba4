"""The generator of MADN: three scales of shared weights, guided by a network that restores image gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from deblurkit.archs.blocks import doubling, halving, require_divisible, require_one_of
from deblurkit.device import without_autocast
from deblurkit.inner_outputs import RETURNED, InnerOutput, Ref
from deblurkit.losses.views import pyramid, sobel
from deblurkit.registry import ARCHS
from deblurkit.weight_init import init_kaiming

_MODULES = 6  # InBlock, two EBlocks, two DBlocks, OutBlock: the residual blocks of all of them follow one another
_IMAGE_GAIN = 0.25  # of the layers that make images: measured, a scale then neither swells nor starves the next


Residuals = Callable[[int], list[nn.Module]]
"""Makes the residual blocks of one module for a number of channels."""


class ResBlock(nn.Module):
    """``x + conv(ReLU(conv(x)))``, 3x3, no norm and no ReLU after the sum (Figure 4b); the shape is kept.

    In series they are the nested connection of equation 9, if its R is the residual branch ``body``:
    ``P + R1(P) + R2(P + R1(P))`` is the second block's output after the first's. If R is the whole block, see
    :class:`NestedResBlock`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_same(channels, channels), nn.ReLU(inplace=True), _same(channels, channels))

    def forward(self, features: Tensor) -> Tensor:
        return features + self.body(features)


class NestedResBlock(ResBlock):
    """``(x + R(x)) / 2``, R a whole :class:`ResBlock` with an identity of its own; the shape is kept.

    Two in series are equation 9 with ``R1(P_n) = P_(n+1)`` taken at its word, ``P_n + R1(P_n) + R2(P_n + R1(P_n))``,
    except for the halves, which are ours: each sum has two identity paths, the equation four, and the 24 blocks of a
    codec 2 ** 24, all of which would reach the output. With the halves the identity has gain 1, and the block equals
    ``x + conv(ReLU(conv(x))) / 2``: nesting then says how much a branch weighs, and nothing else.
    """

    def forward(self, features: Tensor) -> Tensor:
        return (features + super().forward(features)) / 2


class Codec(nn.Module):
    """U-Net of one InBlock, two EBlocks, two DBlocks and one OutBlock, which is each scale and the gradient network.

    In and EBlocks are a convolution and residual blocks, D and OutBlocks residual blocks and a deconvolution; skips
    are added.

    Args:
        in_channels: Of its input.
        channels: Widths at full, half and quarter size.
        residuals: Makes the residual blocks of each of the six.
        guide: Width of the features joined to those of each EBlock; 0: none.

    Shape:
        ``(n, in_channels, h, w)``, and for each EBlock a guide ``(n, guide, h / 2, w / 2)`` and
        ``(n, guide, h / 4, w / 4)``, to features ``(n, channels[0], h, w)`` and an image ``(n, 3, h, w)``.
    """

    def __init__(self, in_channels: int, channels: Sequence[int], residuals: Residuals, guide: int = 0) -> None:
        super().__init__()
        fine, middle, coarse = channels
        # the guides are joined before the second EBlock and before the first DBlock, which are wider by them
        wide = coarse + guide
        self.in_block = _entry(_same(in_channels, fine), residuals(fine))
        self.encode_1 = _entry(halving(fine, middle), residuals(middle))
        self.encode_2 = _entry(halving(middle + guide, coarse), residuals(coarse))
        self.decode_1 = _exit(residuals(wide), doubling(wide, middle))
        self.decode_2 = _exit(residuals(middle), doubling(middle, fine))
        self.out_block = _exit(residuals(fine), _deconvolution(fine))
        self.to_image = nn.Conv2d(fine, 3, 1)

    def forward(self, image: Tensor, guides: Sequence[Tensor] = ()) -> tuple[Tensor, Tensor]:
        fine = self.in_block(image)  # (n, channels[0], h, w)
        middle = self.encode_1(fine)  # (n, channels[1], h / 2, w / 2)
        coarse = self.encode_2(torch.cat([middle, *guides[:1]], dim=1))  # (n, channels[2], h / 4, w / 4)
        # skips are added, so that the decoder needs no wider layers; only the guides are joined
        decoded = self.decode_1(torch.cat([coarse, *guides[1:]], dim=1)) + middle
        features = self.out_block(self.decode_2(decoded) + fine)
        return features, self.to_image(features)


@ARCHS.register_module()
class MADN(nn.Module):
    """Scale network, gradient network and a fusion of both: 29,624,457 parameters with no arguments.

    The scale network restores the image at a quarter, half and full size with the same weights; each scale sees its
    blurred image and the enlarged result of the scale below, the smallest its blurred image twice. The gradient
    network restores the Sobel magnitude of the sharp image from that of the blurred one, guided after its first EBlock
    by the features of the half-size scale and after the second by those of the quarter-size scale. The full-size
    features of both make the image. Sizes change by bicubic interpolation; the output is linear and never clamped.

    Our readings, for the paper gives no widths: 64, 128 and 256 come to "more than 29 million parameters"; at full
    size nothing is left for its "up-sampling block" to enlarge, so that is an OutBlock behind a convolution; and
    the gradient network takes M(blurred), as in equation 16, not the blurred image, as in equation 13. The
    initialisation is ours too: He et al.'s, the last convolution of each residual branch divided by the root of the
    number of residual blocks in series, as without norms their variances would grow by a factor of 2 ** 24, and the
    layers that make images a quarter, so that they start with the input's spread.

    Args:
        channels: Widths at full, half and quarter size. ``(32, 64, 128)``, the widths of the scale-recurrent network
            that MADN builds on, needs a quarter of the work: 7,411,785 parameters, and the size of their file is
            29.65 MB.
        blocks: Residual blocks in each InBlock, EBlock, DBlock and OutBlock.
        fusion: ``full``: a convolution, an OutBlock and a 1x1 convolution. ``light``: two convolutions, 29,293,641
            parameters.
        nested: Whether residual blocks are nested as equation 9 may be read: see :class:`NestedResBlock`. ``False``:
            in series. The weights are the same in name and number.

    Shape:
        ``(n, 3, h, w)`` in [0, 1] to a dict: ``image`` and ``gradient``, the restored Sobel magnitude, of the same
        shape, and ``scales``, the list of ``(n, 3, h, w)``, ``(n, 3, h / 2, w / 2)`` and ``(n, 3, h / 4, w / 4)``;
        h and w divisible by 16.

    Raises:
        ValueError: A bad argument, or a size that 16 does not divide.

    Reference:
        Zhu, Xu, Choi, Su: Multi-scale Generative Adversarial Deblurring Network with Gradient Guidance, Journal of
        Internet Technology 24(2), 2023, section 3.3 and Figures 2 to 4.
    """

    value_range = (0.0, 1.0)
    size_divisor = 16

    def __init__(
        self,
        channels: Sequence[int] = (64, 128, 256),
        blocks: int = 4,
        fusion: Literal["full", "light"] = "full",
        nested: bool = False,
    ) -> None:
        super().__init__()
        if len(channels) != 3 or min(channels) < 1 or blocks < 1:
            raise ValueError(f"needs three widths and a residual block at least, got {channels} and {blocks}")
        require_one_of("fusion", fusion, ("full", "light"))
        width = channels[0]
        block = NestedResBlock if nested else ResBlock

        def residuals(width: int) -> list[nn.Module]:
            return [block(width) for _ in range(blocks)]

        # one codec for all three scales: it sees the blurred image and what the smaller scale restored, 3 + 3 channels
        self.scale = Codec(6, channels, residuals)
        self.gradient = Codec(3, channels, residuals, guide=width)
        joined: list[nn.Module] = [_same(2 * width, width), nn.ReLU(inplace=True)]
        if fusion == "full":
            joined += [_exit(residuals(width), _deconvolution(width)), nn.Conv2d(width, 3, 1)]
        else:
            joined.append(_same(width, 3))
        self.fusion = nn.Sequential(*joined)
        # With each of a block's two convolutions a codec's six modules look 1 + 2 + 4 + 4 + 2 + 1 of its pixels far;
        # a scale starts from the one below, whose pixels are twice as wide. The rest of the network was measured.
        in_blocks = 2 * blocks * 14 * (4 + 2 + 1) + (2 * blocks if fusion == "full" else 0)
        self.receptive_field = in_blocks + 73 - blocks % 2
        _initialise(self, _MODULES * blocks)

    def forward(self, blurred: Tensor) -> dict[str, Tensor | list[Tensor]]:
        require_divisible(self, blurred)

        # Scale network, from a quarter of the size up: each result, enlarged, is seen by the next.
        features: list[Tensor] = []  # full size first: (n, channels[0], h, w), then halves and quarters
        scales: list[Tensor] = []  # the images, in the same order
        for seen in reversed(pyramid(blurred)):
            before = seen  # the smallest scale has none below it, and sees its own image twice
            if scales:
                before = functional.interpolate(scales[0], scale_factor=2.0, mode="bicubic", align_corners=False)
            found, image = self.scale(torch.cat([seen, before], dim=1))
            features.insert(0, found)
            scales.insert(0, image)

        # Gradient network, guided by the features of the half and the quarter size, which fit its own two levels.
        gradient_features, gradient = self.gradient(_gradient_map(blurred), features[1:])

        # Fusion of both networks' features at full size. Every output is returned, for its own loss term.
        restored = self.fusion(torch.cat([features[0], gradient_features], dim=1))
        return {"image": restored, "gradient": gradient, "scales": scales}

    def inner_outputs(self) -> list[InnerOutput]:
        """Returns the restored gradient map X_g and the scale network's images I1 (full size) to I3, as Figure 1."""
        gradient = Ref(RETURNED, parts=("gradient",))
        found = [InnerOutput("X_g", "gradient map restored by the gradient network", (gradient,))]
        for index, size in enumerate(("full", "half", "a quarter of the")):
            scale = Ref(RETURNED, parts=("scales", str(index)))
            words = f"restored by the scale network at {size} size"
            found.append(InnerOutput(f"I{index + 1}", words, (scale,), kind="image"))
        return found


def _same(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


def _deconvolution(channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, channels, 3, padding=1)


def _entry(convolution: nn.Module, blocks: list[nn.Module]) -> nn.Sequential:
    """Returns an InBlock or EBlock."""
    return nn.Sequential(convolution, nn.ReLU(inplace=True), *blocks)


def _exit(blocks: list[nn.Module], deconvolution: nn.Module) -> nn.Sequential:
    """Returns a DBlock or OutBlock."""
    return nn.Sequential(*blocks, deconvolution, nn.ReLU(inplace=True))


def _gradient_map(image: Tensor) -> Tensor:
    """Returns M(image) without autocast: differences of bf16 pixels would keep two or three digits."""
    with without_autocast(image.device.type):
        return sobel(image)


@torch.no_grad()
def _initialise(network: MADN, depth: int) -> None:
    """Draws the weights so that images at the start are of the order of the input, at every scale."""
    init_kaiming(network)
    # each residual block adds the variance of its branch to its input's: in series, without norms, that multiplies
    for module in network.modules():
        if isinstance(module, ResBlock):
            module.body[-1].weight.mul_(depth**-0.5)  # type: ignore[union-attr,operator]
    for layer in (network.scale.to_image, network.gradient.to_image, network.fusion[-1]):
        layer.weight.mul_(_IMAGE_GAIN)  # type: ignore[union-attr,operator]
