"""The metric ``MSSSIM``."""

from __future__ import annotations

from deblurkit.metrics.functional.images import Array, Channels, check_channels
from deblurkit.metrics.functional.ms_ssim import Filter, check_filter, ms_ssim
from deblurkit.registry import METRICS


@METRICS.register_module()
class MSSSIM:
    """Multi-scale structural similarity, see :func:`deblurkit.metrics.functional.ms_ssim.ms_ssim`.

    Args:
        channels: ``rgb``, or the luma ``y`` (MATLAB's, [16, 235]) or ``luma`` (full range).
        filter: ``gaussian``, the standard definition, or ``bior97``, that of Köhler's evaluation (with ``luma``).
    """

    higher_is_better = True
    unit = ""

    def __init__(self, channels: Channels = "rgb", filter: Filter = "gaussian") -> None:
        self.channels = check_channels(channels)
        self.filter = check_filter(filter)

    def __call__(self, restored: Array, sharp: Array) -> float:
        """Scores ``restored`` against ``sharp``, both ``(h, w, 3)``, uint8 or float in [0, 1]."""
        return ms_ssim(restored, sharp, channels=self.channels, filter=self.filter)
