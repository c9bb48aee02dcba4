"""Colour as an augmentation: one change of brightness, contrast, saturation and hue for both images of a pair."""

from __future__ import annotations

import math

import cv2
import numpy as np

from deblurkit.data.transforms import Pair
from deblurkit.registry import TRANSFORMS

_GREY = np.array([0.299, 0.587, 0.114])  # luma of ITU-R BT.601


@TRANSFORMS.register_module()
class ColourJitter:
    """Change brightness, contrast, saturation and hue at random, by the same factors in both images.

    All of it is one affine map of a pixel's three stored (encoded) values, 0 to 255 or 0 to 65535, rounded and clipped
    to that range. Where the blur was averaged in stored values (GoPro's linear variant) the changed blurred image is
    the blur of the changed sharp one, except for clipping; of blur that was averaged in light it differs from that at
    strong edges, by up to some 10 levels of 255 at the defaults.

    Args:
        brightness: The values are multiplied by a factor within ``1 - brightness`` and ``1 + brightness``.
        contrast: Likewise the distance to the blurred image's mean grey, which is the middle for both images.
        saturation: Likewise the distance to the pixel's own grey.
        hue: Greatest turn about the grey axis to either side, in degrees, up to 180; brightness changes a little.
        shuffle: Also put the three channels into a random order, each of the six as likely.

    Raises:
        ValueError: A number is out of range.
    """

    def __init__(
        self,
        brightness: float = 0.2,
        contrast: float = 0.2,
        saturation: float = 0.2,
        hue: float = 10.0,
        shuffle: bool = False,
    ) -> None:
        limits = [("brightness", brightness, 1), ("contrast", contrast, 1), ("saturation", saturation, 1)]
        for name, value, most in [*limits, ("hue", hue, 180)]:
            if not 0 <= value <= most:
                raise ValueError(f"{name}: got {value}, expected a number from 0 to {most}")
        self.brightness, self.contrast, self.saturation = brightness, contrast, saturation
        self.hue, self.shuffle = hue, shuffle

    def __call__(self, pair: Pair, rng: np.random.Generator) -> Pair:
        """Returns the pair in other colours."""
        brightness = 1 + self.brightness * rng.uniform(-1, 1)
        contrast = 1 + self.contrast * rng.uniform(-1, 1)
        saturation = 1 + self.saturation * rng.uniform(-1, 1)
        # Hue: a rotation of RGB about the axis of greys, which stay as they are.
        axis = np.full(3, 1 / math.sqrt(3))
        turn, _ = cv2.Rodrigues(axis * math.radians(rng.uniform(-self.hue, self.hue)))
        order = rng.permutation(3) if self.shuffle else np.arange(3)
        saturate = saturation * np.eye(3) + (1 - saturation) * np.tile(_GREY, (3, 1))
        matrix = brightness * contrast * (saturate @ turn)[order]
        # One middle for both images, or the sharp one would no longer be the truth of the blurred one.
        middle = float(pair["blurred"].mean(axis=(0, 1)) @ _GREY)
        offset = np.full((3, 1), brightness * (1 - contrast) * middle)
        affine = np.hstack([matrix, offset]).astype(np.float32)
        changed = {}
        for name, image in pair.items():
            levels = np.rint(cv2.transform(image.astype(np.float32), affine))
            changed[name] = np.asarray(np.clip(levels, 0, np.iinfo(image.dtype).max), dtype=image.dtype)
        return changed
