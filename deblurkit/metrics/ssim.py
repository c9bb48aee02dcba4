"""SSIM in the five definitions behind published deblurring numbers: the metric ``SSIM`` and its function."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from deblurkit.metrics.images import Array, Channels, Pair, check_channels, comparable, masked, prepared_mask
from deblurkit.registry import METRICS

Kind = Literal["2d", "3d", "uniform", "gauss", "zero"]

C1, C2 = (0.01 * 255.0) ** 2, (0.03 * 255.0) ** 2
_STRIP = 64  # rows of the map computed at once: what they need stays in the processor's cache


class Window(NamedTuple):
    """How local means are taken."""

    taps: NDArray[np.float64]  # weights along each axis, an odd number; they sum to 1
    border: int | None = None  # how OpenCV continues the image beyond its edge; None leaves the pixels near it out
    unbiased: float = 1.0  # what (co)variances are multiplied by: n / (n - 1) for those of a sample
    across_channels: bool = False  # the channels are a third axis, continued by repeating the first and the last

    @property
    def margin(self) -> int:
        """Pixels from the window's centre to its edge."""
        return len(self.taps) // 2


GAUSSIAN = Window(np.asarray(cv2.getGaussianKernel(11, 1.5)[:, 0], np.float64))
_WINDOWS: dict[str, Window] = {
    "2d": GAUSSIAN,
    "3d": Window(GAUSSIAN.taps, border=cv2.BORDER_REPLICATE, across_channels=True),
    "uniform": Window(np.full(7, 1 / 7), unbiased=49 / 48),
    "gauss": GAUSSIAN,
    "zero": Window(GAUSSIAN.taps, border=cv2.BORDER_CONSTANT),
}
_MASKED = ("2d", "gauss")


@METRICS.register_module()
class SSIM:
    """Structural similarity of one image, see :func:`ssim`.

    Args:
        kind: The definition, ``2d``, ``3d``, ``uniform``, ``gauss`` or ``zero``; on one image they can differ by 0.2.
        channels: ``rgb``, or the luma ``y`` (MATLAB's, [16, 235]) or ``luma`` (full range).
        single: Compute in float32.

    Attributes:
        takes_mask: Whether this kind has a masked form.
    """

    higher_is_better = True
    unit = ""
    takes_mask = True
    can_be_single = True

    def __init__(self, kind: Kind = "2d", channels: Channels = "rgb", single: bool = False) -> None:
        self.kind = _check_kind(kind)
        self.channels = check_channels(channels)
        self.single = single
        self.takes_mask = kind in _MASKED

    def __call__(self, restored: Array, sharp: Array, mask: Array | None = None) -> float:
        """Scores ``restored`` against ``sharp``, both ``(h, w, 3)``, uint8 or float in [0, 1]; ``mask`` ``(h, w)``."""
        return ssim(restored, sharp, kind=self.kind, channels=self.channels, mask=mask, single=self.single)


def ssim(
    restored: Array,
    sharp: Array,
    *,
    kind: Kind = "2d",
    data_range: float | None = None,
    channels: Channels = "rgb",
    crop_border: int = 0,
    mask: Array | None = None,
    single: bool = False,
) -> float:
    """Returns the structural similarity, the mean of its map over pixels and channels.

    ``(2 m1 m2 + C1) (2 cov + C2) / ((m1^2 + m2^2 + C1) (var1 + var2 + C2))`` with ``C1 = (0.01 L)^2``,
    ``C2 = (0.03 L)^2``, ``L`` the data range, and local means under a window that ``kind`` names:

    - ``2d``: 11x11 Gaussian, sigma 1.5, where it lies inside; each channel by itself (BasicSR, mmagic).
    - ``3d``: 11x11x11 Gaussian over rows, columns *and channels*, edges replicated, no crop: what MATLAB's ``ssim``
      makes of an ``h x w x 3`` array (MPRNet, SRN, Restormer, NAFNet). Of one channel, MATLAB's own 2-D map.
    - ``uniform``: 7x7 mean, sample covariance, where it lies inside (scikit-image's default; DeblurGAN-v2, IFAN).
    - ``gauss``: scikit-image's with ``gaussian_weights``, sigma 1.5, biased covariance (RealBlur, DeepDeblur): its
      mathematics, and so its values, are those of ``2d``.
    - ``zero``: the Gaussian window over an image continued by zeros, no crop (DeblurGAN).

    Args:
        restored: Image ``(h, w, 3)``.
        sharp: The true image, same shape and dtype.
        kind: The definition.
        data_range: The value of white; by default 255 for uint8, 65535 for uint16, 1 for floats.
        channels: ``rgb``, or a luma: see :func:`deblurkit.metrics.images.comparable`.
        crop_border: Pixels left out at each edge, before the window's own margin.
        mask: ``(h, w)``, 1 where a pixel counts and 0 where not, for ``2d`` and ``gauss``: both images are zero where
            it is, and the map's mean is ``sum(map mask) / sum(mask)`` (RealBlur's evaluation).
        single: Compute in float32, two to three times as fast and within 2e-6.

    Raises:
        ValueError: The images differ in shape or dtype or are smaller than the window, ``kind`` is unknown or takes no
            mask, or the mask counts no pixel.

    Reference:
        Wang, Bovik, Sheikh, Simoncelli, *Image quality assessment: from error visibility to structural
        similarity*, IEEE TIP 2004, equation 13.
    """
    window = _WINDOWS[_check_kind(kind)]
    dtype = np.float32 if single else np.float64
    pair = comparable(restored, sharp, data_range=data_range, channels=channels, crop_border=crop_border, dtype=dtype)

    # The map's size. A window that may not leave the image loses its margin at each edge.
    margin = window.margin if window.border is None else 0
    rows, columns = pair.restored.shape[:2]
    height, width = rows - 2 * margin, columns - 2 * margin
    if min(height, width) < 1:
        least, after = len(window.taps), f" after crop_border={crop_border}" if crop_border else ""
        raise ValueError(f"SSIM needs at least {least} x {least} pixels, the images have {rows} x {columns}{after}")

    # The mask acts twice: on the images, so that nothing outside reaches a window, and on the map's mean below.
    weights = None
    if mask is not None:
        if kind not in _MASKED:
            raise ValueError(f"SSIM of kind {kind} takes no mask, only {' and '.join(_MASKED)} do")
        whole = prepared_mask(mask, restored, crop_border)
        pair = Pair(masked(pair.restored, whole), masked(pair.sharp, whole), pair.white)
        weights = whole[margin : margin + height, margin : margin + width]

    total, top = 0.0, 0
    for luminance, structure in similarity_strips(pair, window, dtype):
        similarity = np.multiply(luminance, structure, out=structure)
        if weights is not None:
            similarity = masked(similarity, weights[top : top + len(similarity)])
            top += len(similarity)
        # sums are float64 even where the map is float32: a million terms would lose digits
        total += float(channel_sums(similarity).sum())
    counted = height * width if weights is None else float(weights.sum())
    if counted == 0:
        raise ValueError("the mask counts no pixel")
    return total / (counted * pair.restored[0, 0].size)


def _check_kind(kind: Kind) -> Kind:
    if kind not in _WINDOWS:
        raise ValueError(f"kind is {', '.join(get_args(Kind))}, got {kind!r}")
    return kind


def similarity_strips(pair: Pair, window: Window, dtype: type[np.floating]) -> Iterator[tuple[Array, Array]]:
    """Yields the two factors of the map, strip by strip from the top.

    With ``s`` and ``d`` the sum and the difference of the images, ``1 - luminance`` is ``2 mean(d)^2 / (mean(s)^2 +
    mean(d)^2 + 2 C1)`` and ``1 - structure`` the same of variances: equal to the textbook's fractions, with four
    filters instead of five, and with errors that shrink with the difference, which is what lets float32 do.

    Yields:
        ``luminance`` and ``structure`` (contrast and structure in one), ``(rows, w, c)`` or ``(rows, w)`` each, of
        ``dtype``; the receiver may write into them.
    """
    first, second = pair.restored, pair.sharp
    if window.border is not None:
        sides = (window.margin,) * 4
        first = np.asarray(cv2.copyMakeBorder(first, *sides, window.border))
        second = np.asarray(cv2.copyMakeBorder(second, *sides, window.border))
    for rows in strips(first.shape[0], window):
        # C1 and C2 are for a white of 255; astype copies, so that the caller's images keep theirs
        one, other = first[rows].astype(dtype), second[rows].astype(dtype)
        if pair.white != 255:
            one *= 255.0 / pair.white
            other *= 255.0 / pair.white
        yield _similarity(one, other, window)


def strips(height: int, window: Window) -> Iterator[slice]:
    """Yields the rows that each strip of the map is made of."""
    for top in range(0, height - 2 * window.margin, _STRIP):
        yield slice(top, top + _STRIP + 2 * window.margin)


def _similarity(first: Array, second: Array, window: Window) -> tuple[Array, Array]:
    """Returns luminance and structure of two strips with white at 255."""
    total, difference = first + second, first - second
    total -= 255.0  # variances do not feel a shift, and squares of smaller numbers keep more digits
    mean_total, mean_difference = smooth(total, window), smooth(difference, window)
    np.multiply(total, total, out=total)
    np.multiply(difference, difference, out=difference)
    spread_total, spread_difference = smooth(total, window), smooth(difference, window)
    mean_difference *= mean_difference
    spread_difference -= mean_difference
    spread_total -= mean_total * mean_total
    mean_total += 255.0  # but luminance is made of the true means
    mean_total *= mean_total
    # E(x^2) - E(x)^2 divides by n; scikit-image's default divides by n - 1
    if window.unbiased != 1:
        spread_total *= window.unbiased
        spread_difference *= window.unbiased
    return _one_less(mean_difference, mean_total, C1), _one_less(spread_difference, spread_total, C2)


def _one_less(difference: Array, total: Array, constant: float) -> Array:
    """Returns ``1 - 2 difference / (total + difference + 2 constant)``; writes over its arguments."""
    total += difference
    total += 2 * constant
    np.divide(difference, total, out=difference)
    difference *= -2.0
    difference += 1.0
    return difference


def smooth(image: Array, window: Window) -> Array:
    """Returns the mean under the window, where it lies wholly inside ``image``."""
    margin, taps = window.margin, window.taps.astype(image.dtype)
    if np.ptp(window.taps) == 0:  # OpenCV sums in double precision; taps of 1 / n in float32 would not sum to 1
        means = cv2.blur(image, (len(taps), len(taps)))
    else:
        means = cv2.sepFilter2D(image, -1, taps, taps)
    means = means[margin:-margin, margin:-margin]
    if window.across_channels and image.ndim == 3:
        # The window is wider than the three channels: what it would see beyond the first and the last is those again.
        # Along so short an axis the filter is a small matrix, (channels, channels).
        channels = image.shape[2]
        mixing = np.zeros((channels, channels))
        for channel in range(channels):
            for tap, weight in enumerate(window.taps):
                mixing[channel, min(max(channel + tap - margin, 0), channels - 1)] += weight
        means = cv2.transform(means, mixing.astype(image.dtype))
    return np.asarray(means)


def channel_sums(values: Array) -> NDArray[np.float64]:
    """Returns the sum of each channel's values, added in float64; ``(c,)``."""
    return np.array(cv2.sumElems(values)[: values.shape[2] if values.ndim == 3 else 1])
