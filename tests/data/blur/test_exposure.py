from __future__ import annotations

import cv2
import numpy as np
import pytest
from point_paths import displaced, kernel_at

from deblurkit.data import shake
from deblurkit.data.blur.exposure import Layer, compose, expose, warp
from deblurkit.data.blur.trajectory import (
    CameraPath,
    camera_homographies,
    object_homographies,
    random_camera_path,
)
from deblurkit.data.shake import random_trajectory

SIZE = (121, 161)
# OpenCV 4 rounds places to 1/32 of a pixel, which of two may differ.
GREATEST_DIFFERENCE = 1e-5 if int(cv2.__version__.split(".")[0]) >= 5 else 2e-2


def homographies(seed: int, size: tuple[int, int] = SIZE, extent: float = 9.0, tilt: float = 0.3) -> np.ndarray:
    return camera_homographies(random_camera_path(np.random.default_rng(seed), extent, 1.5, tilt, 24, 1.2), size)


def shifts(*places: tuple[float, float]) -> np.ndarray:
    moved = np.broadcast_to(np.eye(3), (len(places), 3, 3)).copy()
    moved[:, :2, 2] = places
    return moved


def centroid(light: np.ndarray, x: int, y: int, radius: int = 30) -> np.ndarray:
    """The mean place of the light within ``radius`` of a point."""
    rows, columns = np.indices(light.shape)
    near = light * (np.hypot(columns - x, rows - y) <= radius)
    return np.array([(near * columns).sum(), (near * rows).sum()]) / near.sum()


def test_agrees_with_the_model_of_shift_and_roll(photograph: np.ndarray) -> None:
    linear = shake.srgb_to_linear(photograph)
    path = shake.random_trajectory(np.random.default_rng(1), 9.0, 1.5)
    still = np.zeros_like(path.x)
    moved = camera_homographies(CameraPath(path.x, path.y, path.roll_deg, still, still), linear.shape[:2])
    np.testing.assert_allclose(expose(linear, moved), shake.expose(linear, path), atol=3e-3)


def test_a_constant_image_stays_constant() -> None:
    wall = np.full((*SIZE, 3), 0.37, np.float32)
    np.testing.assert_allclose(expose(wall, homographies(2)), wall, atol=1e-5)


def test_whole_pixels_are_moved_exactly(photograph: np.ndarray) -> None:
    linear = shake.srgb_to_linear(photograph)
    moved = expose(linear, shifts((3, 2), (3, 2)))
    np.testing.assert_allclose(moved[10:-10, 10:-10], linear[8:-12, 7:-13], atol=1e-6)


def test_mean_light_is_kept_inside_the_margin(photograph: np.ndarray) -> None:
    """Away from the border light only moves; what crosses the window's edge is a small part of what lies in it."""
    linear = shake.srgb_to_linear(photograph)
    kept = slice(20, -20)
    for seed in range(4):
        blurred = expose(linear, homographies(seed, linear.shape[:2]))
        assert blurred[kept, kept].mean() == pytest.approx(linear[kept, kept].mean(), rel=0.02)
        assert blurred[kept, kept].std() < linear[kept, kept].std()


@pytest.mark.parametrize(("x", "y"), [(80, 60), (30, 30), (130, 90)])
def test_a_point_of_light_draws_the_trajectory(x: int, y: int) -> None:
    linear = np.zeros((*SIZE, 3), np.float32)
    linear[y, x] = 1
    for seed in range(3):
        moved = homographies(seed)
        drawn = expose(linear, moved)[..., 0]
        assert drawn.sum() == pytest.approx(1, rel=0.02)
        places = displaced(moved, x, y)
        np.testing.assert_allclose(centroid(drawn, x, y), places.mean(axis=0), atol=0.1)
        rows, columns = np.indices(SIZE)
        nearest = np.hypot(columns[..., None] - places[:, 0], rows[..., None] - places[:, 1]).min(axis=2)
        assert np.abs(drawn[nearest > 3]).max() == pytest.approx(0, abs=1e-6)
        kernel = kernel_at(moved, x, y)
        radius = kernel.shape[0] // 2
        around = drawn[y - radius : y + radius + 1, x - radius : x + radius + 1]
        assert np.corrcoef(around.ravel(), kernel.ravel())[0, 1] > 0.9


def test_roll_and_tilt_spread_a_corner_as_the_homography_says() -> None:
    """Roll alone leaves the centre sharp; a corner's light spreads along its own arc, by the predicted variance."""
    rng = np.random.default_rng(5)
    path = random_camera_path(rng, 0.0, 4.0, 0.0, 24)
    moved = camera_homographies(path, SIZE)
    linear = np.zeros((*SIZE, 3), np.float32)
    points = [(80, 60), (20, 20), (140, 20)]
    for x, y in points:
        linear[y, x] = 1
    drawn = expose(linear, moved)[..., 0]
    assert drawn[60, 80] == pytest.approx(1, abs=1e-3)
    rows, columns = np.indices(SIZE)
    for x, y in points[1:]:
        near = drawn * (np.hypot(columns - x, rows - y) <= 15)
        offsets = np.stack([columns - x, rows - y])
        spread = np.einsum("hw,ihw,jhw->ij", near, offsets, offsets) / near.sum()
        predicted = displaced(moved, x, y) - (x, y)
        np.testing.assert_allclose(spread, predicted.T @ predicted / len(predicted), atol=0.15)
        assert np.trace(spread) > 0.5


def test_kernels_differ_between_corners_only_where_the_camera_turns() -> None:
    def variation(roll: float, tilt: float) -> float:
        path = random_camera_path(np.random.default_rng(6), 9.0, roll, tilt, 24)
        moved = camera_homographies(path, SIZE, focal=200.0)
        centre = displaced(moved, 80, 60) - (80, 60)
        corner = displaced(moved, 0, 0)
        return float(np.hypot(*(corner - centre).T).max())

    assert variation(0, 0) == pytest.approx(0, abs=1e-9)
    assert variation(3, 0) == pytest.approx(100 * np.deg2rad(1.7), rel=0.4)
    assert variation(0, 2) > 0.2


def test_blur_is_aligned_with_the_sharp_image() -> None:
    """The mean shift of the point spread function is the second order that angles leave: hundredths of a pixel."""
    means = [
        displaced(homographies(seed), x, y).mean(axis=0) - (x, y)
        for seed in range(50)
        for x in (0, 80)
        for y in (0, 60)
    ]
    assert np.abs(means).max() < 0.05
    linear = np.zeros((*SIZE, 3), np.float32)
    linear[60, 80] = 1
    np.testing.assert_allclose(centroid(expose(linear, homographies(7))[..., 0], 80, 60), (80, 60), atol=0.1)


def layer(colour: float, path: np.ndarray) -> Layer:
    light = np.zeros((41, 41, 4), np.float32)
    light[15:26, 15:26] = (colour, colour, colour, 1)
    return Layer(light, path)


def test_an_object_covers_each_place_for_its_share_of_the_time() -> None:
    """Half the exposure 4 pixels to the left, half 4 to the right, over a background of 0.2."""
    background = np.full((41, 41, 3), 0.2, np.float32)
    moving = layer(1.0, shifts((-4, 0), (4, 0)))
    blurred = expose(background, shifts((0, 0), (0, 0)), [moving])
    row = blurred[20, :, 0]
    np.testing.assert_allclose(row[[5, 12, 20, 28, 35]], [0.2, 0.6, 1.0, 0.6, 0.2], atol=1e-5)
    sharp = compose(background, [moving])
    np.testing.assert_allclose(sharp[20, [14, 15, 25, 26], 0], [0.2, 1, 1, 0.2])
    assert blurred.sum() == pytest.approx(sharp.sum(), rel=1e-5)


def test_later_objects_are_in_front_and_the_camera_moves_all() -> None:
    background = np.zeros((41, 41, 3), np.float32)
    still = shifts((0, 0))
    front_last = expose(background, shifts((5, 0)), [layer(1.0, still), layer(0.5, still)])
    assert front_last[20, 25, 0] == pytest.approx(0.5, abs=1e-5)
    assert front_last[20, 17, 0] == pytest.approx(0, abs=1e-5)


def test_nothing_lies_outside_a_layer_and_the_mirror_image_outside_a_background() -> None:
    image = np.arange(1, 10, dtype=np.float32).reshape(3, 3, 1).repeat(3, axis=2)
    right = shifts((1, 0))[0]
    np.testing.assert_allclose(warp(image, right, mirror=False)[:, 0, 0], 0, atol=1e-6)
    np.testing.assert_allclose(warp(image, right)[:, :, 0], [[2, 1, 2], [5, 4, 5], [8, 7, 8]], atol=1e-5)


def whole(linear: np.ndarray, camera: np.ndarray, layers: list[Layer]) -> np.ndarray:
    """The definition: every frame and every layer warped as a whole."""
    total = np.zeros_like(linear)
    for step, moved in enumerate(camera):
        frame = warp(linear, moved)
        for one in layers:
            laid = warp(one.light, moved @ one.homographies[step], mirror=False)
            frame = laid[..., :3] + (1 - laid[..., 3:]) * frame
        total += frame
    return total / len(camera)


@pytest.mark.parametrize("shaken", [False, True])
@pytest.mark.parametrize("growth", [0.3, 1.0, 3.0])
def test_warping_only_where_objects_are_equals_warping_all(shaken: bool, growth: float) -> None:
    rng = np.random.default_rng(int(10 * growth))
    linear = rng.random((*SIZE, 3), dtype=np.float32)
    camera = homographies(8, tilt=3.0) if shaken else np.broadcast_to(np.eye(3), (24, 3, 3))
    boxes = [(0, 30, 0, 20), (50, 90, 60, 110), (100, 121, 150, 161), (60, 61, 80, 81), (0, 121, 0, 161), (0, 0, 0, 0)]
    layers = []
    for number, (top, bottom, left, right) in enumerate(boxes):
        light = np.zeros((*SIZE, 4), np.float32)
        light[top:bottom, left:right] = rng.random((bottom - top, right - left, 4), dtype=np.float32)
        path = random_trajectory(rng, 60.0, 40.0, 24)
        layers.append(Layer(light, object_homographies(path, np.full(24, growth), (20.0 * number, 15.0 * number))))
    before = linear.copy()
    np.testing.assert_allclose(expose(linear, camera, layers), whole(linear, camera, layers), atol=GREATEST_DIFFERENCE)
    np.testing.assert_array_equal(linear, before)


def test_a_layer_behind_the_camera_is_warped_whole() -> None:
    """Where a corner's depth is not positive, the moved corners bound nothing."""
    linear = np.random.default_rng(9).random((*SIZE, 3), dtype=np.float32)
    light = np.ones((*SIZE, 4), np.float32)
    turned = np.array([[[1, 0, 0], [0, 1, 0], [-0.008, 0, 1]]])
    layers = [Layer(light, np.eye(3)[None])]
    np.testing.assert_allclose(expose(linear, turned, layers), whole(linear, turned, layers), atol=GREATEST_DIFFERENCE)
