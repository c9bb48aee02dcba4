"""Where homographies take one point of an image, and the point spread function they make of it."""

from __future__ import annotations

import numpy as np


def displaced(homographies: np.ndarray, x: float, y: float) -> np.ndarray:
    """Return where the point ``(x, y)`` of the sharp image lies at each step, ``(steps, 2)`` in pixels."""
    places = homographies @ np.array([x, y, 1.0])
    return places[:, :2] / places[:, 2:]


def kernel_at(homographies: np.ndarray, x: float, y: float) -> np.ndarray:
    """Return the exposure of a point of light at ``(x, y)``: ``(k, k)``, k odd, the point itself in the middle.

    Each step's light is shared between the four nearest pixels, by bilinear weights.
    """
    offsets = displaced(homographies, x, y) - (x, y)
    radius = int(np.ceil(np.abs(offsets).max()))
    kernel = np.zeros((2 * radius + 3, 2 * radius + 3))
    first = np.floor(offsets).astype(int)
    right, down = (offsets - first).T
    column, row = first.T + radius + 1
    for step_x, step_y in ((0, 0), (1, 0), (0, 1), (1, 1)):
        weight = (right if step_x else 1 - right) * (down if step_y else 1 - down)
        np.add.at(kernel, (row + step_y, column + step_x), weight)
    return kernel[1:-1, 1:-1] / len(offsets)
