from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from point_paths import displaced

from deblurkit.data.blur import object_motion
from deblurkit.data.blur.object_motion import ObjectMotion, random_blob
from deblurkit.data.images import read_image, write_image
from deblurkit.data.shake import srgb_to_linear
from deblurkit.errors import UserError
from deblurkit.registry import BLURS

SMALL: dict[str, Any] = {"extent": [8, 8], "rotation": [2, 2], "margin": 20, "steps": 12, "diameter": [0.4, 0.4]}


@pytest.fixture
def linear(photograph: np.ndarray) -> np.ndarray:
    return srgb_to_linear(photograph)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"objects": 0}, "objects: got 0"),
        ({"feather": 0}, "feather: got 0"),
        ({"diameter": [0.2, 2]}, "diameter: got [0.2, 2], expected [least, greatest], from 0 to 1"),
        ({"masks": "nowhere"}, "masks: nowhere: expected a folder of mask images"),
        ({"feather": float("inf")}, "feather: got inf"),
        ({"camera": {"extnt": [1, 2]}}, "camera: it takes no argument 'extnt' (did you mean 'extent'?); known: extent"),
        ({"camera": {"margin": 3}}, "camera: it takes no argument 'margin'; known: extent, roll, tilt, focal, jerk"),
        ({"camera": {"roll": [2, 1]}}, "camera: roll: got [2, 1]"),
    ],
)
def test_refuses_wrong_arguments(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(UserError) as caught:
        BLURS.build({"type": "ObjectMotion", **arguments})
    assert problem in str(caught.value)


def test_only_the_object_is_blurred_where_the_camera_rests(linear: np.ndarray) -> None:
    blur = ObjectMotion(**SMALL)
    for seed in range(4):
        drawn = blur.draw(linear.shape[:2], np.random.default_rng(seed))
        blurred, sharp = blur.expose(linear, drawn)
        away = np.abs(sharp - blurred).max(axis=2)
        mask = drawn["masks"][0]
        rows, columns = np.nonzero(mask > 0)
        near = np.zeros_like(mask, dtype=bool)
        near[max(0, rows.min() - 20) : rows.max() + 20, max(0, columns.min() - 20) : columns.max() + 20] = True
        assert away[~near].max(initial=0) < 1e-5
        assert away[near].max() > 0.02
        np.testing.assert_array_equal(sharp[mask == 0], linear[mask == 0])


def test_the_sharp_object_is_the_photograph_from_elsewhere(linear: np.ndarray) -> None:
    height, width = linear.shape[:2]
    sides = set()
    for seed in range(8):
        blur = ObjectMotion(**SMALL)
        drawn = blur.draw((height, width), np.random.default_rng(seed))
        _, sharp = blur.expose(linear, drawn)
        right, down = drawn["origins"][0, :2, 2].astype(int)
        assert width / 8 - 1 <= abs(right) <= width / 2
        assert height / 8 - 1 <= abs(down) <= height / 2
        padded = np.pad(linear, ((height // 2, height // 2), (width // 2, width // 2), (0, 0)), mode="reflect")
        top, left = height // 2 - down, width // 2 - right
        elsewhere = padded[top : top + height, left : left + width]
        inside = drawn["masks"][0] == 1
        assert inside.sum() > 100
        np.testing.assert_allclose(sharp[inside], elsewhere[inside], atol=1e-5)
        sides.add((right > 0, down > 0))
    assert len(sides) > 2  # from left, right, above and below


def test_objects_turn_and_grow_about_their_own_centre_with_a_mean_of_zero(linear: np.ndarray) -> None:
    blur = ObjectMotion(**{**SMALL, "scale": [0.1, 0.1], "objects": 2})
    drawn = blur.draw(linear.shape[:2], np.random.default_rng(5))
    assert drawn["paths"].shape == (2, 12, 3, 3)
    for mask, path in zip(drawn["masks"], drawn["paths"], strict=True):
        rows, columns = np.indices(mask.shape)
        x, y = ((mask * where).sum() / mask.sum() for where in (columns, rows))
        places = displaced(path, x, y)
        np.testing.assert_allclose(places.mean(axis=0), (x, y), atol=0.5)
        assert np.ptp(np.sqrt(np.linalg.det(path))) == pytest.approx(0.1)
        assert np.ptp(np.rad2deg(np.arctan2(path[:, 1, 0], path[:, 0, 0]))) == pytest.approx(2)


def test_a_shaken_camera_moves_background_and_object(linear: np.ndarray) -> None:
    shaken = ObjectMotion(**{**SMALL, "margin": 24, "camera": {"extent": [6, 6], "roll": [0, 0], "tilt": [0, 0]}})
    drawn = shaken.draw(linear.shape[:2], np.random.default_rng(6))
    blurred, sharp = shaken.expose(linear, drawn)
    outside = drawn["masks"][0] == 0
    assert np.abs(blurred - sharp)[outside].max() > 0.05
    assert np.ptp(drawn["homographies"][:, 0, 2]) + np.ptp(drawn["homographies"][:, 1, 2]) >= 6


def test_the_cameras_path_can_be_straight(linear: np.ndarray) -> None:
    camera = {"extent": [6, 6], "roll": [0, 0], "tilt": [0, 0], "jerk": 0, "wander": 0}
    drawn = ObjectMotion(**{**SMALL, "margin": 24, "camera": camera}).draw(linear.shape[:2], np.random.default_rng(6))
    steps = np.diff(drawn["homographies"][:, :2, 2], axis=0)
    np.testing.assert_allclose(steps, np.broadcast_to(steps.mean(axis=0), steps.shape), atol=1e-9)


def test_the_exposure_scales_all_paths() -> None:
    camera = {"extent": [6, 6], "roll": [0, 0], "tilt": [0, 0]}
    blurs = [ObjectMotion(**{**SMALL, "margin": 30}, camera=camera, exposure=share) for share in (1.0, 0.25)]
    whole, part = (blur.draw((120, 160), np.random.default_rng(8)) for blur in blurs)
    np.testing.assert_allclose(part["homographies"][:, :2, 2] * 4, whole["homographies"][:, :2, 2], atol=1e-9)
    at = np.array([80.0, 60.0])
    steps = [np.diff(displaced(drawn["paths"][0], *at), axis=0) for drawn in (whole, part)]
    np.testing.assert_allclose(steps[1] * 4, steps[0], atol=0.02)


def test_the_margin_must_hold_camera_and_object() -> None:
    ObjectMotion(**SMALL).draw((120, 160), np.random.default_rng(0))
    with pytest.raises(UserError, match=r"ObjectMotion: margin: got 20, .*: set margin: \d+"):
        ObjectMotion(**SMALL, camera={"extent": [0, 12]}).draw((120, 160), np.random.default_rng(0))
    with pytest.raises(UserError, match="set margin"):
        ObjectMotion(**{**SMALL, "extent": [0, 19]}).draw((120, 160), np.random.default_rng(0))


def test_the_defaults_serve_a_crop_of_256() -> None:
    for camera in (None, {}):
        blur = ObjectMotion(camera=camera)
        blur.draw((256 + 2 * blur.margin,) * 2, np.random.default_rng(0))


def test_a_blob_is_soft_and_within_its_circle() -> None:
    y, x = np.mgrid[:100, :120]
    for seed in range(5):
        blob = random_blob((100, 120), (70.0, 40.0), 50.0, 4.0, np.random.default_rng(seed))
        assert blob.dtype == np.float32
        assert blob.min() == 0
        assert blob.max() == 1
        assert np.abs(np.diff(blob, axis=1)).max() < 0.6
        assert blob[np.hypot(x - 70, y - 40) > 25].max() == 0
        assert 0.25 < (blob > 0.5).sum() / (np.pi * 25**2) < 1


def test_masks_come_from_a_folder_with_their_shape(tmp_path: Path) -> None:
    shape = np.zeros((60, 30, 3), np.uint8)
    shape[:, :15] = 255  # its left half, twice as high as the whole is wide
    write_image(tmp_path / "half.png", shape)
    (tmp_path / "notes.txt").write_text("no mask")
    blur = ObjectMotion(**{**SMALL, "diameter": [1.0, 1.0], "margin": 40}, masks=str(tmp_path))
    mask = blur.draw((200, 220), np.random.default_rng(7))["masks"][0]
    area = mask.sum()
    side = 120 / np.hypot(60, 30)  # the circle that holds it has 120 pixels, the shorter side of what is kept
    assert mask.dtype == np.float32
    assert mask.max() == pytest.approx(1)
    assert 0.4 * 60 * 15 * side**2 < area <= 1.1 * 60 * 15 * side**2  # part of it may lie outside
    columns = np.nonzero(mask > 0.5)[1]
    assert np.ptp(columns) == pytest.approx(15 * side, abs=3)


def test_a_large_mask_is_averaged_as_it_shrinks(tmp_path: Path) -> None:
    chequered = (np.indices((400, 400)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, axis=2)
    write_image(tmp_path / "grey.png", chequered)
    blur = ObjectMotion(**SMALL, masks=str(tmp_path))
    mask = blur.draw((120, 160), np.random.default_rng(9))["masks"][0]
    assert (np.abs(mask - 0.5) < 0.1).sum() > 0.8 * (mask > 0).sum()


def test_a_folder_without_masks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no image in this folder"):
        ObjectMotion(masks=str(tmp_path))


def test_masks_have_an_identity_of_names_and_sizes(tmp_path: Path) -> None:
    def identity() -> str:
        return ObjectMotion(masks=str(tmp_path)).identity()

    write_image(tmp_path / "a.png", np.full((20, 30, 3), 255, np.uint8))
    one = identity()
    assert one == identity() != ObjectMotion().identity()
    (tmp_path / "a.png").rename(tmp_path / "b.png")
    renamed = identity()
    write_image(tmp_path / "b.png", np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8))
    assert len({one, renamed, identity()}) == 3


def test_a_mask_file_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "a.png", np.full((20, 30, 3), 255, np.uint8))
    read = []
    monkeypatch.setattr(object_motion, "read_image", lambda file: read.append(file) or read_image(file))
    blur = ObjectMotion(**SMALL, masks=str(tmp_path))
    first, second = (blur.draw((120, 160), np.random.default_rng(3))["masks"] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert len(read) == 1
