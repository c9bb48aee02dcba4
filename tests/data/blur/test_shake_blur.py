from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from point_paths import displaced

from deblurkit.data.blur.shake_blur import Shake, check_margin
from deblurkit.data.shake import linear_to_srgb, srgb_to_linear
from deblurkit.errors import UserError
from deblurkit.registry import BLURS

SIZE = (144, 176)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"extent": [5, 3]}, "extent: got [5, 3], expected [least, greatest], not negative"),
        ({"roll": [0, 90]}, "roll: got [0, 90], expected [least, greatest], from 0 to 45"),
        ({"tilt": [1]}, "tilt: got [1]"),
        ({"focal": 0}, "focal: got 0"),
        ({"jerk": 24}, "jerk: got 24, expected a number of turns from 0 to steps - 1 = 23"),
        ({"jerk": float("nan")}, "jerk: got nan"),
        ({"wander": -1.0}, "wander: got -1.0, expected a number that is not negative"),
        ({"wander": float("nan")}, "wander: got nan"),
        ({"extent": 5}, "extent: got 5, expected [least, greatest]"),
        ({"extent": "5"}, "extent: got '5', expected [least, greatest]"),
        ({"extent": ["a", "b"]}, "extent: got ['a', 'b'], expected [least, greatest]"),
        ({"extent": [2, float("inf")]}, "extent: got [2, inf], expected [least, greatest]"),
        ({"extent": [float("nan")] * 2}, "extent: got [nan, nan], expected [least, greatest]"),
        ({"focal": float("inf")}, "focal: got inf, expected a length in pixels, a finite number above 0"),
        ({"exposure": 0}, "exposure: got 0, expected a share of the frame interval"),
        ({"margin": -1}, "margin: got -1"),
        ({"steps": 1}, "steps: got 1"),
        ({"cells": -1}, "cells: got -1"),
    ],
)
def test_refuses_wrong_arguments(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError) as caught:
        BLURS.build({"type": "Shake", **arguments}, where="blur")
    assert str(caught.value).startswith("blur: Shake: ")
    assert problem in str(caught.value)


def test_the_path_is_as_long_as_asked() -> None:
    blur = Shake(extent=[6, 12], roll=[0, 0], tilt=[0, 0], margin=16)
    extents = []
    for seed in range(60):
        moved = blur.draw(SIZE, np.random.default_rng(seed))["homographies"]
        assert moved.shape == (24, 3, 3)
        points = moved[:, 0, 2] + 1j * moved[:, 1, 2]
        extents.append(np.abs(points[:, None] - points).max())
    assert 6 <= min(extents) < 7
    assert 11 < max(extents) <= 12


def test_the_exposure_scales_the_path() -> None:
    whole, half = (Shake(exposure=share, margin=60).draw(SIZE, np.random.default_rng(1)) for share in (1.0, 0.5))
    whole_shift, half_shift = (displaced(drawn["homographies"], 88, 72) - (88, 72) for drawn in (whole, half))
    np.testing.assert_allclose(half_shift, whole_shift / 2, atol=0.05)


def test_a_shake_may_be_straight() -> None:
    straight = Shake(roll=(0, 0), tilt=(0, 0), jerk=0, wander=0).draw(SIZE, np.random.default_rng(1))
    np.testing.assert_allclose(np.diff(straight["homographies"], 2, axis=0), 0, atol=1e-9)


def test_jerks_change_the_path() -> None:
    smooth, jerked = (Shake(jerk=jerk, margin=60).draw(SIZE, np.random.default_rng(1)) for jerk in (0.0, 23.0))

    def mean_turn(drawn: dict[str, np.ndarray]) -> float:
        course = np.diff(drawn["homographies"][:, 0, 2] + 1j * drawn["homographies"][:, 1, 2])
        return float(np.abs(np.angle(course[1:] / course[:-1])).mean())

    assert mean_turn(jerked) > 2 * mean_turn(smooth)


def test_the_margin_holds_the_reach_and_the_taps_of_bicubic_interpolation() -> None:
    check_margin("Shake", 8, 5.2, SIZE)
    with pytest.raises(UserError, match="set margin: 8,"):
        check_margin("Shake", 7, 5.2, SIZE)


def test_a_margin_too_small_names_the_one_that_does() -> None:
    blur = Shake(extent=[3, 20], margin=8)
    with pytest.raises(
        UserError, match=r"Shake: margin: got 8, .* in an image of 128 x 160 .*: set margin: (\d+)"
    ) as at:
        blur.draw(SIZE, np.random.default_rng(0))
    needed = int(str(at.value).split("set margin: ")[1].split(",")[0])
    kept = (SIZE[0] - 16, SIZE[1] - 16)
    enough = Shake(extent=[3, 20], margin=needed)
    enough.draw((kept[0] + 2 * needed, kept[1] + 2 * needed), np.random.default_rng(0))


def test_the_defaults_serve_a_crop_of_256_and_a_720p_frame() -> None:
    for height, width in ((256, 256), (720, 1280)):
        blur = Shake()
        blur.draw((height + 2 * blur.margin, width + 2 * blur.margin), np.random.default_rng(0))


@pytest.mark.parametrize(("focal", "size"), [(100.0, (512, 512)), (200.0, (720, 1280))])
def test_too_much_tilt_for_the_focal_length_is_refused(focal: float, size: tuple[int, int]) -> None:
    blur = Shake(extent=[0, 2], tilt=[20, 20], focal=focal, margin=8)
    with pytest.raises(UserError, match="Shake: tilt: too much tilt for this focal length"):
        blur.draw((size[0] + 16, size[1] + 16), np.random.default_rng(0))


def test_the_blur_differs_between_centre_and_corner_by_roll_and_tilt() -> None:
    def difference(**ranges: Any) -> float:
        drawn = Shake(margin=60, focal=300.0, **ranges).draw(SIZE, np.random.default_rng(3))["homographies"]
        return float(np.hypot(*((displaced(drawn, 0, 0)) - (displaced(drawn, 87.5, 71.5) - (87.5, 71.5))).T).max())

    assert difference(roll=[0, 0], tilt=[0, 0]) == pytest.approx(0, abs=1e-9)
    assert difference(roll=[2, 2], tilt=[0, 0]) > 1
    assert difference(roll=[0, 0], tilt=[3, 3]) > 0.5


def test_longer_paths_blur_a_photograph_more(photograph: np.ndarray) -> None:
    linear = srgb_to_linear(photograph)

    def psnr(extent: float) -> float:
        blur = Shake(extent=[extent, extent], roll=[0, 0], tilt=[0, 0], margin=30)
        blurred, _ = blur.expose(linear, blur.draw(linear.shape[:2], np.random.default_rng(4)))
        difference = linear_to_srgb(blurred).astype(float) - photograph
        return float(10 * np.log10(255**2 / (difference**2).mean()))

    values = [psnr(extent) for extent in (2.0, 6.0, 18.0)]
    assert values[0] > values[1] + 2 > values[2] + 4
