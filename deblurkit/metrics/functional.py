"""PSNR and SSIM as pure functions of two images, computed in float64.

Images are ``(h, w, 3)`` RGB (or ``(h, w)``): uint8, uint16, or float in [0, 1]. The values equal basicsr's
``calculate_psnr`` and ``calculate_ssim``, and scikit-image's where it defines the same quantity.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_WINDOW = 11
_SIGMA_PX = 1.5
_MARGIN = _WINDOW // 2
_RANGES = {"uint8": 255.0, "uint16": 65535.0}


def psnr(
    restored: Array,
    sharp: Array,
    *,
    data_range: float | None = None,
    y_channel: bool = False,
    crop_border: int = 0,
) -> float:
    """Peak signal-to-noise ratio, ``10 log10(range^2 / MSE)``, over all pixels and channels of one image.

    Args:
        restored: Image ``(h, w, 3)``.
        sharp: The true image, same shape and dtype.
        data_range: The value of white; by default 255 for uint8, 65535 for uint16, 1 for floats.
        y_channel: Compare the luma of :func:`rgb_to_y` instead of RGB.
        crop_border: Pixels left out at each edge.

    Returns:
        Decibels; ``inf`` for identical images.

    Raises:
        ValueError: The images differ in shape or dtype, or nothing is left after the crop.

    >>> white, black = np.full((16, 16, 3), 255, np.uint8), np.zeros((16, 16, 3), np.uint8)
    >>> psnr(black, white), psnr(white, white)
    (0.0, inf)
    """
    first, second = _prepare(restored, sharp, data_range, y_channel, crop_border)
    mse = float(np.mean(np.square(first - second)))
    if mse == 0:
        return float("inf")
    return float(10.0 * np.log10(255.0 * 255.0 / mse))


def ssim(
    restored: Array,
    sharp: Array,
    *,
    data_range: float | None = None,
    y_channel: bool = False,
    crop_border: int = 0,
) -> float:
    """Structural similarity (``ssim2d``): the mean over the pixels whose window lies inside, then over channels.

    Each channel by itself: 11x11 Gaussian window with sigma 1.5, biased covariance, ``C1 = (0.01 L)^2``,
    ``C2 = (0.03 L)^2`` with ``L`` the data range.

    Args:
        restored: Image ``(h, w, 3)``.
        sharp: The true image, same shape and dtype.
        data_range: The value of white; by default 255 for uint8, 65535 for uint16, 1 for floats.
        y_channel: Compare the luma of :func:`rgb_to_y` instead of RGB.
        crop_border: Pixels left out at each edge, before the window's own margin.

    Raises:
        ValueError: The images differ in shape or dtype, or are smaller than the window.

    Reference:
        Wang, Bovik, Sheikh, Simoncelli, *Image quality assessment: from error visibility to structural
        similarity*, IEEE TIP 2004, equation 13.
    """
    first, second = _prepare(restored, sharp, data_range, y_channel, crop_border)
    if min(first.shape[:2]) < _WINDOW:
        height, width = first.shape[:2]
        raise ValueError(
            f"SSIM needs at least {_WINDOW} x {_WINDOW} pixels, the images have {height} x {width}"
            + (f" after crop_border={crop_border}" if crop_border else "")
        )
    c1, c2 = (0.01 * 255.0) ** 2, (0.03 * 255.0) ** 2
    mean_1, mean_2 = _smooth(first), _smooth(second)
    products, squares = mean_1 * mean_2, mean_1 * mean_1 + mean_2 * mean_2
    covariance = _smooth(first * second) - products
    variances = _smooth(first * first + second * second) - squares  # their sum is all that is needed
    similarity = (2 * products + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))
    return float(similarity.mean())


def rgb_to_y(image: Array) -> NDArray[np.float64]:
    """Luma of MATLAB's ``rgb2ycbcr``: ``16 + (65.481 R + 128.553 G + 24.966 B) / 255`` for RGB in [0, 255].

    Args:
        image: ``(h, w, 3)`` RGB in [0, 255], any dtype.

    Returns:
        ``(h, w)`` in [16, 235], not rounded.

    >>> [round(float(value), 6) for value in rgb_to_y(np.array([[[0, 0, 0], [255, 255, 255]]]))[0]]
    [16.0, 235.0]
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"luma needs an image of shape (h, w, 3), it has {image.shape}")
    weights = np.array([65.481, 128.553, 24.966]) / 255.0
    return np.asarray(image.astype(np.float64) @ weights + 16.0)


def _prepare(
    restored: Array, sharp: Array, data_range: float | None, y_channel: bool, crop_border: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Check a pair and return both in float64 with white at 255."""
    if restored.shape != sharp.shape:
        raise ValueError(f"the images differ in shape: restored {restored.shape}, sharp {sharp.shape}")
    if restored.dtype != sharp.dtype:
        raise ValueError(f"the images differ in dtype: restored {restored.dtype}, sharp {sharp.dtype}")
    if restored.ndim not in (2, 3):
        raise ValueError(f"images have the shape (h, w, 3) or (h, w), these have {restored.shape}")
    if crop_border < 0 or min(restored.shape[:2]) <= 2 * crop_border:
        raise ValueError(f"crop_border={crop_border} leaves nothing of images of shape {restored.shape}")
    white = data_range if data_range is not None else _data_range(restored.dtype)
    window = slice(crop_border, -crop_border or None)
    first, second = ((image[window, window].astype(np.float64)) * (255.0 / white) for image in (restored, sharp))
    if y_channel:
        return rgb_to_y(first), rgb_to_y(second)
    return first, second


def _data_range(dtype: np.dtype[Any]) -> float:
    if np.issubdtype(dtype, np.floating):
        return 1.0
    if dtype.name in _RANGES:
        return _RANGES[dtype.name]
    raise ValueError(f"images are uint8, uint16 or float in [0, 1], not {dtype}; else give data_range")


def _smooth(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean under the Gaussian window, where it lies wholly inside the image."""
    kernel = cv2.getGaussianKernel(_WINDOW, _SIGMA_PX)
    return np.asarray(cv2.sepFilter2D(image, -1, kernel, kernel)[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN], np.float64)
