from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from deblurkit.data.checking.duplicates import Fingerprint, digest, fingerprint, overlap, repeated
from deblurkit.data.images import read_image


def _print(key: str, image: np.ndarray) -> Fingerprint:
    return fingerprint(key, image, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32))


@pytest.fixture(scope="module")
def images(sample_root: Path) -> dict[str, np.ndarray]:
    names = ("train/sharp/astronaut_03", "train/sharp/coins_04", "test/sharp/chelsea_01", "test/sharp/rocket_03")
    return {name[-5:]: read_image(sample_root / f"{name}.png") for name in names}


def _jpeg(image: np.ndarray) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 70])[1], cv2.IMREAD_COLOR)


CHANGES = {
    "jpeg": _jpeg,
    "half the size": lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "brighter": lambda image: np.clip(image * 1.1 + 4, 0, 255).astype(np.uint8),
    "noise": lambda image: np.clip(image + np.random.default_rng(0).normal(0, 5, image.shape), 0, 255).astype(np.uint8),
    "next frame": lambda image: np.roll(image, (1, 2), (0, 1)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_near_duplicates_are_found_and_nothing_else(images: dict[str, np.ndarray], change: str) -> None:
    first = [_print(key, image) for key, image in images.items()]
    second = [_print(f"copy of {key}", CHANGES[change](image)) for key, image in images.items()]
    found = overlap(first, second)
    assert found.exact == []
    assert found.near == [(key, f"copy of {key}") for key in images]


def test_exact_duplicates_are_not_near_ones_too(images: dict[str, np.ndarray]) -> None:
    prints = [_print(key, image) for key, image in images.items()]
    found = overlap(prints, prints[1:])
    assert found.exact == [(image.key, image.key) for image in prints[1:]]
    assert found.near == []
    assert overlap([], prints).exact == []


def test_flat_images_are_compared_by_their_pixels_only() -> None:
    skies = [_print(str(level), np.full((64, 64, 3), level, np.uint8)) for level in (20, 200)]
    assert overlap(skies[:1], skies[1:]).near == []
    assert overlap(skies, skies).exact == [("20", "20"), ("200", "200")]


def test_digests_tell_shape_and_depth_apart() -> None:
    black = np.zeros((4, 6, 3), np.uint8)
    assert digest(black) == digest(black[::-1])
    assert len({digest(black), digest(black.transpose(1, 0, 2)), digest(np.zeros((2, 6, 3), np.uint16))}) == 3


def test_repeated_groups() -> None:
    assert repeated([("a", "1"), ("b", "2"), ("c", "1"), ("d", "3")]) == [["a", "c"]]
