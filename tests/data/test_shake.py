from __future__ import annotations

import numpy as np
import pytest

from deblurkit.data.shake import (
    Trajectory,
    add_sensor_noise,
    expose,
    linear_to_srgb,
    random_trajectory,
    shake,
    srgb_to_linear,
)


def _line(x: list[float], y: list[float], roll_deg: list[float]) -> Trajectory:
    return Trajectory(np.array(x), np.array(y), np.array(roll_deg))


def test_encoding_and_decoding_are_inverse() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 256, 1)
    np.testing.assert_array_equal(linear_to_srgb(srgb_to_linear(levels)), levels)
    assert srgb_to_linear(np.array([188], np.uint8))[0] == pytest.approx(0.5, abs=0.004)


@pytest.mark.parametrize("extent", [0.0, 5.0, 13.0])
def test_a_trajectory_is_as_asked(extent: float) -> None:
    for seed in range(10):
        path = random_trajectory(np.random.default_rng(seed), extent, roll_range_deg=0.7)
        assert path.extent == pytest.approx(extent)
        assert np.ptp(path.roll_deg) == pytest.approx(0.7)
        assert abs(path.x.mean()) + abs(path.y.mean()) + abs(path.roll_deg.mean()) < 1e-9
        steps = np.hypot(np.diff(path.x), np.diff(path.y))
        assert steps.max(initial=0) <= 0.2 * extent  # smooth: no jumps
    again = random_trajectory(np.random.default_rng(9), extent, roll_range_deg=0.7)
    np.testing.assert_array_equal(path.x, again.x)


def test_no_motion_changes_nothing(photograph: np.ndarray) -> None:
    still = random_trajectory(np.random.default_rng(1), 0.0)
    np.testing.assert_array_equal(shake(photograph, still), photograph)


def test_whole_pixels_shift_right_and_down(photograph: np.ndarray) -> None:
    moved = shake(photograph, _line([3], [2], [0]))
    np.testing.assert_array_equal(moved[10:-10, 10:-10], photograph[8:-12, 7:-13])


def test_roll_turns_about_the_centre_and_varies_over_the_image() -> None:
    linear = np.zeros((101, 101, 3), np.float32)
    linear[50, 50] = linear[50, 90] = 1
    turned = expose(linear, _line([0, 0], [0, 0], [-5, 5]))
    assert turned[50, 50, 0] == pytest.approx(1, abs=1e-4)
    assert turned[50, 90, 0] < 0.5  # 40 pixels from the centre 5 degrees are 3.5 pixels


def test_light_is_averaged_linearly() -> None:
    linear = np.zeros((41, 41, 3), np.float32)
    linear[20, 20] = 1
    blurred = expose(linear, random_trajectory(np.random.default_rng(3), 9.0, 1.0))
    assert blurred.sum() == pytest.approx(linear.sum(), rel=1e-3)
    rows, columns = np.indices((41, 41))
    assert (blurred[..., 0] * columns).sum() == pytest.approx(20, abs=0.1)  # aligned: the blur's centre stays
    assert (blurred[..., 0] * rows).sum() == pytest.approx(20, abs=0.1)
    stripes = np.zeros((1, 40, 3), np.uint8).repeat(40, axis=0)
    stripes[:, ::2] = 255
    halves = shake(stripes, _line([-0.5, 0.5], [0, 0], [0, 0]))[10:-10, 10:-10]
    assert abs(int(np.median(halves)) - 188) <= 1  # half the light is 188 in sRGB, not 128


def test_a_plain_wall_stays_plain_but_for_noise() -> None:
    wall = np.full((96, 96, 3), 128, np.uint8)
    path = random_trajectory(np.random.default_rng(5), 13.0, 1.0)
    np.testing.assert_array_equal(shake(wall, path), wall)
    noisy = shake(wall, path, np.random.default_rng(6)).astype(float)
    assert noisy.mean() == pytest.approx(128, abs=0.1)
    assert 0.8 < noisy.std() < 2.0


def test_the_noise_has_the_stated_variance() -> None:
    light = np.full((200, 200, 3), 0.25, np.float32)
    noise = add_sensor_noise(light, np.random.default_rng(0), full_well=1000.0, read_noise=4.0) - light
    assert noise.var() == pytest.approx((0.25 * 1000 + 4**2) / 1000**2, rel=0.03)


def test_the_generator_decides(photograph: np.ndarray) -> None:
    def draw(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        return shake(photograph, random_trajectory(rng, 8.0, 0.5), rng)

    np.testing.assert_array_equal(draw(1), draw(1))
    assert not np.array_equal(draw(1), draw(2))
