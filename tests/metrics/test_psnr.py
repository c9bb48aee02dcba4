"""PSNR in its variants against basicsr, scikit-image and hand computations, on real photographs."""

from __future__ import annotations

import numpy as np
import pytest
from basicsr_oracle import basicsr
from scored_pairs import NUMBERS, PHOTOGRAPHS, degraded, pair, photograph, shifted
from skimage.filters import sobel
from skimage.metrics import peak_signal_noise_ratio

from deblurkit.metrics.gradient_psnr import gradient_psnr
from deblurkit.metrics.images import rgb_to_luma, rgb_to_y
from deblurkit.metrics.psnr import psnr
from deblurkit.registry import METRICS


@pytest.mark.parametrize("channels", ["rgb", "y"])
@pytest.mark.parametrize("crop_border", [0, 4])
@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("numbers", NUMBERS)
def test_equals_basicsr(numbers: str, name: str, crop_border: int, channels: str) -> None:
    restored, sharp = pair(name, numbers)
    bgr = [image[..., ::-1] * (1 if numbers == "uint8" else 255) for image in (restored, sharp)]
    expected = basicsr("metrics").calculate_psnr(*bgr, crop_border=crop_border, test_y_channel=channels == "y")
    tolerance = 1e-9 if (numbers, channels) == ("uint8", "rgb") else 1e-6  # its luma and its floats are float32
    assert psnr(restored, sharp, crop_border=crop_border, channels=channels) == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("numbers", ["uint8", "float64"])
def test_equals_scikit_image(numbers: str, name: str) -> None:
    restored, sharp = pair(name, numbers)
    white = 255.0 if numbers == "uint8" else 1.0
    expected = peak_signal_noise_ratio(sharp, restored, data_range=white)
    assert psnr(restored, sharp) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_lumas_by_hand(name: str) -> None:
    restored, sharp = (image.astype(np.float64) for image in (degraded(photograph(name)), photograph(name)))
    red, green, blue = np.moveaxis(restored - sharp, 2, 0)
    for channels, error in (
        ("y", (65.481 * red + 128.553 * green + 24.966 * blue) / 255),
        ("luma", 0.299 * red + 0.587 * green + 0.114 * blue),
    ):
        expected = 10 * np.log10(255**2 / np.mean(error**2))
        assert psnr(restored, sharp, channels=channels, data_range=255) == pytest.approx(expected, rel=1e-12)
    y, luma = (psnr(restored, sharp, channels=channels, data_range=255) for channels in ("y", "luma"))
    assert y - luma > 1  # the reason why the name of the luma stands beside a score


def test_luma_of_pure_colours() -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert rgb_to_y(colours)[0] == pytest.approx([81.481, 144.553, 40.966])
    assert rgb_to_luma(colours)[0] == pytest.approx([76.245, 149.685, 29.07])


def test_known_errors() -> None:
    sharp = np.full((12, 12, 3), 100, np.uint8)
    assert psnr(sharp + np.uint8(5), sharp) == pytest.approx(20 * np.log10(255 / 5))
    sharp = photograph("coffee")
    restored = sharp.copy()
    restored[17, 5, 1] ^= 1
    assert psnr(restored, sharp) == pytest.approx(10 * np.log10(255.0**2 * sharp.size))


@pytest.mark.parametrize("channels", ["rgb", "y", "luma"])
def test_ends_of_the_scale(channels: str) -> None:
    sharp = photograph("astronaut")
    assert psnr(sharp, sharp, channels=channels) == float("inf")
    assert psnr(sharp / 255, sharp / 255, channels=channels) == float("inf")
    black, white = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)
    expected = {"rgb": 0.0, "luma": 0.0, "y": 20 * np.log10(255 / 219)}
    assert psnr(black, white, channels=channels) == pytest.approx(expected[channels], abs=1e-12)


@pytest.mark.parametrize(
    ("name", "rgb", "y", "luma"),
    [
        ("astronaut", 27.332979, 28.844367, 27.522445),
        ("coffee", 25.688676, 27.055902, 25.733981),
        ("chelsea", 28.371984, 29.713401, 28.391480),
    ],
)
def test_a_shift_of_one_pixel_is_pinned(name: str, rgb: float, y: float, luma: float) -> None:
    images = shifted(photograph(name))  # expected: scikit-image's, and NumPy's of the lumas
    found = [psnr(*images, channels=channels) for channels in ("rgb", "y", "luma")]
    assert found == pytest.approx([rgb, y, luma], abs=1e-6)


def test_the_worst_of_numbers_is_summed_without_loss() -> None:
    white, black = np.full((2100, 2100, 3), 255, np.uint8), np.zeros((2100, 2100, 3), np.uint8)
    assert psnr(white, black) == 0.0  # 8.6e11, far beyond 32 bits
    wide = white.astype(np.uint16) * 257
    assert psnr(wide, wide - np.uint16(1)) == pytest.approx(20 * np.log10(65535), rel=1e-14)


@pytest.mark.parametrize("channels", ["rgb", "y"])
def test_mask_is_realblurs(channels: str) -> None:
    restored, sharp = pair("chelsea", "float32")
    mask = np.ones(sharp.shape[:2], np.float32)
    mask[:13], mask[:, 190:] = 0, 0
    assert psnr(restored, sharp, channels=channels, mask=np.ones_like(mask)) == pytest.approx(
        psnr(restored, sharp, channels=channels), rel=1e-12
    )
    inside = psnr(restored[13:, :190], sharp[13:, :190], channels=channels)
    assert psnr(restored, sharp, channels=channels, mask=mask) == pytest.approx(inside, rel=1e-12)
    assert psnr(restored, sharp, channels=channels, mask=mask == 1) == pytest.approx(inside, rel=1e-12)
    if channels == "rgb":
        three = np.repeat(mask[..., None], 3, axis=2).astype(np.float64)
        error = np.sum((three * sharp - three * restored) ** 2) / np.sum(three)
        assert psnr(restored, sharp, mask=mask) == pytest.approx(10 * np.log10(1 / error), rel=1e-12)
        assert psnr(restored, sharp, mask=mask, crop_border=13) == pytest.approx(
            psnr(restored[13:-13, 13:190], sharp[13:-13, 13:190]), rel=1e-12
        )


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("channels", ["rgb", "y", "luma"])
def test_single_precision_stays_close(numbers: str, channels: str) -> None:
    restored, sharp = pair("astronaut", numbers)
    double = psnr(restored, sharp, channels=channels)
    assert psnr(restored, sharp, channels=channels, single=True) == pytest.approx(double, abs=1e-5)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_gradients_are_scikit_images(name: str) -> None:
    restored, sharp = pair(name, "float64")
    errors = [
        sobel(restored[..., channel], axis=axis, mode="nearest") - sobel(sharp[..., channel], axis=axis, mode="nearest")
        for channel in range(3)
        for axis in (0, 1)
    ]
    assert gradient_psnr(restored, sharp) == pytest.approx(-10 * np.log10(np.mean(np.square(errors))), rel=1e-12)


def test_gradients_of_known_images() -> None:
    image = photograph("coffee")
    assert gradient_psnr(image, image) == float("inf")
    assert gradient_psnr(image // 2 + np.uint8(9), image // 2) == float("inf")  # a wrong brightness alone
    ramp = np.tile(np.arange(0, 120, 2, dtype=np.uint8), (20, 1))
    flat = np.zeros_like(ramp)
    slopes = np.concatenate([[2], np.full(58, 4), [2]])  # two pixels apart; at the edges one is repeated
    assert gradient_psnr(ramp, flat) == pytest.approx(10 * np.log10(255**2 / (np.mean(slopes**2) / 2)), rel=1e-12)
    step = np.zeros((16, 16, 3))
    step[:, 8:] = 1
    assert gradient_psnr(step, np.zeros_like(step)) == pytest.approx(10 * np.log10(16))  # 2 of 16 columns, one axis


def test_mistakes_are_named() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(ValueError, match=r"\(20, 30, 3\).*\(20, 29, 3\)"):
        psnr(image, image[:, 1:])
    with pytest.raises(ValueError, match="crop_border=10 leaves nothing"):
        psnr(image, image, crop_border=10)
    with pytest.raises(ValueError, match="not int64; else give data_range"):
        psnr(image.astype(np.int64), image.astype(np.int64))
    assert psnr(image.astype(np.int64), image.astype(np.int64) + 255, data_range=255) == 0
    with pytest.raises(ValueError, match=r"shape \(h, w, 3\), it has \(20, 30\)"):
        psnr(image[..., 0], image[..., 0], channels="y")
    with pytest.raises(ValueError, match=r"shape \(h, w, 3\) or \(h, w\), these have \(1, 20, 30, 3\)"):
        gradient_psnr(image[None], image[None])
    with pytest.raises(ValueError, match="the mask counts no pixel"):
        psnr(image, image, mask=np.zeros((20, 30)))
    with pytest.raises(ValueError, match=r"mask has the shape \(20, 30, 3\).* need \(20, 30\)"):
        psnr(image, image, mask=image)
    with pytest.raises(ValueError, match="crop_border must not be negative, got -1"):
        psnr(image, image, crop_border=-1)
    with pytest.raises(ValueError, match="channels is rgb, y or luma, got 'Y'"):
        METRICS.get("PSNR")(channels="Y")


def test_registered_classes_compute_the_functions() -> None:
    restored, sharp = pair("coffee", "float32")
    mask = np.ones(sharp.shape[:2])
    mask[40:] = 0
    metric = METRICS.build({"type": "PSNR", "channels": "luma"})
    assert metric(restored, sharp) == psnr(restored, sharp, channels="luma")
    assert metric(restored, sharp, mask) == psnr(restored, sharp, channels="luma", mask=mask)
    single = METRICS.build({"type": "PSNR", "single": True})
    assert single(restored, sharp) == psnr(restored, sharp, single=True) != psnr(restored, sharp)
    gradient = METRICS.build({"type": "GradientPSNR"})
    assert gradient(restored, sharp) == gradient_psnr(restored, sharp)
    for built in (metric, single, gradient):
        assert (built.higher_is_better, built.unit) == (True, "dB")
