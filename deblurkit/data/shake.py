"""A model of camera shake: a photograph by a hand that moves while the shutter is open.

The camera translates and rolls along a random path. The light that reaches a pixel during the exposure is the mean,
*in linear light*, of the scene seen from every point of the path. The sensor adds noise and the camera writes
8-bit sRGB:

    blurred = quantise(encode(noise(mean_t warp_t(decode(sharp)))))

Because of the roll, each pixel sees its own path, so the blur varies over the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from deblurkit.data.blur.camera_response import quantise, response


@dataclass(frozen=True)
class Trajectory:
    """The camera's path during one exposure, sampled at equal steps of time.

    Attributes, each ``(steps,)``: the shift of the image to the right (``x``) and downwards (``y``) in pixels, and its
    rotation about its centre in degrees.
    """

    x: np.ndarray
    y: np.ndarray
    roll_deg: np.ndarray

    @property
    def extent(self) -> float:
        """The longest distance between two points of the path of the image's centre, in pixels."""
        points = self.x + 1j * self.y
        return float(np.abs(points[:, None] - points[None, :]).max())


def random_trajectory(
    rng: np.random.Generator, extent: float, roll_range_deg: float = 0.0, steps: int = 32, wander: float = 3.0
) -> Trajectory:
    """Draws a path of a hand's tremor: three independent smooth random walks.

    Each velocity is a first-order autoregressive process with a memory of ``1 / wander`` of the exposure, starting in
    its stationary state: a mass with inertia, pushed at random and damped. Its sum, the position, is shifted so that
    its mean over time is zero: the blur's centre of mass lies on the sharp pixel, so the sharp image is the blurred
    one's aligned truth. It is then scaled to the extent asked for.

    Args:
        rng: All randomness comes from here.
        extent: Longest distance between two points of the path, in pixels; 0 for none.
        roll_range_deg: Largest less smallest roll angle, in degrees.
        steps: Points on the path; enough where neighbours are less than a pixel apart.
        wander: How much the course changes during the exposure, not negative; at 0 the path is straight.
    """
    # The factor of the pushes keeps the variance at 1 from the first step on, which is what stationary means.
    memory = np.exp(-wander / steps)
    pushes = rng.standard_normal((steps, 3))
    velocity = np.empty_like(pushes)
    velocity[0] = pushes[0]
    for step in range(1, steps):
        velocity[step] = memory * velocity[step - 1] + np.sqrt(1 - memory**2) * pushes[step]
    position = velocity.cumsum(axis=0)
    position -= position.mean(axis=0)
    x, y, roll = position.T
    shape = Trajectory(x, y, roll)
    scale = extent / shape.extent
    return Trajectory(x * scale, y * scale, roll * (roll_range_deg / np.ptp(roll)))


def expose(linear: np.ndarray, trajectory: Trajectory) -> np.ndarray:
    """Averages the scene's linear light, float32 ``(h, w, 3)``, over the path.

    What lies outside is taken as its mirror image; cut a margin as wide as the path off the result where that matters.
    """
    height, width = linear.shape[:2]
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    total = np.zeros_like(linear)
    for x, y, roll in zip(trajectory.x, trajectory.y, np.deg2rad(trajectory.roll_deg), strict=True):
        cos, sin = np.cos(roll), np.sin(roll)
        # Maps a pixel of the exposed image to where its light comes from: the inverse of roll, then shift.
        to_source = np.array(
            [
                [cos, sin, centre_x - cos * (centre_x + x) - sin * (centre_y + y)],
                [-sin, cos, centre_y + sin * (centre_x + x) - cos * (centre_y + y)],
            ]
        )
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        total += cv2.warpAffine(linear, to_source, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return total / len(trajectory.x)


def add_sensor_noise(
    linear: np.ndarray, rng: np.random.Generator, full_well: float = 10_000.0, read_noise: float = 3.0
) -> np.ndarray:
    """Adds photon (shot) noise and read noise to linear light, where the sensor adds them.

    A pixel of light ``v`` holds ``full_well * v`` electrons with a variance of as many (the normal approximation of
    Poisson) plus ``read_noise ** 2``. The defaults, a small sensor at low gain, come to a standard deviation of
    about 1 to 1.3 levels of 255 after sRGB encoding.

    Args:
        linear: Linear light ``(h, w, 3)``, 1 = saturation.
        rng: All randomness comes from here.
        full_well: Electrons of a saturated pixel.
        read_noise: Standard deviation of the read-out, in electrons.
    """
    # Bicubic warps overshoot below 0 at strong edges; there is no negative number of electrons.
    electrons = np.maximum(linear, 0) * full_well
    sigma = np.sqrt(electrons + read_noise**2)
    noise = rng.standard_normal(linear.shape, dtype=np.float32)
    return np.asarray((electrons + sigma * noise) / full_well, dtype=np.float32)


def shake(image: np.ndarray, trajectory: Trajectory, rng: np.random.Generator | None = None) -> np.ndarray:
    """Takes the sRGB ``uint8`` photograph ``image`` ``(h, w, 3)`` with a moving camera; it saturates at a light of 1.

    ``rng`` is for the sensor's noise; ``None`` stands for a sensor without.
    """
    linear = expose(srgb_to_linear(image), trajectory)
    if rng is not None:
        linear = add_sensor_noise(linear, rng)
    return linear_to_srgb(linear)


def srgb_to_linear(image: np.ndarray) -> np.ndarray:
    """Decodes sRGB ``uint8`` to linear light, float32 in [0, 1] (IEC 61966-2-1)."""
    return response("srgb").decode(image)


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """Encodes linear light, clipped to [0, 1], to sRGB ``uint8`` (IEC 61966-2-1), rounded to the nearest."""
    return quantise(response("srgb").encode(linear))
