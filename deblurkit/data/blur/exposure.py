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
    """Average the scene over the exposure.

    Args:
        linear: The background's linear light, float32 ``(h, w, 3)``.
        camera: The camera's path, homographies ``(steps, 3, 3)`` from the sharp image to the exposed one.
        layers: Objects, the hindmost first, of the same size and steps.

    Returns:
        Linear light, float32 ``(h, w, 3)``; bicubic overshoot at strong edges is not clipped.
    """
    total = np.zeros_like(linear)
    for step, moved in enumerate(camera):
        frame = warp(linear, moved)
        for layer in layers:
            frame = _over(warp(layer.light, moved @ layer.homographies[step], mirror=False), frame)
        total += frame
    return total / np.float32(len(camera))


def compose(linear: np.ndarray, layers: Sequence[Layer]) -> np.ndarray:
    """Return the scene in its mean pose, where nothing is moved: the sharp image, float32 ``(h, w, 3)``."""
    for layer in layers:
        linear = _over(layer.light, linear)
    return linear


def warp(image: np.ndarray, homography: np.ndarray, mirror: bool = True) -> np.ndarray:
    """Move an image as the homography says, at the same size.

    Args:
        image: float32 ``(h, w, c)``.
        homography: ``(3, 3)``, from the image to the result.
        mirror: Continue the image beyond its border by its mirror image, else by zeros.
    """
    height, width = image.shape[:2]
    return cv2.warpPerspective(
        image,
        np.linalg.inv(homography),
        (width, height),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101 if mirror else cv2.BORDER_CONSTANT,
    )


def _over(layer: np.ndarray, behind: np.ndarray) -> np.ndarray:
    return np.asarray(layer[..., :3] + (1 - layer[..., 3:]) * behind)
