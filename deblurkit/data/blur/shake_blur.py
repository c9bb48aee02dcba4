"""Camera shake as a blur of any sharp image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from deblurkit.data.blur import filter_flow
from deblurkit.data.blur.exposure import expose
from deblurkit.data.blur.ranges import as_positive, as_range
from deblurkit.data.blur.trajectory import FOCAL_PX, TAPS_PX, camera_homographies, greatest_reach, random_camera_path
from deblurkit.errors import UserError
from deblurkit.registry import BLURS

if TYPE_CHECKING:
    from torch import Tensor


@BLURS.register_module()
class Shake:
    """Blur by a hand that shifts, rolls and tilts the camera along a random path while the shutter is open.

    The blurred image is the mean, in linear light, of the scene seen from every point of the path. Roll and tilt move
    each pixel along its own path: the blur varies over the image. Shift and angles have a mean of zero over time, so
    the sharp image is aligned with the blurred one. The scene has one depth; the lens does not distort; all rows are
    exposed at once. A crop is turned about its own centre, not that of the photograph it comes from.

    Args:
        extent: Least and greatest longest distance between two points of the shift's path, in pixels in a whole frame
            interval; drawn between them, as are the next two.
        roll: Least and greatest range of the angle about the optical axis, in degrees in a frame interval.
        tilt: Least and greatest distance between two directions of the optical axis (yaw and pitch together), in
            degrees in a frame interval; 0.1 degrees shift the image by ``focal / 573`` pixels, on top of ``extent``.
        focal: Focal length in pixels of the sharp image: 0.78 times the width of a whole photograph taken by a
            phone's main lens (28 mm on a 36 mm wide frame). Greater is more shift and less perspective by tilt.
        jerk: Expected number of sudden turns of the path in an exposure, from 0 to ``steps - 1``.
        wander: How much the course changes between them: 0 is a straight path at an even speed, as in a short exposure;
            at 3 the course is forgotten within a third of the exposure.
        exposure: Share of the frame interval in which the shutter is open, above 0 to 1; it scales the path and
            nothing else: brightness and noise do not follow.
        margin: Pixels at each side that are blurred and cut off, which keeps the mirrored border out. At least what
            the ranges above can reach in the part that is kept.
        steps: Points on the path; enough where neighbours are about a pixel apart on average: 1.6 times the
            greatest extent, more for roll and tilt.
        cells: 0 warps the image at every step, which is exact. Above 0 it is convolved with the path's traces at
            ``cells x cells`` points, several times faster (:mod:`deblurkit.data.blur.filter_flow`): 1 serves crops
            over which the blur hardly varies. Batches on a device are always warped.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(
        self,
        extent: Sequence[float] = (2.0, 12.0),
        roll: Sequence[float] = (0.0, 0.6),
        tilt: Sequence[float] = (0.0, 0.15),
        focal: float = FOCAL_PX,
        jerk: float = 0.7,
        wander: float = 3.0,
        exposure: float = 1.0,
        margin: int = 32,
        steps: int = 24,
        cells: int = 0,
    ) -> None:
        self.extent, self.roll = as_range(extent, "extent"), as_range(roll, "roll", greatest=45.0)
        self.tilt = as_range(tilt, "tilt", greatest=20.0)
        check_exposure(exposure, margin, steps)
        if not 0 <= jerk <= steps - 1:
            raise ValueError(f"jerk: got {jerk}, expected a number of turns from 0 to steps - 1 = {steps - 1}")
        if not wander >= 0:
            raise ValueError(f"wander: got {wander}, expected a number that is not negative")
        if cells < 0:
            raise ValueError(f"cells: got {cells}, expected 0, or a number of points along each side")
        self.focal = as_positive(focal, "focal", "a length in pixels")
        self.jerk, self.wander, self.exposure = jerk, wander, exposure
        self.margin, self.steps, self.cells = margin, steps, cells

    def draw(self, size: tuple[int, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draws one camera's path for an image of ``size`` ``(h, w)``, its margins included.

        Its ``homographies`` are ``(steps, 3, 3)`` float64, from the sharp image to the exposed one.

        Raises:
            UserError: A path could reach further than the margin in an image of this size.
        """
        # Before anything is drawn: what a rare path could reach must not depend on which path comes.
        check_margin("Shake", self.margin, self.reach(size), size)
        extent, roll, tilt = (rng.uniform(*limits) * self.exposure for limits in (self.extent, self.roll, self.tilt))
        path = random_camera_path(rng, extent, roll, tilt, self.steps, self.jerk, self.wander)
        return {"homographies": camera_homographies(path, size, self.focal)}

    def reach(self, size: tuple[int, int]) -> float:
        """Bounds how far any path takes light in what is kept of an image of ``size`` (h, w), in pixels."""
        extent, roll, tilt = (limits[1] * self.exposure for limits in (self.extent, self.roll, self.tilt))
        return greatest_reach(kept(size, self.margin), extent, roll, tilt, self.focal)

    def expose(self, linear: np.ndarray, drawn: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the blurred and the sharp image: linear light, float32 ``(h, w, 3)`` as ``linear`` is."""
        if self.cells:
            return filter_flow.expose(linear, drawn["homographies"], self.cells), linear
        return expose(linear, drawn["homographies"]), linear

    def expose_batch(self, linear: Tensor, drawn: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns the blurred and the sharp images ``(n, 3, h, w)``; ``drawn`` holds stacked arrays as tensors."""
        from deblurkit.data.blur import device_exposure

        return device_exposure.expose(linear, drawn["homographies"]), linear


def check_exposure(exposure: float, margin: int, steps: int) -> None:
    """Checks what every blur along a path is given; a ValueError names what is out of its range."""
    if not 0 < exposure <= 1:
        raise ValueError(f"exposure: got {exposure}, expected a share of the frame interval above 0, up to 1")
    if margin < 0:
        raise ValueError(f"margin: got {margin}, expected pixels, not negative")
    if steps < 2:
        raise ValueError(f"steps: got {steps}, expected at least 2")


def kept(size: tuple[int, int], margin: int) -> tuple[int, int]:
    """Returns what is left of ``size`` without its margins, at least one pixel."""
    return max(1, size[0] - 2 * margin), max(1, size[1] - 2 * margin)


def check_margin(name: str, margin: int, reach: float, size: tuple[int, int]) -> None:
    """Checks that the mirrored border stays outside what is kept.

    Raises:
        UserError: It does not; the message says which margin would do, if any.
    """
    height, width = kept(size, margin)
    if reach == math.inf:
        raise UserError(
            f"{name}: tilt: too much tilt for this focal length: in an image of {height} x {width} (h x w) a corner "
            "could turn by 90 degrees from the optical axis; set less tilt, or a greater focal"
        )
    # Interpolation looks a little further than the point that it is asked for.
    needed = math.ceil(reach) + TAPS_PX
    if needed > margin:
        raise UserError(
            f"{name}: margin: got {margin}, but its greatest motion reaches {needed} pixels in an image of "
            f"{height} x {width} (h x w): set margin: {needed}, or less motion"
        )
