"""The metric ``PSNR``."""

from __future__ import annotations

from deblurkit.metrics.functional.images import Array, Channels, check_channels
from deblurkit.metrics.functional.psnr import psnr
from deblurkit.registry import METRICS


@METRICS.register_module()
class PSNR:
    """Peak signal-to-noise ratio of one image, see :func:`deblurkit.metrics.functional.psnr.psnr`.

    Args:
        channels: ``rgb``, or the luma ``y`` (MATLAB's, [16, 235]) or ``luma`` (full range).
        single: Take differences of float images in float32.
    """

    higher_is_better = True
    unit = "dB"
    takes_mask = True
    can_be_single = True

    def __init__(self, channels: Channels = "rgb", single: bool = False) -> None:
        self.channels = check_channels(channels)
        self.single = single

    def __call__(self, restored: Array, sharp: Array, mask: Array | None = None) -> float:
        """Scores ``restored`` against ``sharp``, both ``(h, w, 3)``, uint8 or float in [0, 1]; ``mask`` ``(h, w)``."""
        return psnr(restored, sharp, channels=self.channels, mask=mask, single=self.single)
