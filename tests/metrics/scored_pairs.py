"""Photographs that scikit-image ships, degraded in ways whose scores the tests know."""

from __future__ import annotations

import cv2
import numpy as np
import skimage.data

from deblurkit.metrics.images import Array

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea")
NUMBERS = ("uint8", "float32", "float64")


def photograph(name: str) -> Array:
    return np.ascontiguousarray(getattr(skimage.data, name)()[:181, :203])


def degraded(image: Array, sigma: float = 6.0) -> Array:
    """The photograph shifted by half a pixel and with noise: an error as blur and sensors make it."""
    mixed = (image.astype(np.float64) + np.roll(image, 1, axis=1)) / 2
    noisy = mixed + np.random.default_rng(3).normal(0, sigma, image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def blurred(image: Array, pixels: int) -> Array:
    """The photograph under a horizontal motion blur, with a little noise."""
    smeared = cv2.blur(image.astype(np.float64), (pixels, 1))
    noisy = smeared + np.random.default_rng(4).normal(0, 1.5, image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def shifted(image: Array) -> tuple[Array, Array]:
    """The photograph one pixel to the right, against itself; no pixel is made up."""
    return np.ascontiguousarray(image[:, :-1]), np.ascontiguousarray(image[:, 1:])


def pair(name: str, numbers: str) -> tuple[Array, Array]:
    """A degraded photograph and itself; as floats, with values between the 256 levels as a network returns them."""
    sharp = photograph(name)
    restored = degraded(sharp)
    if numbers == "uint8":
        return restored, sharp
    jitter = np.random.default_rng(5).uniform(-0.4, 0.4, sharp.shape)
    return tuple(np.clip((image + jitter) / 255, 0, 1).astype(numbers) for image in (restored, sharp))  # type: ignore[return-value]
