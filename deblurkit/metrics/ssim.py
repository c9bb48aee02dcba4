"""The metric ``SSIM``."""

from __future__ import annotations

from deblurkit.metrics.functional.images import Array, Channels, check_channels
from deblurkit.metrics.functional.ssim import MASKED, Kind, check_kind, ssim
from deblurkit.registry import METRICS


@METRICS.register_module()
class SSIM:
    """Structural similarity of one image, see :func:`deblurkit.metrics.functional.ssim.ssim`.

    Args:
        kind: The definition: ``2d`` (BasicSR), ``3d`` (MATLAB on a colour image), ``uniform`` (scikit-image's
            default), ``gauss`` (scikit-image, Gaussian weights) or ``zero`` (DeblurGAN). On one image they can differ
            by 0.2.
        channels: ``rgb``, or the luma ``y`` (MATLAB's, [16, 235]) or ``luma`` (full range).
        single: Compute in float32.

    Attributes:
        takes_mask: Whether this kind has a masked form.
    """

    higher_is_better = True
    unit = ""
    takes_mask = True
    can_be_single = True

    def __init__(self, kind: Kind = "2d", channels: Channels = "rgb", single: bool = False) -> None:
        self.kind = check_kind(kind)
        self.channels = check_channels(channels)
        self.single = single
        self.takes_mask = kind in MASKED

    def __call__(self, restored: Array, sharp: Array, mask: Array | None = None) -> float:
        """Scores ``restored`` against ``sharp``, both ``(h, w, 3)``, uint8 or float in [0, 1]; ``mask`` ``(h, w)``."""
        return ssim(restored, sharp, kind=self.kind, channels=self.channels, mask=mask, single=self.single)
