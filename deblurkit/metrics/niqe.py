"""The metric ``NIQE``, which needs no sharp image: it knows the statistics of unspoilt photographs.

The model, ``niqe_model.txt``, is the authors': copyright 2011 The University of Texas at Austin, Laboratory for Image
and Video Engineering (LIVE). Their notice, which permits use for any purpose, stands in that file.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from deblurkit.metrics.images import Array, comparable, rgb_to_y
from deblurkit.registry import METRICS

_BLOCK = 96
_SIGMA, _REACH = 7 / 6, 3  # of the 7x7 window, in pixels
_HALVING = np.array([-3, -9, 29, 111, 111, 29, -9, -3], np.float32) / np.float32(256)
"""Keys' cubic, stretched to twice its width: MATLAB's ``imresize(image, 0.5)``."""
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # left, above, and on both diagonals; blocks are rings


class Model(NamedTuple):
    """The distribution of the 36 statistics of a block."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


class _Shapes(NamedTuple):
    """The shapes of a generalised Gaussian among which a fit chooses, and what follows from each."""

    shape: NDArray[np.float64]  # from 0.2 to 10
    bound: NDArray[np.float64]  # the ratio of moments halfway to the next shape, at which the choice changes
    scale: NDArray[np.float64]  # of a side whose deviation is 1
    mean: NDArray[np.float64]  # of values whose right scale is greater by 1 than the left


class _Fit(NamedTuple):
    """Asymmetric generalised Gaussians, one a block."""

    shape: NDArray[np.float64]
    mean: NDArray[np.float64]
    left: NDArray[np.float64]
    right: NDArray[np.float64]


@METRICS.register_module()
class NIQE:
    """Natural image quality evaluator: how far an image's statistics are from those of unspoilt photographs.

    Computed with the authors' model, on the luma of MATLAB's ``rgb2ycbcr``, rounded, in blocks of 96x96 pixels without
    overlap at two scales. What remains right and below of the last whole block is left out. Lower is better. These are
    the values of BasicSR's ``calculate_niqe``; MATLAB's built-in ``niqe`` gives other ones.

    Reference:
        Mittal, Soundararajan, Bovik: Making a "completely blind" image quality analyzer, IEEE Signal Processing
        Letters 2013.
    """

    higher_is_better = False
    unit = ""
    needs_sharp = False

    def __call__(self, restored: Array, sharp: Array | None) -> float:
        """Scores ``restored``, ``(h, w, 3)`` RGB; ``sharp`` is not looked at.

        Returns:
            The distance, 0 or more; NaN where fewer than two blocks have any texture, as in an image of one colour.

        Raises:
            ValueError: The image holds fewer than two blocks, is not RGB, or is of another dtype than uint8, uint16 and
                float.
        """
        image, _, white = comparable(restored, restored)  # for its checks, and the value of white
        if image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"NIQE needs an image of shape (h, w, 3), this one has {image.shape}")
        height, width = image.shape[:2]
        if (height // _BLOCK) * (width // _BLOCK) < 2:
            raise ValueError(
                f"NIQE compares blocks of {_BLOCK} x {_BLOCK} pixels and needs two of them, "
                f"the image has {height} x {width} pixels"
            )
        return niqe(rounded_luma(image, white))


def rounded_luma(image: Array, white: float) -> NDArray[np.float32]:
    """Returns the luma of MATLAB's ``rgb2ycbcr``, in whole numbers; ties go where BasicSR's float32 takes them.

    ``image`` is ``(h, w, 3)`` RGB in any dtype, with its value of ``white``.
    """
    # BasicSR rounds to float32 on the way to [0, 1] and again on the way back, which decides ties that NIQE feels
    fractions = image.astype(np.float32) / np.float32(white)
    luma = rgb_to_y(fractions.astype(np.float64) * 255) / 255
    return np.rint(luma.astype(np.float32) * np.float32(255))


def niqe(luma: Array) -> float:
    """Returns the distance between the statistics of an image's whole blocks and the authors' model, 0 or more.

    It is NaN where fewer than two blocks have texture. ``luma`` is ``(h, w)``, whole numbers in [0, 255], with two
    blocks of 96x96 pixels or more.
    """
    height, width = luma.shape
    whole = luma[: height // _BLOCK * _BLOCK, : width // _BLOCK * _BLOCK].astype(np.float32)
    # the second scale has blocks of half the side, so that each covers the same part of the scene
    return distance(np.hstack([statistics(whole, _BLOCK), statistics(halved(whole), _BLOCK // 2)]))


def distance(found: NDArray[np.float64]) -> float:
    """Computes how far the statistics of blocks, ``(n, 36)``, are from the model; NaN where it is not defined."""
    complete = found[~np.isnan(found).any(axis=1)]
    if len(complete) < 2:
        return float("nan")
    model = pristine_model()
    # As in the authors' code: the mean is over all blocks, statistic by statistic, and the covariance over those alone
    # whose statistics are all defined.
    apart = model.mean - np.nanmean(found, axis=0)
    try:
        # the pseudo-inverse, because a few blocks make a covariance of less than full rank
        inverse = np.linalg.pinv((model.covariance + np.cov(complete, rowvar=False)) / 2)
    except np.linalg.LinAlgError:
        return float("nan")
    return float(np.sqrt(apart @ inverse @ apart))


@cache
def pristine_model() -> Model:
    """Reads the authors' model."""
    with resources.files(__package__).joinpath("niqe_model.txt").open(encoding="utf-8") as file:
        figures = np.loadtxt(file)
    return Model(figures[0], figures[1:])


def halved(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Halves an image of even sides as MATLAB does, bicubic and without aliasing; the mirrored edge goes on outside.

    Rounds to float32 where BasicSR does. In flat areas the statistics hang on the signs of rounding errors: a half
    without them moves scores by up to 9e-4 of themselves.
    """
    result = image / np.float32(255)
    for _ in range(2):
        padded = np.pad(result, ((3, 3), (0, 0)), "symmetric")
        # one tap after another, in one fixed order: a matrix product would sum as the processor likes
        taps = [padded[tap : tap + len(result) : 2] * weight for tap, weight in enumerate(_HALVING)]
        result = np.sum(taps, axis=0).T  # the other axis is next
    return result * np.float32(255)


def statistics(image: NDArray[np.float32], side: int) -> NDArray[np.float64]:
    """Computes the 18 statistics of every block of ``side`` pixels; of one without texture some are NaN.

    Returns:
        ``(blocks, 18)``: shape and mean scale of the normalised values; then, for the products with the neighbour in
        each of four directions, shape, mean, left scale and right scale.
    """
    rows, columns = image.shape[0] // side, image.shape[1] // side
    # less the mean under a Gaussian window, over the deviation plus one; of the whole image before it is cut, so that a
    # block's edge has its true neighbours
    mean, square = _windowed(image), _windowed(np.square(image))
    deviation = np.sqrt(np.abs(square - np.square(mean)))
    normalised = np.asarray((image - mean) / (deviation + 1), np.float32)
    blocks = normalised.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)
    alone = _fitted(blocks)
    found = [alone.shape, (alone.left + alone.right) / 2]
    for neighbour in _NEIGHBOURS:
        found += _fitted(blocks * np.roll(blocks, neighbour, axis=(1, 2)))
    return np.stack(found, axis=1)


def _windowed(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Averages under the window, in float64, then rounded: so that the mean of equal values is that value, exactly."""
    window = cv2.getGaussianKernel(2 * _REACH + 1, _SIGMA)
    mean = cv2.sepFilter2D(image.astype(np.float64), -1, window, window, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(mean, np.float32)


def _fitted(blocks: NDArray[np.float32]) -> _Fit:
    """Fits a distribution to each block by its moments; in a block of one value they are 0 / 0, and NaN."""
    values = blocks.reshape(len(blocks), -1)
    squares = np.square(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        left, right = _deviation(squares, values < 0), _deviation(squares, values > 0)
        # moments are matched as by Lasmar, Stitou and Berthoumieu, ICIP 2009: corrected for the skew, the ratio of the
        # squared mean to the mean square depends on the shape alone
        skew = left / right
        ratio = np.abs(values).mean(axis=1, dtype=np.float64) ** 2 / squares.mean(axis=1, dtype=np.float64)
        ratio *= (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    table = _shapes()
    chosen = np.where(np.isnan(ratio), 0, np.searchsorted(table.bound, ratio))  # the first, as the authors' code does
    left, right = left * table.scale[chosen], right * table.scale[chosen]
    return _Fit(table.shape[chosen], (right - left) * table.mean[chosen], left, right)


def _deviation(squares: NDArray[np.float32], side: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Returns each block's deviation from zero, of the values of one sign."""
    return np.asarray(np.sqrt(np.sum(squares, axis=1, where=side, dtype=np.float64) / np.count_nonzero(side, axis=1)))


@cache
def _shapes() -> _Shapes:
    from scipy.special import gamma

    shape = np.arange(0.2, 10.001, 0.001)
    first, second, third = gamma(1 / shape), gamma(2 / shape), gamma(3 / shape)
    ratio = second**2 / (first * third)  # rises with the shape
    return _Shapes(shape, (ratio[:-1] + ratio[1:]) / 2, np.sqrt(first / third), second / first)
