from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from deblurkit.data.transforms import RandomCrop, RandomResizedCrop, RandomRotatedCrop, Resize, as_size
from deblurkit.errors import UserError


def test_a_crop_reaches_every_border() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(4, 3, 1).repeat(3, axis=2)
    rng = np.random.default_rng(0)
    corners = {int(RandomCrop(2)({"blurred": image}, rng)["blurred"][0, 0, 0]) for _ in range(100)}
    assert corners == {0, 1, 3, 4, 6, 7}
    with pytest.raises(UserError, match=r"4 x 3 pixels .* smaller than the crop of 4 x 4"):
        RandomCrop(4)({"blurred": image}, rng)


def test_resize_is_pillows_bicubic_in_8_and_16_bits(photograph: np.ndarray) -> None:
    resize = Resize([50, 70])
    result = resize({"a": photograph, "b": photograph.astype(np.uint16) * 257}, np.random.default_rng(0))
    expected = np.asarray(Image.fromarray(photograph).resize((70, 50), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(result["a"], expected)
    assert result["b"].dtype == np.uint16
    assert np.abs(result["b"] / 257 - expected).max() < 1.1


@pytest.mark.parametrize("size", [0, -1, 2.5, "256", [1], [1, 2, 3], [1, 0], True])
def test_sizes_are_checked(size: object) -> None:
    with pytest.raises(ValueError, match="crop: got"):
        as_size(size, "crop")  # type: ignore[arg-type]


def test_a_resized_crop_magnifies_as_told_and_fits_small_images() -> None:
    ramp = np.repeat(np.arange(100, dtype=np.uint8)[None, :, None], 100, axis=0).repeat(3, axis=2)
    doubled = RandomResizedCrop(40, [2.0, 2.0])({"sharp": ramp}, np.random.default_rng(0))["sharp"]
    assert doubled.shape == (40, 40, 3)
    slope = np.diff(doubled[20, 5:-5, 0].astype(float)).mean()
    assert slope == pytest.approx(0.5, abs=0.02)
    # A reduction that would need a window of 160 pixels takes the whole image instead.
    assert RandomResizedCrop(40, [0.25, 0.25])({"sharp": ramp}, np.random.default_rng(0))["sharp"].shape == (40, 40, 3)
    with pytest.raises(ValueError, match="scale: got"):
        RandomResizedCrop(40, [2.0, 1.0])


def _ramps(side: int) -> np.ndarray:
    """Channel 0 is 100 x, channel 1 is 100 y, so that a window says where its pixels come from; channel 2 is flat."""
    y, x = np.mgrid[:side, :side]
    return np.stack([x * 100, y * 100, x * 0 + 30000], axis=2).astype(np.uint16)


def test_a_rotated_window_is_turned_as_told_and_stays_inside() -> None:
    rotated, image, angles = RandomRotatedCrop([20, 30], degrees=30), _ramps(60), []
    y, x = np.mgrid[:20, :30]
    places = np.column_stack([x.ravel(), y.ravel(), np.ones(600)])
    for seed in range(200):
        window = rotated({"sharp": image}, np.random.default_rng(seed))["sharp"].reshape(600, 3)
        came_from = window[:, :2] / 100
        found, *_ = np.linalg.lstsq(places, came_from, rcond=None)
        np.testing.assert_allclose(places @ found, came_from, atol=0.1)
        np.testing.assert_allclose(found[:2] @ found[:2].T, np.eye(2), atol=0.02, err_msg="turned, not scaled")
        angles.append(np.degrees(np.arctan2(found[0, 1], found[0, 0])))
        assert (window[:, 2] == 30000).all(), "something beyond the border came in"
    assert min(angles) < -27
    assert max(angles) > 27
    assert max(map(abs, angles)) < 30.5


def test_a_rotated_window_that_does_not_fit() -> None:
    rotated = RandomRotatedCrop(40, degrees=45)
    assert rotated.needed == (59, 59)  # 40 * sqrt(2), and a pixel on each side for the cubic
    for seed in range(50):
        window = rotated({"sharp": _ramps(59)}, np.random.default_rng(seed))["sharp"]
        assert (window[..., 2] == 30000).all(), "something beyond the border came in"
    with pytest.raises(UserError, match=r"58 x 58 pixels .* turned by up to 45 degrees needs 59 x 59: lower degrees"):
        rotated({"sharp": _ramps(58)}, np.random.default_rng(0))
    assert RandomRotatedCrop([10, 100], degrees=180).needed == (103, 103)
    with pytest.raises(ValueError, match="degrees: got 181"):
        RandomRotatedCrop(40, degrees=181)
