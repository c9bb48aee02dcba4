"""Peak signal-to-noise ratio: the metric ``PSNR`` and its function."""

from __future__ import annotations

import cv2
import numpy as np

from deblurkit.metrics.images import Array, Channels, Pair, check_channels, comparable, masked, prepared_mask
from deblurkit.registry import METRICS

_EXACT = ("uint8", "uint16", "float64")  # of these, OpenCV sums squared differences without loss


@METRICS.register_module()
class PSNR:
    """Peak signal-to-noise ratio of one image, see :func:`psnr`.

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


def psnr(
    restored: Array,
    sharp: Array,
    *,
    data_range: float | None = None,
    channels: Channels = "rgb",
    crop_border: int = 0,
    mask: Array | None = None,
    single: bool = False,
) -> float:
    """Returns ``10 log10(range^2 / MSE)`` over all pixels and channels of one image.

    Args:
        restored: Image ``(h, w, 3)``.
        sharp: The true image, same shape and dtype.
        data_range: The value of white; by default 255 for uint8, 65535 for uint16, 1 for floats.
        channels: ``rgb``; ``y``, MATLAB's luma in [16, 235], against a white of 255 as is usual; ``luma``, of full
            range. The three differ by more than 1 dB.
        crop_border: Pixels left out at each edge.
        mask: ``(h, w)``, 1 where a pixel counts and 0 where not: ``MSE = sum(mask (restored - sharp)^2) /
            sum(mask)``, the mask taken once for each channel, as RealBlur's evaluation does.
        single: Take differences in float32; whole numbers are compared exactly either way.

    Returns:
        Decibels; ``inf`` for identical images.

    Raises:
        ValueError: The images differ in shape or dtype, nothing is left after the crop, or the mask counts no pixel.

    >>> white, black = np.full((16, 16, 3), 255, np.uint8), np.zeros((16, 16, 3), np.uint8)
    >>> psnr(black, white), psnr(white, white)
    (0.0, inf)
    """
    dtype = np.float32 if single else np.float64
    pair = comparable(restored, sharp, data_range=data_range, channels=channels, crop_border=crop_border, dtype=dtype)
    count = float(pair.restored.size)
    if mask is not None:
        # RealBlur's evaluation zeroes both images outside the mask, and divides by the pixels inside
        weights = prepared_mask(mask, restored, crop_border)
        count = float(weights.sum()) * pair.restored[0, 0].size
        if count == 0:
            raise ValueError("the mask counts no pixel")
        pair = Pair(masked(pair.restored, weights), masked(pair.sharp, weights), pair.white)
    # float images that were not asked for in this precision are widened (or, with ``single``, narrowed) first
    first, second = pair.restored, pair.sharp
    if first.dtype.name not in _EXACT and first.dtype != dtype:
        first, second = first.astype(dtype), second.astype(dtype)
    return decibels(cv2.norm(first, second, cv2.NORM_L2SQR) / count, pair.white)


def decibels(mean_square: float, white: float) -> float:
    """Returns ``10 log10(white^2 / mean_square)``; infinity where there is no error."""
    if mean_square == 0:
        return float("inf")
    return float(10.0 * np.log10(white * white / mean_square))
