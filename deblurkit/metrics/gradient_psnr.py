"""PSNR of an image's gradients: the metric ``GradientPSNR`` and its function."""

from __future__ import annotations

import cv2
import numpy as np

from deblurkit.metrics.images import Array, comparable
from deblurkit.metrics.psnr import decibels
from deblurkit.registry import METRICS


@METRICS.register_module()
class GradientPSNR:
    """PSNR of the gradients of one image, see :func:`gradient_psnr`."""

    higher_is_better = True
    unit = "dB"

    def __call__(self, restored: Array, sharp: Array) -> float:
        """Scores ``restored`` against ``sharp``, both ``(h, w, 3)``, uint8 or float in [0, 1]."""
        return gradient_psnr(restored, sharp)


def gradient_psnr(restored: Array, sharp: Array, *, data_range: float | None = None) -> float:
    """Returns the PSNR of the images' gradients: of the horizontal and vertical Sobel responses of every channel.

    The Sobel kernels are divided by 4, so that a response is the difference of two pixels two apart, smoothed across,
    and lies in [-range, range]; the image is replicated at its edges. The mean square error is over both responses,
    all channels and all pixels, and the peak is the images' own range, so that a blurred edge, not a wrong brightness,
    lowers it. Papers name gradient-domain errors without one agreed formula: this one is ours.

    The arguments are those of :func:`deblurkit.metrics.images.comparable`.

    Returns:
        Decibels; ``inf`` where the images differ by one constant only, or not at all.

    Raises:
        ValueError: The images differ in shape or dtype.
    """
    pair = comparable(restored, sharp, data_range=data_range)
    # the gradient is linear, so the difference of two gradients is the gradient of the difference: half the filtering
    error = pair.restored.astype(np.float64) - pair.sharp
    total = 0.0
    for horizontal in (1, 0):
        slope = cv2.Sobel(
            error, cv2.CV_64F, horizontal, 1 - horizontal, ksize=3, scale=0.25, borderType=cv2.BORDER_REPLICATE
        )
        total += cv2.norm(slope, cv2.NORM_L2SQR)
    return decibels(total / (2 * error.size), pair.white)
