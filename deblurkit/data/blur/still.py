"""No blur at all, so that a network learns to leave alone what is sharp."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from deblurkit.registry import BLURS

if TYPE_CHECKING:
    from torch import Tensor


@BLURS.register_module()
class Still:
    """A camera at rest before a scene at rest: blurred and sharp differ by what the sensor does, or not at all."""

    margin = 0

    def draw(self, size: tuple[int, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draws nothing."""
        return {}

    def expose(self, linear: np.ndarray, drawn: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the image twice: linear light, float32 ``(h, w, 3)``."""
        return linear, linear

    def expose_batch(self, linear: Tensor, drawn: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns the images ``(n, 3, h, w)`` twice."""
        return linear, linear
