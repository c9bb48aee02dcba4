"""The double-scale critic of DeblurGAN-v2."""

from __future__ import annotations

from torch import Tensor, nn

from deblurkit.discriminators.patch import PatchDiscriminator
from deblurkit.discriminators.spectral import apply_spectral_norm
from deblurkit.registry import DISCRIMINATORS


@DISCRIMINATORS.register_module()
class DoubleScaleDiscriminator(nn.Module):
    """Two patch critics on the same image: one for patches of 70 pixels, one for 286, a whole crop of 256.

    ``patch`` has three strided convolutions, ``full`` five; neither shares weights with the other. With no arguments
    13,919,106 parameters: 2,764,737 and 11,154,369. The paper calls the second global; it too is a map of logits
    (11x11 for 256x256), each of which sees all of such a crop. Padding 2 as in the public code.

    Args:
        in_channels: 3; 6 where the term's ``condition: blurred`` joins the blurred image. The paper speaks of
            conditional critics, its public code shows them the restored or sharp image alone.
        channels: Width of the first convolutions; doubled up to eight times that.
        spectral_norm: Whether each convolution's weight is divided by its largest singular value (Miyato et al.).

    Shape:
        ``(n, in_channels, h, w)`` to two maps of raw logits ``(n, 1, h', w')``, h' about h / 8 and h / 32; no sigmoid.

    Raises:
        ValueError: The image is too small for instance norm.

    Reference:
        Kupyn, Martyniuk, Wu, Wang: DeblurGAN-v2, ICCV 2019, section 3.3.
    """

    def __init__(self, in_channels: int = 3, channels: int = 64, spectral_norm: bool = False) -> None:
        super().__init__()
        self.patch = PatchDiscriminator(in_channels, channels, layers=3, padding=2)
        # two more strided convolutions, so that a logit sees 286 pixels; the same image goes to both, at one size
        self.full = PatchDiscriminator(in_channels, channels, layers=5, padding=2)
        if spectral_norm:
            apply_spectral_norm(self)

    def forward(self, image: Tensor) -> list[Tensor]:
        return [self.patch(image), self.full(image)]
