"""Camera shake as an augmentation: a fresh blur for every sample that training draws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deblurkit.data.blur.ranges import as_range
from deblurkit.data.shake import random_trajectory, shake
from deblurkit.data.transforms import Pair
from deblurkit.errors import UserError
from deblurkit.registry import TRANSFORMS


@TRANSFORMS.register_module()
class CameraShake:
    """Put a new random shake of the sharp image in the place of the blurred one.

    A set of stored pairs has one blur an image, which a network can learn by heart; this one never repeats. The model
    is that of :mod:`deblurkit.data.shake`: linear light, roll, sensor noise, 8 bits. It stands in ``augment`` after a
    crop, and cuts ``margin`` off each side, which keeps the mirrored border out of the blur.

    Args:
        extent: Least and greatest longest distance between two points of the path, in pixels.
        roll: Least and greatest range of the roll angle, in degrees.
        margin: Pixels cut off each side; at least the greatest extent keeps every border out.
        steps: Points on the path.

    Raises:
        ValueError: A range is not two numbers in order, or a count is not positive.
    """

    keeps_size = False

    def __init__(
        self,
        extent: Sequence[float] = (5.0, 13.0),
        roll: Sequence[float] = (0.0, 1.0),
        margin: int = 13,
        steps: int = 24,
    ) -> None:
        if margin < 0 or steps < 2:
            raise ValueError(f"needs margin >= 0 and steps >= 2, got {margin} and {steps}")
        self.extent, self.roll = as_range(extent, "extent"), as_range(roll, "roll")
        self.margin, self.steps = margin, steps

    def __call__(self, pair: Pair, rng: np.random.Generator) -> Pair:
        """Returns the pair with a new ``blurred``, both smaller by twice the margin.

        Raises:
            UserError: There is no sharp 8-bit image, or it is smaller than the margins.
        """
        sharp = pair.get("sharp")
        if sharp is None or sharp.dtype != np.uint8:
            raise UserError("CameraShake needs a sharp image of 8 bits")
        if min(sharp.shape[:2]) <= 2 * self.margin:
            raise UserError(f"CameraShake cuts {self.margin} pixels off each side, the image has {sharp.shape[:2]}")
        trajectory = random_trajectory(rng, rng.uniform(*self.extent), rng.uniform(*self.roll), self.steps)
        # Flips leave views that OpenCV does not take.
        blurred = shake(np.ascontiguousarray(sharp), trajectory, rng)
        inside = slice(self.margin, -self.margin or None)  # -0 would cut everything off
        return {"blurred": blurred[inside, inside], "sharp": sharp[inside, inside]}
