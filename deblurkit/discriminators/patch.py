"""The patch critic of pix2pix, as DeblurGAN and most deblurring GANs use it."""

from __future__ import annotations

from itertools import count
from typing import Literal

from torch import Tensor, nn

from deblurkit.archs.blocks import require_one_of
from deblurkit.discriminators.spectral import apply_spectral_norm
from deblurkit.registry import DISCRIMINATORS
from deblurkit.weight_init import init_normal


@DISCRIMINATORS.register_module()
class PatchDiscriminator(nn.Module):
    """PatchGAN: 4x4 convolutions, ``layers`` of them strided, then two of stride 1; one logit a patch.

    With no arguments: 2,764,737 parameters, a receptive field of 70 pixels.

    The depthwise-separable paper's critic "averages the results of each Patch to get the final output", behind a last
    layer that "adds Sigmoid": ``reduce="mean"`` and ``sigmoid=True``, together a mean of probabilities. Games that
    apply a sigmoid themselves (``vanilla``, ``ragan``) or that need scores without bounds (``wgan``) want none here.

    Args:
        in_channels: 3; 6 where the term's ``condition: blurred`` joins the blurred image.
        channels: Width of the first convolution; doubled up to eight times that.
        layers: Strided convolutions.
        norm: ``instance`` (not affine, no running statistics) or ``none``. There is none after the first and the
            last convolution.
        padding: 1 (pix2pix; 30x30 logits for 256x256) or 2 (DeblurGAN's public code; 35x35).
        spectral_norm: Keep each convolution's largest singular value at 1; see
            :func:`~deblurkit.discriminators.spectral.apply_spectral_norm`. None of the papers here does.
        sigmoid: Whether each patch has a score in [0, 1] in place of a raw logit.
        reduce: ``none``: one output a patch. ``mean``: their mean, one output an image, which a game then compares.

    Shape:
        ``(n, in_channels, h, w)`` to raw logits (or scores) ``(n, 1, h', w')``, h' about h / 2 ** layers; to
        ``(n, 1)`` where they are reduced.

    Raises:
        ValueError: An argument is out of range, or the image leaves instance norm no more than one position.

    Reference:
        Isola et al.: Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017, section 3.2.2 and
        appendix 6.1.2; Kupyn et al., DeblurGAN, CVPR 2018, section 3.2; Li et al.: Depth Separable Convolution
        Lightweight Blind Motion Deblurring Algorithm, section 2.5.
    """

    def __init__(
        self,
        in_channels: int = 3,
        channels: int = 64,
        layers: int = 3,
        norm: Literal["instance", "none"] = "instance",
        padding: int = 1,
        spectral_norm: bool = False,
        sigmoid: bool = False,
        reduce: Literal["none", "mean"] = "none",
    ) -> None:
        super().__init__()
        require_one_of("norm", norm, ("instance", "none"))
        require_one_of("reduce", reduce, ("none", "mean"))
        if layers < 1:
            raise ValueError(f"layers must be at least 1, got {layers}")
        # pix2pix has no norm after the first convolution, which would take the image's own brightness and contrast away
        modules: list[nn.Module] = [_convolution(in_channels, channels, 2, padding), nn.LeakyReLU(0.2, inplace=True)]
        width = channels
        for layer in range(1, layers + 1):
            before, width = width, channels * min(2**layer, 8)
            modules.append(_convolution(before, width, 2 if layer < layers else 1, padding))
            if norm == "instance":
                modules.append(nn.InstanceNorm2d(width))
            modules.append(nn.LeakyReLU(0.2, inplace=True))
        self.body = nn.Sequential(*modules, _convolution(width, 1, 1, padding))
        if sigmoid:
            self.body.append(nn.Sigmoid())
        self.reduce = reduce
        self.smallest = _smallest(layers, padding, spread=2 if norm == "instance" else 1)
        init_normal(self)
        if spectral_norm:  # last, as its first estimate is of the weights that it finds
            apply_spectral_norm(self)

    def forward(self, image: Tensor) -> Tensor:
        if min(image.shape[-2:]) < self.smallest:
            raise ValueError(
                f"PatchDiscriminator needs images of at least {self.smallest}x{self.smallest}, "
                f"got {image.shape[-2]}x{image.shape[-1]}: crop larger or use fewer layers"
            )
        scores: Tensor = self.body(image)  # (n, 1, h', w'): one for each patch that the last convolution sees
        return scores.mean((2, 3)) if self.reduce == "mean" else scores


def _convolution(in_channels: int, out_channels: int, stride: int, padding: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 4, stride=stride, padding=padding)


def _smallest(layers: int, padding: int, spread: int) -> int:
    """Returns the least image side that leaves ``spread`` positions before the last convolution, and one after."""
    for side in count(1):  # tried, not solved for: each convolution rounds down
        size = side
        for layer in range(layers + 1):
            size = (size + 2 * padding - 4) // (2 if layer < layers else 1) + 1
            if size < 1:
                break
        if size >= spread and size + 2 * padding >= 4:
            return side
    raise AssertionError("unreachable: count is endless")
