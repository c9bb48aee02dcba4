"""Paths of a camera or an object while the shutter is open, and where they take the points of the image.

Pixels ``(x, y)`` count from the centre of the first one, x to the right, y downwards. A homography here maps a point
of the sharp image to its place in the exposed one at one moment. Turning a camera about its optical centre moves the
image by a homography whatever the scene's depth is; a translation does so for a scene at one depth only, and is taken
as a shift of the whole image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from deblurkit.data.shake import Trajectory, random_trajectory

FOCAL_PX = 1000.0
"""Focal length in pixels of a phone's main lens (28 mm on a 36 mm wide frame) over an image 1286 pixels wide."""

TAPS_PX = 2
"""How far bicubic interpolation reaches beyond the point it is asked for, in pixels."""


@dataclass(frozen=True)
class CameraPath(Trajectory):
    """A :class:`~deblurkit.data.shake.Trajectory` of a camera that turns out of the image's plane too.

    Attributes:
        yaw_deg: Turn that moves the image to the right, in degrees ``(steps,)``.
        pitch_deg: Turn that moves it downwards, in degrees ``(steps,)``.
    """

    yaw_deg: np.ndarray
    pitch_deg: np.ndarray


def random_camera_path(
    rng: np.random.Generator,
    extent: float,
    roll_deg: float,
    tilt_deg: float,
    steps: int,
    jerk: float = 0.0,
    wander: float = 3.0,
) -> CameraPath:
    """Draws a hand's tremor whose shift and angles all have a mean of zero over time.

    ``extent`` is the longest distance between two points of the shift's path, in pixels; ``roll_deg`` the largest less
    the smallest roll; ``tilt_deg`` the longest distance between two directions (yaw, pitch) of the optical axis;
    ``jerk`` the expected number of sudden turns of the shift's course and, independently, of the tilt's; and ``wander``
    how much either course changes between them, as :func:`~deblurkit.data.shake.random_trajectory` says.
    """
    shift = with_jerks(random_trajectory(rng, extent, roll_deg, steps, wander), rng, jerk)
    tilt = with_jerks(random_trajectory(rng, tilt_deg, 0.0, steps, wander), rng, jerk)
    return CameraPath(shift.x, shift.y, shift.roll_deg, yaw_deg=tilt.x, pitch_deg=tilt.y)


def with_jerks(path: Trajectory, rng: np.random.Generator, jerk: float) -> Trajectory:
    """Turns the path's course by a random angle at random steps, as impulses to the hand do.

    The speeds stay, as do the roll, the mean of zero and, by scaling, the extent. ``jerk`` is the expected number of
    turns in the whole path, at most its steps less one.
    """
    if jerk == 0 or path.extent == 0:
        return path
    # As complex numbers: a turn by an angle is a factor, and each turn acts on all of the course that follows it.
    course = np.diff(path.x + 1j * path.y)
    turns = np.where(rng.random(course.size) < jerk / course.size, rng.uniform(-np.pi, np.pi, course.size), 0.0)
    points = np.append(0, np.cumsum(course * np.exp(1j * np.cumsum(turns))))
    points -= points.mean()
    # A path that turns back on itself is shorter across: without this, jerks would mean less blur.
    turned = Trajectory(points.real, points.imag, path.roll_deg)
    scale = path.extent / turned.extent
    return Trajectory(turned.x * scale, turned.y * scale, path.roll_deg)


def camera_homographies(path: CameraPath, size: tuple[int, int], focal: float = FOCAL_PX) -> np.ndarray:
    """Returns what the camera's path does to an image of ``(h, w)`` pixels: ``T K R K^-1``, ``(steps, 3, 3)`` float64.

    ``R`` is yaw, then pitch, then roll; ``K`` has the focal length in pixels, square pixels and the principal point at
    the image's centre; ``T`` is the shift.
    """
    from scipy.spatial.transform import Rotation

    # The image's y points down, so a turn that moves the image downwards is a negative one about x.
    angles = np.stack([path.roll_deg, -path.pitch_deg, path.yaw_deg], axis=1)
    turns = Rotation.from_euler("ZXY", angles, degrees=True).as_matrix()
    # Focal length and centre apart, so that a camera at rest gives the identity without rounding errors.
    turned = turns * np.array([[1, 1, focal], [1, 1, focal], [1 / focal, 1 / focal, 1]])
    x, y = (size[1] - 1) / 2, (size[0] - 1) / 2
    return np.asarray(_shifts(path.x + x, path.y + y) @ turned @ _shifts(np.array([-x]), np.array([-y])))


def object_homographies(path: Trajectory, magnification: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    """Returns a flat object's path as similarities ``(steps, 3, 3)`` float64.

    It is magnified (1 = as in the sharp image, ``(steps,)``) and turned about its centre ``(x, y)`` in the sharp image,
    then shifted.
    """
    roll = np.deg2rad(path.roll_deg)
    cos, sin, zero = magnification * np.cos(roll), magnification * np.sin(roll), np.zeros_like(roll)
    turns = np.stack([cos, -sin, zero, sin, cos, zero, zero, zero, zero + 1], axis=1).reshape(-1, 3, 3)
    x, y = centre
    return np.asarray(_shifts(path.x + x, path.y + y) @ turns @ _shifts(np.array([-x]), np.array([-y])))


def greatest_reach(
    window: tuple[int, int], extent: float, roll_deg: float = 0.0, tilt_deg: float = 0.0, focal: float = FOCAL_PX
) -> float:
    """Bounds how far a camera's path takes the light that comes from, or arrives in, a window, in pixels.

    The window, ``(h, w)`` in pixels, lies about the image's centre; extent (pixels), roll and tilt are the greatest
    that a path has. Holds for every path: one with a mean of zero stays within its own extent of zero. Infinite where
    a tilt could turn a corner of the window out of the image's plane.
    """
    # The worst point is a corner, shifted outwards as far as can be, tilted further out, and rolled at that radius.
    radius = math.hypot(window[0] - 1, window[1] - 1) / 2 + extent
    angle = math.atan(radius / focal) + math.radians(tilt_deg)
    if angle >= math.pi / 2:
        return math.inf
    tilted = focal * math.tan(angle)
    return extent + (tilted - radius) + tilted * math.radians(roll_deg)


def _shifts(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    shifts = np.broadcast_to(np.eye(3), (len(x), 3, 3)).copy()
    shifts[:, 0, 2], shifts[:, 1, 2] = x, y
    return shifts
