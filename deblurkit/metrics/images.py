"""Shared by all metrics: checks of a pair of images, their range, their luma, and masks.

Images are ``(h, w, 3)`` RGB (or ``(h, w)``): uint8, uint16, or float in [0, 1].
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Channels = Literal["rgb", "y", "luma"]

_RANGES = {"uint8": 255.0, "uint16": 65535.0}
# Weights of R, G and B, and the offset, for RGB in [0, 255]. The offset is why PSNR and SSIM of "y" come out higher:
# MATLAB's luma keeps 219 of 255 levels, and is still compared against a white of 255.
_LUMAS = {"y": (65.481 / 255, 128.553 / 255, 24.966 / 255, 16.0), "luma": (0.299, 0.587, 0.114, 0.0)}


class Pair(NamedTuple):
    """Two images to compare, ``(h, w)`` or ``(h, w, c)``, and the value of white in both."""

    restored: Array
    sharp: Array
    white: float


def comparable(
    restored: Array,
    sharp: Array,
    *,
    data_range: float | None = None,
    channels: Channels = "rgb",
    crop_border: int = 0,
    dtype: type[np.floating] = np.float64,
) -> Pair:
    """Checks a pair of images and takes from it what is compared.

    Args:
        restored: Image ``(h, w, 3)``.
        sharp: The true image, same shape and dtype.
        data_range: The value of white; by default 255 for uint8, 65535 for uint16, 1 for floats.
        channels: ``rgb`` as it is; ``y`` the luma of :func:`rgb_to_y`; ``luma`` that of :func:`rgb_to_luma`.
        crop_border: Pixels left out at each edge.
        dtype: Of the luma images; RGB keeps its own.

    Returns:
        Views of the images for ``rgb``, else their luma with white at 255.

    Raises:
        ValueError: The images differ in shape or dtype, are no images; the crop is negative, or leaves nothing.
    """
    if restored.shape != sharp.shape:
        raise ValueError(f"the images differ in shape: restored {restored.shape}, sharp {sharp.shape}")
    if restored.dtype != sharp.dtype:
        raise ValueError(f"the images differ in dtype: restored {restored.dtype}, sharp {sharp.dtype}")
    if restored.ndim not in (2, 3):
        raise ValueError(f"images have the shape (h, w, 3) or (h, w), these have {restored.shape}")
    if data_range is not None:
        white = data_range
    elif np.issubdtype(restored.dtype, np.floating):
        white = 1.0
    elif restored.dtype.name in _RANGES:
        white = _RANGES[restored.dtype.name]
    else:
        raise ValueError(f"images are uint8, uint16 or float in [0, 1], not {restored.dtype}; else give data_range")
    restored, sharp = _cropped(restored, crop_border), _cropped(sharp, crop_border)
    check_channels(channels)
    if channels == "rgb":
        return Pair(restored, sharp, white)
    # MATLAB rounds the luma of a uint8 image; the published Python code converts to float first, and does not
    scale = 255.0 / white
    luma = _luma(restored.astype(dtype) * scale, channels)
    return Pair(luma, _luma(sharp.astype(dtype) * scale, channels), 255.0)


def check_channels(channels: Channels) -> Channels:
    """Returns ``channels``, or raises a ValueError where there is no such choice."""
    if channels != "rgb" and channels not in _LUMAS:
        raise ValueError(f"channels is rgb, y or luma, got {channels!r}")
    return channels


def prepared_mask(mask: Array, image: Array, crop_border: int = 0) -> NDArray[np.float64]:
    """Checks a mask and cuts it as :func:`comparable` cuts the image.

    Args:
        mask: ``(h, w)``, 1 where a pixel counts and 0 where it does not.
        image: The image before its crop, ``(h, w)`` or ``(h, w, c)``.
        crop_border: Pixels left out at each edge.

    Raises:
        ValueError: The mask has another size than the image.
    """
    if mask.shape != image.shape[:2]:
        raise ValueError(f"the mask has the shape {mask.shape}, images of shape {image.shape} need {image.shape[:2]}")
    return _cropped(mask, crop_border).astype(np.float64)


def masked(image: Array, mask: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the image with what does not count at zero, in float64."""
    return np.asarray(image * (mask if image.ndim == 2 else mask[..., None]), np.float64)


def rgb_to_y(image: Array) -> NDArray[np.float64]:
    """Returns the luma of MATLAB's ``rgb2ycbcr``: ``16 + (65.481 R + 128.553 G + 24.966 B) / 255`` for RGB in [0, 255].

    ``(h, w, 3)`` in [0, 255], of any dtype, to ``(h, w)`` in [16, 235], not rounded.

    >>> [round(float(value), 6) for value in rgb_to_y(np.array([[[0, 0, 0], [255, 255, 255]]]))[0]]
    [16.0, 235.0]
    """
    return _luma(image.astype(np.float64), "y")


def rgb_to_luma(image: Array) -> NDArray[np.float64]:
    """Returns the luma of full range, ``0.299 R + 0.587 G + 0.114 B``, as Köhler's evaluation and JPEG have it.

    ``(h, w, 3)`` in any range, of any dtype, to ``(h, w)`` in the same range, not rounded.

    >>> [round(float(value), 6) for value in rgb_to_luma(np.array([[[0, 0, 0], [255, 255, 255]]]))[0]]
    [0.0, 255.0]
    """
    return _luma(image.astype(np.float64), "luma")


def _luma(image: Array, channels: str) -> Array:
    """Returns the luma of a float image, in its own dtype."""
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"luma needs an image of shape (h, w, 3), it has {image.shape}")
    return np.asarray(cv2.transform(image, np.array([_LUMAS[channels]], image.dtype)))


def _cropped(image: Array, border: int) -> Array:
    if border < 0:
        raise ValueError(f"crop_border must not be negative, got {border}")
    if min(image.shape[:2]) <= 2 * border:
        raise ValueError(f"crop_border={border} leaves nothing of images of shape {image.shape}")
    return image[border : image.shape[0] - border, border : image.shape[1] - border]
