"""Multi-scale SSIM, the standard one and the one inside Köhler's evaluation: the metric ``MSSSIM``, its function."""

from __future__ import annotations

from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from deblurkit.metrics.images import Array, Channels, Pair, check_channels, comparable
from deblurkit.metrics.ssim import C1, C2, GAUSSIAN, channel_sums, similarity_strips, smooth, strips
from deblurkit.registry import METRICS

Filter = Literal["gaussian", "bior97"]
Means = NDArray[np.float64]

_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_LEAST = len(GAUSSIAN.taps) * 2 ** (len(_WEIGHTS) - 1)
# Analysis low-pass of the biorthogonal 9/7 wavelet (Cohen, Daubechies, Feauveau 1992), here with a sum of 1.
_BIOR97 = np.array([0.037828455507260, -0.023849465019560, -0.110624404418440, 0.377402855612830, 0.852698679008890])
_BIOR97 = np.concatenate([_BIOR97, _BIOR97[-2::-1]])
_BIOR97 /= _BIOR97.sum()


@METRICS.register_module()
class MSSSIM:
    """Multi-scale structural similarity, see :func:`ms_ssim`.

    Args:
        channels: ``rgb``, or the luma ``y`` (MATLAB's, [16, 235]) or ``luma`` (full range).
        filter: ``gaussian``, the standard definition, or ``bior97``, that of Köhler's evaluation (with ``luma``).
    """

    higher_is_better = True
    unit = ""

    def __init__(self, channels: Channels = "rgb", filter: Filter = "gaussian") -> None:
        self.channels = check_channels(channels)
        self.filter = _check_filter(filter)

    def __call__(self, restored: Array, sharp: Array) -> float:
        """Scores ``restored`` against ``sharp``, both ``(h, w, 3)``, uint8 or float in [0, 1]."""
        return ms_ssim(restored, sharp, channels=self.channels, filter=self.filter)


def ms_ssim(
    restored: Array,
    sharp: Array,
    *,
    data_range: float | None = None,
    channels: Channels = "rgb",
    filter: Filter = "gaussian",
) -> float:
    """Returns the SSIM over five scales, each half the one before; of every channel, then their mean.

    Contrast and structure count at every scale with the exponents 0.0448, 0.2856, 0.3001, 0.2363, 0.1333, luminance at
    the coarsest only; 11x11 Gaussian window with sigma 1.5 where it lies inside, ``C1 = (0.01 L)^2``,
    ``C2 = (0.03 L)^2``. ``filter`` says how an image is halved, and how the factors are averaged:

    - ``gaussian``: means of 2x2 pixels (an odd last row or column is repeated), the mean of contrast times structure
      at the four finer scales and of all three at the coarsest. Wang's published MATLAB code. The name is that of the
      window.
    - ``bior97``: low-pass of the biorthogonal 9/7 wavelet, edges mirrored, every second pixel; luminance, contrast and
      structure are averaged over the image *separately*. MeTriX MuX 1.1 (``mssim_index.m``), which Köhler's evaluation
      calls, on the luma of full range: ``channels="luma"``.

    A mean below zero, which the power would make complex, counts as zero: our reading.

    Args:
        restored: Image ``(h, w, 3)``.
        sharp: The true image, same shape and dtype.
        data_range: The value of white; by default 255 for uint8, 65535 for uint16, 1 for floats.
        channels: ``rgb``, or a luma: see :func:`deblurkit.metrics.images.comparable`.
        filter: The definition.

    Raises:
        ValueError: The images differ in shape or dtype, or a side is below 176 pixels (11 at the coarsest scale).

    Reference:
        Wang, Simoncelli, Bovik, *Multi-scale structural similarity for image quality assessment*, Asilomar 2003,
        equation 7.
    """
    _check_filter(filter)
    pair = comparable(restored, sharp, data_range=data_range, channels=channels)
    height, width = pair.restored.shape[:2]
    if min(height, width) < _LEAST:
        raise ValueError(f"MS-SSIM needs at least {_LEAST} x {_LEAST} pixels, the images have {height} x {width}")
    first, second = (image.astype(np.float64) * (255.0 / pair.white) for image in (pair.restored, pair.sharp))
    factors, halved = (_joint, _pooled) if filter == "gaussian" else (_separate, _wavelet)
    score = np.ones(1)
    for weight in _WEIGHTS[:-1]:
        detail, _ = factors(first, second)
        score = score * np.maximum(detail, 0) ** weight
        first, second = halved(first), halved(second)
    # equation 7 counts luminance at the coarsest scale alone
    _, with_luminance = factors(first, second)
    score = score * np.maximum(with_luminance, 0) ** _WEIGHTS[-1]
    return float(score.mean())


def _check_filter(filter: Filter) -> Filter:
    if filter not in get_args(Filter):
        raise ValueError(f"filter is {' or '.join(get_args(Filter))}, got {filter!r}")
    return filter


def _joint(first: Array, second: Array) -> tuple[Means, Means]:
    """Returns each channel's mean of contrast times structure, and of that times luminance."""
    detail, whole = np.zeros(1), np.zeros(1)
    for luminance, structure in similarity_strips(Pair(first, second, 255.0), GAUSSIAN, np.float64):
        detail = detail + channel_sums(structure)
        whole = whole + channel_sums(np.multiply(luminance, structure, out=luminance))
    return detail / _positions(first), whole / _positions(first)


def _separate(first: Array, second: Array) -> tuple[Means, Means]:
    """Returns each channel's mean contrast times its mean structure, and that times its mean luminance."""
    luminance = contrast = structure = np.zeros(1)
    for rows in strips(first.shape[0], GAUSSIAN):
        maps = _components(first[rows], second[rows])
        luminance = luminance + channel_sums(maps[0])
        contrast = contrast + channel_sums(maps[1])
        structure = structure + channel_sums(maps[2])
    # the product of means, where Wang's code takes the mean of the product: this is what sets MeTriX MuX apart
    positions = _positions(first)
    detail = (contrast / positions) * (structure / positions)
    return detail, detail * (luminance / positions)


def _components(first: Array, second: Array) -> tuple[Array, Array, Array]:
    """Returns the maps of luminance, contrast and structure: equations 6, 9 and 10 of the paper of 2004."""
    mean_1, mean_2 = smooth(first, GAUSSIAN), smooth(second, GAUSSIAN)
    # E(x^2) - E(x)^2 of a flat area may come out just below zero
    deviation_1 = np.sqrt(np.maximum(smooth(first * first, GAUSSIAN) - mean_1 * mean_1, 0))
    deviation_2 = np.sqrt(np.maximum(smooth(second * second, GAUSSIAN) - mean_2 * mean_2, 0))
    product = deviation_1 * deviation_2
    covariance = smooth(first * second, GAUSSIAN) - mean_1 * mean_2
    luminance = (2 * mean_1 * mean_2 + C1) / (mean_1 * mean_1 + mean_2 * mean_2 + C1)
    contrast = (2 * product + C2) / (deviation_1 * deviation_1 + deviation_2 * deviation_2 + C2)
    return luminance, contrast, (covariance + C2 / 2) / (product + C2 / 2)


def _positions(image: Array) -> int:
    """Returns in how many positions the window lies inside the image."""
    height, width = image.shape[:2]
    return (height - 2 * GAUSSIAN.margin) * (width - 2 * GAUSSIAN.margin)


def _pooled(image: Array) -> Array:
    height, width = image.shape[:2]
    even = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    size = (even.shape[1] // 2, even.shape[0] // 2)
    return np.asarray(cv2.resize(even, size, interpolation=cv2.INTER_AREA))


def _wavelet(image: Array) -> Array:
    filtered = cv2.sepFilter2D(image, -1, _BIOR97, _BIOR97, borderType=cv2.BORDER_REFLECT)
    return np.ascontiguousarray(filtered[::2, ::2])
