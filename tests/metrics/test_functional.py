"""PSNR and SSIM against basicsr, scikit-image and hand computations, on real photographs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import skimage.data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from deblurkit import compat
from deblurkit.metrics.functional import Array, psnr, rgb_to_y, ssim
from deblurkit.registry import METRICS

compat.import_basicsr()
from basicsr.metrics import calculate_psnr, calculate_ssim  # noqa: E402

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea")
PAIRS = ((psnr, calculate_psnr), (ssim, calculate_ssim))


def photograph(name: str) -> Array:
    return np.ascontiguousarray(getattr(skimage.data, name)()[:181, :203])


def degraded(image: Array, sigma: float = 6.0) -> Array:
    """The photograph shifted by half a pixel and with noise: an error as blur and sensors make it."""
    mixed = (image.astype(np.float64) + np.roll(image, 1, axis=1)) / 2
    noisy = mixed + np.random.default_rng(3).normal(0, sigma, image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("y_channel", [False, True], ids=["rgb", "y"])
@pytest.mark.parametrize("crop_border", [0, 4])
@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("kind", ["uint8", "float32", "float64"])
@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=["psnr", "ssim"])
def test_equals_basicsr(
    ours: Callable[..., float],
    theirs: Callable[..., Any],
    kind: str,
    name: str,
    crop_border: int,
    y_channel: bool,
) -> None:
    sharp = photograph(name)
    restored = degraded(sharp)
    if kind != "uint8":  # values between the 256 levels, as a network returns them
        jitter = np.random.default_rng(5).uniform(-0.4, 0.4, sharp.shape)
        restored, sharp = (np.clip((image + jitter) / 255, 0, 1).astype(kind) for image in (restored, sharp))
    scale = 1 if kind == "uint8" else 255
    bgr = [(image * scale)[..., ::-1] if scale > 1 else image[..., ::-1] for image in (restored, sharp)]
    expected = theirs(*bgr, crop_border=crop_border, test_y_channel=y_channel)
    assert ours(restored, sharp, crop_border=crop_border, y_channel=y_channel) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("kind", ["uint8", "float64"])
def test_equals_scikit_image(kind: str, name: str) -> None:
    sharp = photograph(name)
    restored = degraded(sharp)
    white = 255.0
    if kind == "float64":
        restored, sharp, white = restored / 255, sharp / 255, 1.0
    assert psnr(restored, sharp) == pytest.approx(peak_signal_noise_ratio(sharp, restored, data_range=white), rel=1e-12)
    _, full = structural_similarity(
        restored,
        sharp,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=white,
        channel_axis=2,
        full=True,
    )
    assert ssim(restored, sharp) == pytest.approx(full[5:-5, 5:-5].mean(), rel=1e-9)


def test_psnr_of_a_known_error() -> None:
    sharp = np.full((12, 12, 3), 100, np.uint8)
    assert psnr(sharp + np.uint8(5), sharp) == pytest.approx(20 * np.log10(255 / 5))


def test_one_wrong_value_among_many() -> None:
    sharp = photograph("coffee")
    restored = sharp.copy()
    restored[17, 5, 1] ^= 1
    assert psnr(restored, sharp) == pytest.approx(10 * np.log10(255.0**2 * sharp.size))


@pytest.mark.parametrize("y_channel", [False, True])
def test_ends_of_the_scale(y_channel: bool) -> None:
    sharp = photograph("astronaut")
    assert psnr(sharp, sharp, y_channel=y_channel) == float("inf")
    assert ssim(sharp, sharp, y_channel=y_channel) == 1.0
    black, white = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)
    assert psnr(black, white) == 0.0
    assert ssim(black, white) == pytest.approx(1e-4, rel=1e-3)  # C1 / (1 + C1), the contrast term being 1


def test_value_does_not_depend_on_the_number_format() -> None:
    sharp = photograph("chelsea")
    restored = degraded(sharp)
    for metric in (psnr, ssim):
        expected = metric(restored, sharp)
        wide = [image.astype(np.uint16) * 257 for image in (restored, sharp)]
        assert metric(*wide) == pytest.approx(expected, rel=1e-12)
        assert metric(restored / 255, sharp / 255) == pytest.approx(expected, rel=1e-9)
        shifted = [image.astype(np.float64) for image in (restored, sharp)]
        assert metric(*shifted, data_range=255) == pytest.approx(expected, rel=1e-12)


def test_symmetry_and_flips() -> None:
    sharp = photograph("astronaut")
    restored = degraded(sharp)
    for metric in (psnr, ssim):
        assert metric(restored, sharp) == pytest.approx(metric(sharp, restored), rel=1e-12)
        assert metric(restored[::-1], sharp[::-1]) == pytest.approx(metric(restored, sharp), rel=1e-9)


def test_inputs_stay_as_they_are() -> None:
    sharp = photograph("coffee")
    restored = degraded(sharp)
    before = restored.copy(), sharp.copy()
    psnr(restored, sharp, y_channel=True)
    ssim(restored, sharp, crop_border=3)
    assert np.array_equal(restored, before[0])
    assert np.array_equal(sharp, before[1])


def test_luma_of_pure_colours() -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert rgb_to_y(colours)[0] == pytest.approx([81.481, 144.553, 40.966])


def test_mistakes_are_named() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(ValueError, match=r"\(20, 30, 3\).*\(20, 29, 3\)"):
        psnr(image, image[:, 1:])
    with pytest.raises(ValueError, match="float64, sharp uint8"):
        ssim(image / 255, image)
    with pytest.raises(ValueError, match="11 x 11 pixels, the images have 10 x 30"):
        ssim(image[:10], image[:10])
    with pytest.raises(ValueError, match="have 10 x 20 after crop_border=5"):
        ssim(image, image, crop_border=5)
    with pytest.raises(ValueError, match="crop_border=10 leaves nothing"):
        psnr(image, image, crop_border=10)
    with pytest.raises(ValueError, match="not int64; else give data_range"):
        psnr(image.astype(np.int64), image.astype(np.int64))
    with pytest.raises(ValueError, match=r"shape \(h, w, 3\), it has \(20, 30\)"):
        psnr(image[..., 0], image[..., 0], y_channel=True)


def test_registered_classes_compute_the_functions() -> None:
    sharp = photograph("coffee")
    restored = degraded(sharp)
    for name, function in (("PSNR", psnr), ("SSIM", ssim)):
        metric = METRICS.build({"type": name, "y_channel": True, "crop_border": 2})
        assert metric(restored, sharp) == function(restored, sharp, y_channel=True, crop_border=2)
        assert metric.higher_is_better
