"""Blur along a camera's path by a few convolutions in place of one warp a step.

Where a path moves neighbouring pixels almost alike, the exposure is close to a convolution with the path's trace, and
the trace changes slowly over the image: the image is convolved with the traces at the points of a grid, and the results
are mixed in proportion to how near each point is. At one pixel a step a warp costs more than a convolution.

Reference:
    Hirsch, Sra, Schölkopf, Harmeling: Efficient Filter Flow for Space-Variant Multiframe Blind Deconvolution,
    CVPR 2010, section 2. Linear mixing and the grid's places are ours.
"""

from __future__ import annotations

import math

import numpy as np

from deblurkit.data.blur.kernels import convolve
from deblurkit.data.blur.trajectory import TAPS_PX

_SHARPNESS = -0.75  # of bicubic interpolation, as OpenCV's warps have it


def expose(linear: np.ndarray, camera: np.ndarray, cells: int) -> np.ndarray:
    """Averages the scene over the exposure as :func:`deblurkit.data.blur.exposure.expose` does, approximately.

    Takes and returns linear light, float32 ``(h, w, 3)``. ``camera`` is the path, homographies ``(steps, 3, 3)``;
    ``cells`` the number of grid points along each side. For a pure shift the two are equal within 1e-4, the mirrored
    border apart.
    """
    height, width = linear.shape[:2]
    rows, columns = _grid(height, cells), _grid(width, cells)
    blurred = np.zeros_like(linear)
    for y, down in zip(rows, _nearness(height, rows), strict=True):
        for x, across in zip(columns, _nearness(width, columns), strict=True):
            part = convolve(linear, trace(camera, (x, y)))
            blurred += part if cells == 1 else part * (down[:, None] * across)[..., None]
    return blurred


def trace(camera: np.ndarray, point: tuple[float, float]) -> np.ndarray:
    """Returns the kernel that the path draws of a point of light at ``point`` ``(x, y)``, float32 ``(k, k)``, sum 1.

    Each step leaves its light with the weights of bicubic interpolation, so that the convolution equals the mean of
    bicubic warps.
    """
    places = camera @ np.array([*point, 1.0])
    shifts = places[:, :2] / places[:, 2:] - point
    reach = math.ceil(np.abs(shifts).max()) + TAPS_PX
    across, down = (_taps(shifts[:, axis], reach) for axis in (0, 1))
    return np.asarray(down.T @ across / len(camera), dtype=np.float32)


def _grid(side: int, cells: int) -> np.ndarray:
    """Returns the centres of as many equal parts of a side, in pixels."""
    return (np.arange(cells) + 0.5) * side / cells - 0.5


def _nearness(side: int, points: np.ndarray) -> np.ndarray:
    """Returns how much each point counts at each pixel, float32 ``(points, side)``; the sum over points is 1."""
    hats = [np.interp(np.arange(side), points, row) for row in np.eye(len(points))]
    return np.array(hats, dtype=np.float32)


def _taps(shifts: np.ndarray, reach: int) -> np.ndarray:
    """Returns the bicubic weights of shifts in pixels, ``(steps, 2 * reach + 1)``; the middle one is no shift."""
    distance = np.abs(np.arange(-reach, reach + 1) - shifts[:, None])
    a = _SHARPNESS
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * a * distance - 4 * a
    return np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
