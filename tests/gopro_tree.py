"""GoPro's folder layout with real blur of both kinds, made of one photograph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import skimage.data

from deblurkit.data.images import write_image

SEQUENCE = "GOPR0372_07_00"


def make_gopro(root: Path, split: str = "train", pairs: int = 14) -> Path:
    """Write ``pairs`` triples of 128 x 96 pixels below ``root`` and return it."""
    photograph = skimage.data.coffee()
    for number in range(pairs):
        top = 16 * number
        frames = np.stack([photograph[top + shift : top + shift + 96, :128] for shift in range(0, 33, 3)])
        images = {"blur": _mean(frames, 1.0), "blur_gamma": _mean(frames, 2.2), "sharp": frames[5]}
        for side, pixels in images.items():
            file = root / split / SEQUENCE / side / f"{number:06}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_image(file, np.ascontiguousarray(pixels))
    return root


def mislabel(root: Path, split: str = "train") -> Path:
    """Put the gamma blur where the linear one belongs, and return ``root``."""
    sequence = root / split / SEQUENCE
    for file in (sequence / "blur_gamma").iterdir():
        file.replace(sequence / "blur" / file.name)
    (sequence / "blur_gamma").rmdir()
    return root


def _mean(frames: np.ndarray, gamma: float) -> np.ndarray:
    return (255 * np.mean((frames / 255.0) ** gamma, axis=0) ** (1 / gamma)).astype(np.uint8)
