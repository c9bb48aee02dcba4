"""What every registered transform keeps to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import skimage.data

from deblurkit.errors import UserError
from deblurkit.registry import TRANSFORMS

ARGUMENTS: dict[str, dict[str, Any]] = {
    "Resize": {"size": [40, 56]},
    "RandomCrop": {"size": [32, 48]},
    "RandomResizedCrop": {"size": [32, 48], "scale": [0.5, 2.0]},
    "RandomRotatedCrop": {"size": [32, 48], "degrees": 25},
    "CameraShake": {"extent": [2.0, 5.0], "margin": 6, "steps": 4},
    "ColourJitter": {"shuffle": True},
    "CutBlur": {"probability": 1.0},
    "Mixup": {"probability": 1.0},
}
"""Where a transform has arguments that it needs, or some that make this test see more."""
NEW_BLUR = {"CameraShake"}
EIGHT_BITS_ONLY = {"CameraShake"}
WITHOUT_CHANCE = {"Resize"}

PHOTOGRAPH = skimage.data.chelsea()[60:180, 100:260]


def pair_of(dtype: type) -> dict[str, np.ndarray]:
    image = PHOTOGRAPH.astype(dtype) * (257 if dtype is np.uint16 else 1)
    return {"blurred": image, "sharp": image.copy()}


@pytest.fixture(params=TRANSFORMS.names())
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def call(name: str) -> Callable[..., dict[str, np.ndarray]]:
    transform = TRANSFORMS.build({"type": name, **ARGUMENTS.get(name, {})})

    def called(pair: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
        partner = {side: image[::-1] for side, image in pair.items()}
        more = [lambda: partner] if getattr(transform, "needs_partner", False) else []
        return transform(pair, np.random.default_rng(seed), *more)

    return called


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_pair_stays_a_pair(name: str, call: Callable[..., Any], dtype: type):
    pair = pair_of(dtype)
    if dtype is np.uint16 and name in EIGHT_BITS_ONLY:
        with pytest.raises(UserError, match="8 bits"):
            call(pair, 0)
        return
    seen = set()
    for seed in range(12):
        result = call(pair, seed)
        assert list(result) == ["blurred", "sharp"]
        assert {image.dtype for image in result.values()} == {np.dtype(dtype)}
        assert result["blurred"].shape == result["sharp"].shape
        assert result["blurred"].shape[2] == 3
        if name not in NEW_BLUR:
            np.testing.assert_array_equal(result["blurred"], result["sharp"])
        again = call(pair, seed)
        for side, image in result.items():
            np.testing.assert_array_equal(image, again[side])
        seen.add(result["blurred"].tobytes())
    assert name in WITHOUT_CHANCE | {"CutBlur"} or len(seen) > 1
    for side, image in pair_of(dtype).items():
        np.testing.assert_array_equal(pair[side], image, err_msg="what it was given is changed")


def test_nothing_wraps_around(call: Callable[..., Any]):
    """Light grey becomes lighter or somewhat darker, never black, whatever is drawn."""
    grey = {side: np.full((120, 160, 3), 250, np.uint8) for side in ("blurred", "sharp")}
    for seed in range(8):
        assert min(image.min() for image in call(grey, seed).values()) > 60


def test_a_blurred_image_alone(name: str, call: Callable[..., Any]):
    alone = {"blurred": PHOTOGRAPH}
    if name in {"CameraShake", "CutBlur"}:
        with pytest.raises(UserError, match="needs a sharp image"):
            call(alone, 0)
    else:
        np.testing.assert_array_equal(call(alone, 0)["blurred"], call(pair_of(np.uint8), 0)["blurred"])
