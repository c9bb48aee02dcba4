from __future__ import annotations

import math

import numpy as np
import pytest
from point_paths import displaced, kernel_at

from deblurkit.data.blur.trajectory import (
    CameraPath,
    camera_homographies,
    greatest_reach,
    object_homographies,
    random_camera_path,
    with_jerks,
)
from deblurkit.data.shake import Trajectory, random_trajectory

SIZE = (201, 301)
CENTRE = (150.0, 100.0)
CORNERS = [(0.0, 0.0), (300.0, 0.0), (0.0, 200.0), (300.0, 200.0)]


def path(x: float = 0, y: float = 0, roll: float = 0, yaw: float = 0, pitch: float = 0) -> CameraPath:
    return CameraPath(*(np.array([value], dtype=float) for value in (x, y, roll, yaw, pitch)))


def test_shift_moves_every_point_right_and_down() -> None:
    moved = camera_homographies(path(x=3, y=2), SIZE)
    np.testing.assert_allclose(moved, [[[1, 0, 3], [0, 1, 2], [0, 0, 1]]], atol=1e-12)


def test_roll_turns_about_the_centre_and_leaves_it() -> None:
    moved = camera_homographies(path(roll=90), SIZE)
    np.testing.assert_allclose(displaced(moved, *CENTRE), [CENTRE], atol=1e-9)
    np.testing.assert_allclose(displaced(moved, CENTRE[0] + 10, CENTRE[1]), [(150, 110)], atol=1e-9)


def test_tilt_moves_the_centre_by_the_focal_length_times_its_tangent() -> None:
    focal = 800.0
    step = focal * np.tan(np.deg2rad(1.5))
    yawed = displaced(camera_homographies(path(yaw=1.5), SIZE, focal), *CENTRE)
    np.testing.assert_allclose(yawed, [(150 + step, 100)], atol=1e-9)
    pitched = displaced(camera_homographies(path(pitch=1.5), SIZE, focal), *CENTRE)
    np.testing.assert_allclose(pitched, [(150, 100 + step)], atol=1e-9)


def test_the_picture_is_tilted_before_it_is_rolled() -> None:
    step = 500 * np.tan(np.deg2rad(2))
    moved = camera_homographies(path(roll=90, yaw=2), SIZE, focal=500.0)
    np.testing.assert_allclose(displaced(moved, *CENTRE), [(150, 100 + step)], atol=1e-9)


def test_tilt_moves_the_side_it_turns_to_further_than_the_centre() -> None:
    """A point at angle a from the axis goes from f tan(a) to f tan(a + yaw): perspective, which no shift has."""
    focal = 400.0
    moved = camera_homographies(path(yaw=2), SIZE, focal)
    away = displaced(moved, 300, 100)[0, 0] - 150
    assert away == pytest.approx(focal * np.tan(np.arctan(150 / focal) + np.deg2rad(2)))
    assert away - 150 > 1.1 * (displaced(moved, *CENTRE)[0, 0] - 150)


def test_an_object_turns_and_grows_about_its_centre() -> None:
    motion = Trajectory(np.array([4.0]), np.array([-1.0]), np.array([90.0]))
    moved = object_homographies(motion, np.array([2.0]), (20.0, 30.0))
    np.testing.assert_allclose(displaced(moved, 20, 30), [(24, 29)], atol=1e-9)
    np.testing.assert_allclose(displaced(moved, 21, 30), [(24, 31)], atol=1e-9)


@pytest.mark.parametrize("size", [(201, 301), (360, 360), (719, 1281), (3001, 4000)])
@pytest.mark.parametrize("focal", [777.7, 1000.0, 3117.0])
def test_a_camera_at_rest_is_the_identity_to_the_last_bit(size: tuple[int, int], focal: float) -> None:
    np.testing.assert_array_equal(camera_homographies(path(), size, focal), [np.eye(3)])


@pytest.mark.parametrize("jerk", [0.0, 2.3, 23.0])
def test_a_camera_path_is_as_asked(jerk: float) -> None:
    for seed in range(10):
        drawn = random_camera_path(np.random.default_rng(seed), 9.0, 0.7, 0.3, 24, jerk)
        assert drawn.extent == pytest.approx(9)
        assert np.ptp(drawn.roll_deg) == pytest.approx(0.7)
        assert Trajectory(drawn.yaw_deg, drawn.pitch_deg, drawn.roll_deg).extent == pytest.approx(0.3)
        for values in (drawn.x, drawn.y, drawn.roll_deg, drawn.yaw_deg, drawn.pitch_deg):
            assert values.shape == (24,)
            assert values.mean() == pytest.approx(0, abs=1e-9)


def test_nothing_moves_where_nothing_is_asked_for() -> None:
    still = random_camera_path(np.random.default_rng(0), 0.0, 0.0, 0.0, 8, jerk=0.5)
    np.testing.assert_array_equal(camera_homographies(still, SIZE), np.broadcast_to(np.eye(3), (8, 3, 3)))


@pytest.mark.parametrize("steps", [20, 80])
def test_jerks_turn_the_path_as_often_as_asked_whatever_the_steps(steps: int) -> None:

    def turns(track: Trajectory) -> np.ndarray:
        return np.angle(np.exp(1j * np.diff(np.unwrap(np.angle(np.diff(track.x + 1j * track.y))))))

    counts = []
    for seed in range(300):
        smooth = random_trajectory(np.random.default_rng(seed), 10.0, 1.0, steps=steps)
        jerked = with_jerks(smooth, np.random.default_rng(1000 + seed), 2.0)
        counts.append(np.sum(np.abs(np.angle(np.exp(1j * (turns(jerked) - turns(smooth))))) > 1e-6))
        np.testing.assert_array_equal(jerked.roll_deg, smooth.roll_deg)
    assert np.mean(counts) == pytest.approx(2, abs=0.3)


def test_a_path_that_does_not_wander_is_straight_and_even() -> None:
    for seed in range(5):
        drawn = random_camera_path(np.random.default_rng(seed), 9.0, 0.7, 0.3, 24, wander=0.0)
        for values in (drawn.x, drawn.y, drawn.roll_deg, drawn.yaw_deg, drawn.pitch_deg):
            np.testing.assert_allclose(np.diff(values, 2), 0, atol=1e-9)
        assert drawn.extent == pytest.approx(9)


def test_a_kernel_sums_to_one_and_lies_where_the_trajectory_says() -> None:
    for seed in range(5):
        drawn = random_camera_path(np.random.default_rng(seed), 12.0, 1.0, 0.4, 32, 1.5)
        moved = camera_homographies(drawn, SIZE)
        for x, y in [CENTRE, *CORNERS]:
            kernel = kernel_at(moved, x, y)
            assert kernel.shape[0] == kernel.shape[1]
            assert kernel.shape[0] % 2 == 1
            assert kernel.min() >= 0
            assert kernel.sum() == pytest.approx(1)
            rows, columns = np.indices(kernel.shape) - kernel.shape[0] // 2
            mean = ((kernel * columns).sum(), (kernel * rows).sum())
            np.testing.assert_allclose(mean, displaced(moved, x, y).mean(axis=0) - (x, y), atol=1e-9)


def test_a_kernel_of_whole_steps_is_exact() -> None:
    drawn = CameraPath(*np.array([[-1, 0, 1], [2, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]], dtype=float))
    expected = np.zeros((5, 5))
    expected[4, 1] = expected[2, 2] = expected[2, 3] = 1 / 3
    np.testing.assert_allclose(kernel_at(camera_homographies(drawn, SIZE), 40, 50), expected, atol=1e-9)


@pytest.mark.parametrize(("extent", "roll", "tilt"), [(10, 0, 0), (0, 2, 0), (0, 0, 1), (8, 1, 0.5)])
def test_no_path_reaches_beyond_the_bound(extent: float, roll: float, tilt: float) -> None:
    bound, furthest = greatest_reach(SIZE, extent, roll, tilt), 0.0
    for seed in range(100):
        drawn = random_camera_path(np.random.default_rng(seed), extent, roll, tilt, 16, 0.8)
        moved = camera_homographies(drawn, SIZE)
        for homographies in (moved, np.linalg.inv(moved)):
            for x, y in CORNERS:
                away = displaced(homographies, x, y) - (x, y)
                furthest = max(furthest, np.hypot(*away.T).max())
    assert 0.5 * bound < furthest <= bound


@pytest.mark.parametrize(
    ("focal", "tilt", "bounded"), [(100.0, 20.0, False), (140.0, 25.0, False), (600.0, 20.0, True)]
)
def test_there_is_no_bound_where_a_corner_could_turn_out_of_view(focal: float, tilt: float, bounded: bool) -> None:
    bound = greatest_reach((512, 512), 0.0, 0.0, tilt, focal)
    assert bound > 0
    assert math.isfinite(bound) == bounded
