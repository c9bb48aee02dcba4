"""The metric ``GradientPSNR``."""

from __future__ import annotations

from deblurkit.metrics.functional.images import Array
from deblurkit.metrics.functional.psnr import gradient_psnr
from deblurkit.registry import METRICS


@METRICS.register_module()
class GradientPSNR:
    """PSNR of the gradients of one image, see :func:`deblurkit.metrics.functional.psnr.gradient_psnr`."""

    higher_is_better = True
    unit = "dB"

    def __call__(self, restored: Array, sharp: Array) -> float:
        """Scores ``restored`` against ``sharp``, both ``(h, w, 3)``, uint8 or float in [0, 1]."""
        return gradient_psnr(restored, sharp)
