"""A lens that is a little out of focus."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from deblurkit.data.blur.kernels import convolve, convolve_batch
from deblurkit.data.blur.ranges import as_range
from deblurkit.registry import BLURS

if TYPE_CHECKING:
    from torch import Tensor

_FINER = 8  # points to each side of a pixel, of which the disc covers some


@BLURS.register_module()
class Defocus:
    """Blur by a lens that is out of focus: a point becomes a disc, the same one over the whole image.

    Args:
        radius: Least and greatest radius of the disc in pixels; drawn between them.

    Raises:
        ValueError: ``radius`` is not two numbers in order.
    """

    def __init__(self, radius: Sequence[float] = (0.5, 2.5)) -> None:
        self.radius = as_range(radius, "radius")
        self.margin = math.ceil(self.radius[1] + 0.5)

    def draw(self, size: tuple[int, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draws one disc: ``kernel``, float32 ``(k, k)``, ``k = 2 * margin + 1``, sum 1."""
        return {"kernel": disc(rng.uniform(*self.radius), self.margin)}

    def expose(self, linear: np.ndarray, drawn: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the blurred and the sharp image: linear light, float32 ``(h, w, 3)`` as ``linear`` is."""
        return convolve(linear, drawn["kernel"]), linear

    def expose_batch(self, linear: Tensor, drawn: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns the blurred and the sharp images ``(n, 3, h, w)``; ``drawn["kernel"]`` is ``(n, k, k)``."""
        return convolve_batch(linear, drawn["kernel"]), linear


def disc(radius: float, reach: int) -> np.ndarray:
    """Returns a disc of a radius in pixels, float32 ``(k, k)``, ``k = 2 * reach + 1``, sum 1; at 0 a single pixel.

    A pixel of the rim counts as far as the disc covers it.
    """
    side = 2 * reach + 1
    points = (np.arange(side * _FINER) + 0.5) / _FINER - side / 2
    covered = np.hypot(*np.meshgrid(points, points)) <= max(radius, 1 / _FINER)
    weights = covered.reshape(side, _FINER, side, _FINER).mean(axis=(1, 3))
    return (weights / weights.sum()).astype(np.float32)
