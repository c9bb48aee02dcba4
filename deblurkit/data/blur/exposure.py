"""The light that a sensor gathers while camera and objects move: a mean of warped images, in linear light.

An object is a layer of premultiplied light and opacity over the background. What it uncovers as it moves is the
background that was photographed in full, so nothing has to be invented:

    blurred = mean_t [warp_t(alpha * F) + (1 - warp_t(alpha)) * warp_t(background)]

Warps are bicubic (A = -0.75). What lies outside the background is its mirror image, outside a layer there is nothing.
OpenCV 5 interpolates at exact places; OpenCV 4 rounds them to 1/32 of a pixel, which changes the result by up to about
0.005 at strong edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from deblurkit.data.blur.trajectory import TAPS_PX


@dataclass(frozen=True)
class Layer:
    """An object in front of the background.

    Attributes:
        light: Linear light times opacity, and opacity, float32 ``(h, w, 4)``.
        homographies: The object's own path ``(steps, 3, 3)``; the camera's is applied after it.
    """

    light: np.ndarray
    homographies: np.ndarray


def expose(linear: np.ndarray, camera: np.ndarray, layers: Sequence[Layer] = ()) -> np.ndarray:
    """Averages the scene over the exposure: linear light, float32 ``(h, w, 3)``, in and out.

    ``camera`` is its path, homographies ``(steps, 3, 3)`` from the sharp image to the exposed one; ``layers`` are the
    objects, the hindmost first, of the same size and steps. Bicubic overshoot at strong edges is not clipped.
    """
    total = np.zeros_like(linear)
    # An object fills a small part of the image: only the box that holds it is warped at each step.
    objects = [(layer, _corners(layer.light)) for layer in layers if layer.light[..., 3].any()]
    for step, moved in enumerate(camera):
        # A camera at rest leaves the background exactly as it is, and costs no warp.
        frame = linear.copy() if np.array_equal(moved, np.eye(3)) else warp(linear, moved)
        for layer, corners in objects:
            _lay(frame, layer.light, corners, moved @ layer.homographies[step])
        total += frame
    return total / np.float32(len(camera))


def compose(linear: np.ndarray, layers: Sequence[Layer]) -> np.ndarray:
    """Returns the scene in its mean pose, where nothing is moved: the sharp image, float32 ``(h, w, 3)``."""
    for layer in layers:
        linear = _over(layer.light, linear)
    return linear


def warp(
    image: np.ndarray, homography: np.ndarray, mirror: bool = True, size: tuple[int, int] | None = None
) -> np.ndarray:
    """Moves an image, float32 ``(h, w, c)``, by a homography ``(3, 3)`` from it to the result.

    Beyond its border lies its mirror image, or zeros. ``size`` is ``(h, w)`` of the result, whose first pixel stays.
    """
    height, width = size or image.shape[:2]
    return cv2.warpPerspective(
        image,
        np.linalg.inv(homography),
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101 if mirror else cv2.BORDER_CONSTANT,
    )


def _corners(light: np.ndarray) -> np.ndarray:
    """Returns the corners of the box beyond which a warped layer has no light, homogeneous ``(3, 4)`` in pixels."""
    x, y, width, height = cv2.boundingRect((light[..., 3] != 0).view(np.uint8))
    left, top, right, bottom = x - TAPS_PX, y - TAPS_PX, x + width - 1 + TAPS_PX, y + height - 1 + TAPS_PX
    return np.array([[left, right, left, right], [top, top, bottom, bottom], [1, 1, 1, 1]], dtype=np.float64)


def _lay(frame: np.ndarray, light: np.ndarray, corners: np.ndarray, homography: np.ndarray) -> None:
    """Lays a moved object over the frame, in place, where it may be: within its moved corners."""
    places = homography @ corners
    size = np.array(frame.shape[1::-1])
    first, last = np.zeros(2, dtype=int), size
    # With a corner behind the camera the box is no bound.
    if (places[2] > 0).all():
        places = places[:2] / places[2]
        # A pixel more, as OpenCV 4 rounds places.
        first = np.clip(np.floor(places.min(axis=1)) - 1, 0, size).astype(int)
        last = np.clip(np.ceil(places.max(axis=1)) + 2, 0, size).astype(int)
    if (last <= first).any():
        return
    (left, top), (right, bottom) = first.tolist(), last.tolist()
    part = frame[top:bottom, left:right]
    to_part = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]])
    part[:] = _over(warp(light, to_part @ homography, mirror=False, size=(bottom - top, right - left)), part)


def _over(layer: np.ndarray, behind: np.ndarray) -> np.ndarray:
    return np.asarray(layer[..., :3] + (1 - layer[..., 3:]) * behind)
