from __future__ import annotations

import numpy as np
import pytest

from deblurkit.data.camera_shake import CameraShake
from deblurkit.errors import UserError
from deblurkit.registry import TRANSFORMS


def test_a_fresh_blur_depends_on_the_random_numbers_alone(photograph: np.ndarray) -> None:
    transform = TRANSFORMS.build({"type": "CameraShake", "extent": [5.0, 13.0], "margin": 13})
    pair = {"blurred": np.zeros_like(photograph), "sharp": photograph}
    first, again, other = (transform(pair, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first["blurred"], again["blurred"])
    assert (first["blurred"] != other["blurred"]).mean() > 0.5
    height, width = photograph.shape[:2]
    assert first["blurred"].shape == first["sharp"].shape == (height - 26, width - 26, 3)
    np.testing.assert_array_equal(first["sharp"], photograph[13:-13, 13:-13])


def test_no_movement_leaves_the_sensors_noise_alone(photograph: np.ndarray) -> None:
    still = CameraShake(extent=[0.0, 0.0], roll=[0.0, 0.0], margin=0)
    pair = still({"sharp": photograph}, np.random.default_rng(0))
    error = pair["blurred"].astype(float) - photograph
    assert abs(error.mean()) < 0.1
    assert 0.5 < error.std() < 2.5


def test_what_it_cannot_do_is_said(photograph: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match="needs a sharp image of 8 bits"):
        CameraShake()({"blurred": photograph}, rng)
    with pytest.raises(UserError, match="cuts 13 pixels off each side"):
        CameraShake()({"sharp": photograph[:26, :26]}, rng)
    with pytest.raises(ValueError, match="extent: got"):
        CameraShake(extent=[13.0, 5.0])
