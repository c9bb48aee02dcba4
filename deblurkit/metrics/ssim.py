"""The metric ``SSIM``."""

from __future__ import annotations

from deblurkit.metrics.functional import Array, ssim
from deblurkit.registry import METRICS


@METRICS.register_module()
class SSIM:
    """Structural similarity of one image (``ssim2d``), see :func:`deblurkit.metrics.functional.ssim`.

    Args:
        y_channel: Compare luma instead of RGB.
        crop_border: Pixels left out at each edge.
    """

    higher_is_better = True

    def __init__(self, y_channel: bool = False, crop_border: int = 0) -> None:
        self.y_channel = y_channel
        self.crop_border = crop_border

    def __call__(self, restored: Array, sharp: Array) -> float:
        """Score ``restored`` against ``sharp``, both ``(h, w, 3)``, uint8 or float in [0, 1]."""
        return ssim(restored, sharp, y_channel=self.y_channel, crop_border=self.crop_border)
