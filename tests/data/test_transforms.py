from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from deblurkit.data.transforms import RandomCrop, RandomResizedCrop, Resize, as_size
from deblurkit.errors import UserError
from deblurkit.registry import TRANSFORMS


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "RandomCrop", "size": [32, 48]},
        {"type": "RandomResizedCrop", "size": [32, 48], "scale": [0.5, 2.0]},
        {"type": "hflip"},
        {"type": "vflip"},
        {"type": "rot90"},
    ],
    ids=lambda entry: entry["type"],
)
def test_both_images_get_the_same(photograph: np.ndarray, entry: dict) -> None:
    transform = TRANSFORMS.build(entry)
    seen = set()
    for seed in range(20):
        pair = {"blurred": photograph, "sharp": photograph}
        result = transform(pair, np.random.default_rng(seed))
        np.testing.assert_array_equal(result["blurred"], result["sharp"])
        again = transform(pair, np.random.default_rng(seed))
        np.testing.assert_array_equal(result["blurred"], again["blurred"])
        seen.add(result["blurred"].tobytes())
    assert len(seen) > 1
    np.testing.assert_array_equal(pair["blurred"], photograph)


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
    with pytest.raises(ValueError, match="crop: came"):
        as_size(size, "crop")  # type: ignore[arg-type]


def test_a_resized_crop_magnifies_as_told_and_fits_small_images() -> None:
    ramp = np.repeat(np.arange(100, dtype=np.uint8)[None, :, None], 100, axis=0).repeat(3, axis=2)
    doubled = RandomResizedCrop(40, [2.0, 2.0])({"sharp": ramp}, np.random.default_rng(0))["sharp"]
    assert doubled.shape == (40, 40, 3)
    slope = np.diff(doubled[20, 5:-5, 0].astype(float)).mean()
    assert slope == pytest.approx(0.5, abs=0.02)
    # A reduction that would need a window of 160 pixels takes the whole image instead.
    assert RandomResizedCrop(40, [0.25, 0.25])({"sharp": ramp}, np.random.default_rng(0))["sharp"].shape == (40, 40, 3)
    with pytest.raises(ValueError, match="scale: came"):
        RandomResizedCrop(40, [2.0, 1.0])
