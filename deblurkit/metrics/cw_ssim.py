"""The metric ``CWSSIM``: pyssim's complex-wavelet SSIM, which DeblurGAN-v2's code reports as SSIM."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deblurkit.metrics.images import Array, comparable
from deblurkit.registry import METRICS

_WIDTHS = range(1, 31)
_STABILISER = 0.01


@METRICS.register_module()
class CWSSIM:
    """Complex-wavelet SSIM as the package ``pyssim`` computes it; for diagnosis, not for new tables.

    Both images, in the 8-bit greyscale of PIL's mode ``L``, are read out row after row into one long line and
    filtered with 30 Ricker wavelets, of widths 1 to 30 pixels. With a and b the two images' coefficients of one pixel
    and K = 0.01, sums over widths::

        (2 |sum a b| + K) / (sum a^2 + sum b^2 + K)

    and its mean over all pixels. pyssim writes it as the product of an amplitude and a phase term, which have a
    factor in common that cancels for real wavelets. Neither the wavelets nor the neighbourhood (one pixel) are those
    of the index's authors, and lines are joined end to start: it is its own quantity, and no SSIM.

    Images of other types than uint8 are rounded to 8 bits first (ours: PIL's greyscale is of 8 bits).

    Source:
        ``SSIM(image).cw_ssim_value(other)`` of pyssim 0.4, which uses ``scipy.signal.cwt`` with its ``ricker`` (SciPy
        removed both in 1.15). Equal to it, run with SciPy 1.11.4, within 4e-16 on blurred and noisy photographs from
        12x13 to 1280x720 pixels. pyssim 0.7 filters with PyWavelets instead and differs by up to 1e-3 on whole
        photographs.

    Reference:
        Sampat, Wang, Gupta, Bovik, Markey: Complex wavelet structural similarity, IEEE TIP 2009, for the index that
        it is named after.
    """

    higher_is_better = True
    unit = ""
    needs_sharp = True

    def __call__(self, restored: Array, sharp: Array) -> float:
        """Scores ``restored`` against ``sharp``, both ``(h, w, 3)`` RGB, uint8, uint16 or float in [0, 1].

        Raises:
            ValueError: The images differ in shape or dtype.
        """
        from scipy.signal import oaconvolve

        pair = comparable(restored, sharp)
        first, second = _grey_line(pair.restored, pair.white), _grey_line(pair.sharp, pair.white)
        products, squares = np.zeros(first.size), np.zeros(first.size)
        for width in _WIDTHS:  # one at a time: 30 images of 1280x720 in float64 would take 220 MB for each of the two
            wavelet = _ricker(min(10 * width, first.size), width)  # scipy.signal.cwt cuts it there
            one, other = oaconvolve(first, wavelet, mode="same"), oaconvolve(second, wavelet, mode="same")
            products += one * other
            squares += one * one + other * other
        similarity = (2 * np.abs(products) + _STABILISER) / (squares + _STABILISER)
        return float(similarity.mean())


def _ricker(points: int, width: int) -> NDArray[np.float64]:
    """Returns the Ricker wavelet ("Mexican hat") at ``points`` positions around its centre, of unit energy uncut."""
    squared = np.square((np.arange(points) - (points - 1) / 2) / width)
    return np.asarray(2 / (np.sqrt(3 * width) * np.pi**0.25) * (1 - squared) * np.exp(-squared / 2))


def _grey_line(image: Array, white: float) -> NDArray[np.float64]:
    """Returns all pixels in PIL's greyscale, row after row."""
    levels = image if image.dtype == np.uint8 else np.rint(np.clip(image * (255 / white), 0, 255)).astype(np.uint8)
    return np.asarray(Image.fromarray(np.ascontiguousarray(levels)).convert("L"), np.float64).ravel()
