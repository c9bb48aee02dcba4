"""Alignment of a restored image with the true one before they are compared: intensity, whole pixels, homography.

Real photographs of a scene with and without blur differ in brightness and do not coincide to the pixel; a metric that
compares pixels would measure that instead of the blur. All functions are pure and take images ``(h, w, 3)``, uint8 or
float in [0, 1]; what they return is float in about [0, 1], neither rounded nor clipped.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import DTypeLike
from scipy import fft

from deblurkit.metrics.images import Array

Facts = dict[str, str | int | float]

_ECC_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 0.0)  # a change of 0 ends it before 100 iterations
_ECC_SMOOTHING_PX = 5  # side of the Gaussian that both images are smoothed with while the warp is sought


class Aligned(NamedTuple):
    """A pair that may be compared pixel by pixel.

    Attributes:
        image: The restored image, scaled and moved onto the true one.
        truth: The true image, zero where nothing was moved onto it.
        mask: ``(h, w)``, 1 where pixels count and 0 elsewhere; ``None`` where all count.
        facts: What was found out on the way, for reports.
    """

    image: Array
    truth: Array
    mask: Array | None
    facts: Facts


def align_nothing(image: Array, truth: Array) -> Aligned:
    """Returns the pair as it is.

    Raises:
        ValueError: The images differ in shape.
    """
    if image.shape != truth.shape:
        raise ValueError(f"images of one shape are compared, these have {image.shape} and {truth.shape}")
    return Aligned(image, truth, None, {})


def scale_intensity(image: Array, truth: Array) -> Array:
    """Multiplies an image by the one factor that brings it closest to the true one, ``sum(x z) / sum(z z)``.

    A black image stays black.

    Args:
        image: ``z``, floating point.
        truth: ``x``, of the same shape; the sums run over all pixels and channels, in float64.
    """
    z, x = np.asarray(image, np.float64).ravel(), np.asarray(truth, np.float64).ravel()
    power = float(z @ z)
    return image if power == 0 else image * image.dtype.type(float(x @ z) / power)


def align_ecc(image: Array, truth: Array) -> Aligned:
    """Scales an image in intensity and warps it by the homography that correlates best with the true one.

    The homography starts from the identity and maximises the enhanced correlation coefficient of the grey images;
    the image is warped bicubically with its border mirrored, and pixels that come from outside do not count.

    Returns:
        The pair, float32, both zero where ``mask`` is; facts: ``ecc``, ``converged`` or ``failed``. Where the search
        fails, or moves the image wholly out of the frame, the image is scaled but not warped (that is ours: the
        original stops with an error), and every pixel counts.

    Raises:
        ValueError: The images differ in shape.

    Source:
        Rim et al.: Real-World Blur Dataset for Learning and Benchmarking Deblurring Algorithms, ECCV 2020, and the
        evaluation script of rimchang/RealBlur, which demands OpenCV 4.2; Evangelidis, Psarakis: Parametric Image
        Alignment Using Enhanced Correlation Coefficient Maximization, IEEE TPAMI 2008.
    """
    z, x = _as_floats(image, truth, np.float32)
    z = scale_intensity(z, x)
    warp = _find_homography(z, x)
    everywhere = np.ones(x.shape[:2], np.float32)
    if warp is not None:
        to_truth = cv2.WARP_INVERSE_MAP  # the search returns where each pixel of the true image comes from
        size = (x.shape[1], x.shape[0])
        moved = cv2.warpPerspective(z, warp, size, flags=cv2.INTER_CUBIC | to_truth, borderMode=cv2.BORDER_REFLECT)
        mask = cv2.warpPerspective(everywhere, warp, size, flags=cv2.INTER_NEAREST | to_truth)
        if mask.any():
            return Aligned(moved * mask[..., None], x * mask[..., None], mask, {"ecc": "converged"})
    return Aligned(z, x, everywhere, {"ecc": "failed"})


def _find_homography(image: Array, truth: Array) -> Array | None:
    """Returns the matrix that maps the true image's pixels into ``image``; ``None`` where the search fails."""
    template, moving = cv2.cvtColor(truth, cv2.COLOR_RGB2GRAY), cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    start = np.eye(3, dtype=np.float32)
    no_mask: Any = None  # OpenCV's stubs know None only where the smoothing is not given
    try:
        _, warp = cv2.findTransformECC(
            template, moving, start, cv2.MOTION_HOMOGRAPHY, _ECC_STOP, no_mask, _ECC_SMOOTHING_PX
        )
        return warp
    except cv2.error as error:
        if error.code != cv2.Error.StsNoConv:
            raise
        return None


def spectrum(image: Array) -> Array:
    """Returns the Fourier transform of the mean of an image's channels, for :func:`align_shift`."""
    grey = cv2.transform(_as_float(image, np.float64), np.full((1, 3), 1 / 3))
    return np.asarray(fft.rfft2(grey))


def align_shift(image: Array, truth: Array, image_spectrum: Array | None = None) -> Aligned:
    """Scales an image in intensity and moves it by whole pixels to where it correlates best with the true one.

    The correlation is the circular one of the channels' means; the move is not circular: what leaves the frame is
    lost, and the border that is left empty is zero **in both images** and counts like any other pixel.

    Args:
        image: The restored image.
        truth: The true one.
        image_spectrum: :func:`spectrum` of ``image``, where it is compared with many. That its intensity is not scaled
            yet does not matter: a positive factor moves no maximum.

    Returns:
        The pair, float64; facts: ``shift_y`` and ``shift_x``, how far the image was moved down and right in pixels.

    Raises:
        ValueError: The images differ in shape.

    Source:
        The evaluation code of Koehler et al.: Recording and Playback of Camera Shake, ECCV 2012, with the
        registration of Guizar-Sicairos, Thurman, Fienup: Efficient subpixel image registration algorithms, Optics
        Letters 2008, without upsampling.
    """
    z, x = _as_floats(image, truth, np.float64)
    if image_spectrum is None:
        image_spectrum = spectrum(z)
    correlation = fft.irfft2(spectrum(x) * image_spectrum.conj(), s=x.shape[:2])
    peak = np.unravel_index(int(correlation.argmax()), correlation.shape)
    down, right = _signed(int(peak[0]), x.shape[0]), _signed(int(peak[1]), x.shape[1])
    to, source = _overlap((down, right)), _overlap((-down, -right))
    moved, covered = np.zeros_like(x), np.zeros_like(x)
    # The factor is that of whole images, so what leaves the frame has its share in it.
    moved[to], covered[to] = scale_intensity(z, x)[source], x[to]
    return Aligned(moved, covered, None, {"shift_y": down, "shift_x": right})


def _signed(place: int, side: int) -> int:
    """Turns a place on a circle of ``side`` pixels into a shift: from its middle on, shifts are negative."""
    return place - side if place >= side // 2 else place


def _overlap(shift: tuple[int, int]) -> tuple[slice, slice]:
    """Returns the part of a frame that a frame of the same size covers when it is moved down and right."""
    down, right = shift
    return slice(max(down, 0), min(down, 0) or None), slice(max(right, 0), min(right, 0) or None)  # [a:0] is empty


def _as_floats(image: Array, truth: Array, dtype: DTypeLike) -> tuple[Array, Array]:
    """Returns both images as floats in [0, 1], or raises a ``ValueError`` where they are not of one shape (h, w, 3)."""
    if image.shape != truth.shape or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"images of one shape (h, w, 3) are aligned, these have {image.shape} and {truth.shape}")
    return _as_float(image, dtype), _as_float(truth, dtype)


def _as_float(image: Array, dtype: DTypeLike) -> Array:
    if np.issubdtype(image.dtype, np.floating):
        return np.ascontiguousarray(image, dtype)
    return np.divide(image, np.iinfo(image.dtype).max, dtype=dtype)
