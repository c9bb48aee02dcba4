"""Peak signal-to-noise ratio of an image, and of its gradients."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deblurkit.metrics.functional.images import Array, Channels, Pair, comparable, masked, prepared_mask

_EXACT = ("uint8", "uint16", "float64")  # of these, OpenCV sums squared differences without loss


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
    """Peak signal-to-noise ratio, ``10 log10(range^2 / MSE)``, over all pixels and channels of one image.

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
        weights = prepared_mask(mask, restored, crop_border)
        count = float(weights.sum()) * pair.restored[0, 0].size
        if count == 0:
            raise ValueError("the mask counts no pixel")
        pair = Pair(masked(pair.restored, weights), masked(pair.sharp, weights), pair.white)
    return _decibels(_squared_error(pair, dtype) / count, pair.white)


def gradient_psnr(restored: Array, sharp: Array, *, data_range: float | None = None) -> float:
    """PSNR of the images' gradients: of the horizontal and vertical Sobel responses of every channel.

    The Sobel kernels are divided by 4, so that a response is the difference of two pixels two apart, smoothed across,
    and lies in [-range, range]; the image is replicated at its edges. The mean square error is over both responses,
    all channels and all pixels, and the peak is the images' own range, so that a blurred edge, not a wrong brightness,
    lowers it. Papers name gradient-domain errors without one agreed formula: this one is ours.

    Args:
        restored: Image ``(h, w, 3)``.
        sharp: The true image, same shape and dtype.
        data_range: The value of white; by default 255 for uint8, 65535 for uint16, 1 for floats.

    Returns:
        Decibels; ``inf`` where the images differ by one constant only, or not at all.

    Raises:
        ValueError: The images differ in shape or dtype.
    """
    pair = comparable(restored, sharp, data_range=data_range)
    error = pair.restored.astype(np.float64) - pair.sharp  # the gradient is linear: that of the difference will do
    total = 0.0
    for horizontal in (1, 0):
        slope = cv2.Sobel(
            error, cv2.CV_64F, horizontal, 1 - horizontal, ksize=3, scale=0.25, borderType=cv2.BORDER_REPLICATE
        )
        total += cv2.norm(slope, cv2.NORM_L2SQR)
    return _decibels(total / (2 * error.size), pair.white)


def _squared_error(pair: Pair, dtype: type[np.floating]) -> float:
    """Returns the sum of the squared differences."""
    first, second = pair.restored, pair.sharp
    if first.dtype.name not in _EXACT and first.dtype != dtype:
        first, second = first.astype(dtype), second.astype(dtype)
    return float(cv2.norm(first, second, cv2.NORM_L2SQR))


def _decibels(mean_square: float | NDArray[np.float64], white: float) -> float:
    if mean_square == 0:
        return float("inf")
    return float(10.0 * np.log10(white * white / mean_square))
