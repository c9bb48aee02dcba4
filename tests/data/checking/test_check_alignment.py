from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from deblurkit.data.checking.alignment import ALIKE, TRUSTED, align
from deblurkit.data.images import read_image

_MARGIN = 16


def _grey(path: Path) -> np.ndarray:
    return cv2.cvtColor(read_image(path), cv2.COLOR_RGB2GRAY).astype(np.float32)


def _pairs(root: Path, every: int) -> list[tuple[np.ndarray, np.ndarray]]:
    files = [file for split in ("train", "test") for file in sorted((root / split / "blurred").iterdir())[::every]]
    return [(_grey(file), _grey(file.parents[1] / "sharp" / file.name)) for file in files]


def test_shifts_of_shaken_photographs_are_measured(sample_root: Path) -> None:
    rng = np.random.default_rng(0)
    errors = []
    for blurred, sharp in _pairs(sample_root, every=5):
        x, y = (int(shift) for shift in rng.integers(-12, 13, 2))
        inside = slice(_MARGIN, -_MARGIN)
        moved = np.roll(blurred, (y, x), (0, 1))[inside, inside]
        found = align(np.ascontiguousarray(moved), np.ascontiguousarray(sharp[inside, inside]))
        assert found is not None
        errors.append(np.hypot(found.x - x, found.y - y))
    assert np.median(errors) < 0.4
    assert np.percentile(errors, 90) < 1.2


def test_a_fraction_of_a_pixel(sample_root: Path) -> None:
    sharp = _grey(sample_root / "test" / "sharp" / "coffee_02.png")
    matrix = np.array([[1, 0, 1.3], [0, 1, -0.6]], np.float32)
    moved = cv2.warpAffine(sharp, matrix, sharp.shape[::-1], borderMode=cv2.BORDER_REFLECT)
    found = align(moved, sharp)
    assert found is not None
    assert (found.x, found.y) == pytest.approx((1.3, -0.6), abs=0.1)
    assert found.distance == pytest.approx(np.hypot(1.3, 0.6), abs=0.1)
    assert found.likeness > 0.98


def test_large_images_are_reduced_and_measured_in_their_own_pixels(sample_root: Path) -> None:
    large = cv2.resize(_grey(sample_root / "test" / "sharp" / "chelsea_01.png"), (1500, 900))
    found = align(np.roll(large, (-9, 21), (0, 1))[40:-40, 40:-40], large[40:-40, 40:-40])
    assert found is not None
    assert (found.x, found.y) == pytest.approx((21, -9), abs=0.5)


def test_different_photographs_do_not_correlate(sample_root: Path) -> None:
    names = ("chelsea_01", "coffee_02", "rocket_03")
    images = [_grey(sample_root / "test" / "sharp" / f"{name}.png") for name in names]
    for first, second in ((0, 1), (1, 2), (2, 0)):
        found = align(images[first], images[second])
        assert found is not None
        assert found.likeness < ALIKE


def test_a_shift_under_very_wide_blur_is_not_trusted(sample_root: Path) -> None:
    sharp = _grey(sample_root / "test" / "sharp" / "coffee_02.png")
    found = align(cv2.blur(sharp, (90, 90)), sharp)
    assert found is None or found.likeness < TRUSTED


def test_nothing_to_align() -> None:
    flat, tiny = np.full((100, 100), 7, np.float32), np.random.default_rng(0).random((9, 9), np.float32) * 255
    assert align(flat, flat) is None
    assert align(tiny, tiny) is None
