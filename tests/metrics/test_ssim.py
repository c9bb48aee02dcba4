"""The five definitions of SSIM against basicsr, scikit-image, SciPy and hand computations, on photographs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from basicsr_oracle import basicsr
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve
from scored_pairs import NUMBERS, PHOTOGRAPHS, blurred, degraded, pair, photograph, shifted
from skimage.metrics import structural_similarity

from deblurkit.metrics.images import Array, rgb_to_luma, rgb_to_y
from deblurkit.metrics.psnr import psnr
from deblurkit.metrics.ssim import ssim
from deblurkit.registry import METRICS

C1, C2 = 0.01**2, 0.03**2
KINDS = ("2d", "3d", "uniform", "gauss", "zero")


def fractions(first: Array, second: Array, mean: Callable[[Array], Array]) -> Array:
    """The map of images in [0, 1], as the paper's equation 13 writes it."""
    mean_1, mean_2 = mean(first), mean(second)
    variance_1, variance_2 = mean(first**2) - mean_1**2, mean(second**2) - mean_2**2
    covariance = mean(first * second) - mean_1 * mean_2
    luminance = (2 * mean_1 * mean_2 + C1) / (mean_1**2 + mean_2**2 + C1)
    return luminance * (2 * covariance + C2) / (variance_1 + variance_2 + C2)


def by_scipy(first: Array, second: Array) -> float:
    """MATLAB's: the array is a volume, continued by its outermost values in all three directions."""
    return float(fractions(first, second, lambda x: gaussian_filter(x, 1.5, mode="nearest", radius=5)).mean())


def by_fourier(first: Array, second: Array) -> float:
    """DeblurGAN's: the full 11x11 window, zeros around the image, each channel by itself."""
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(taps, taps) / taps.sum() ** 2
    if first.ndim == 3:
        window = window[..., None]
    return float(fractions(first, second, lambda x: fftconvolve(x, window, mode="same", axes=(0, 1))).mean())


def by_scikit_image(first: Array, second: Array, **arguments: Any) -> float:
    axis = None if first.ndim == 2 else 2
    return float(structural_similarity(first, second, data_range=1.0, channel_axis=axis, **arguments))


def by_scikit_image_gaussian(first: Array, second: Array) -> float:
    return by_scikit_image(first, second, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)


INDEPENDENT: dict[str, Callable[[Array, Array], float]] = {
    "2d": by_scikit_image_gaussian,
    "3d": by_scipy,
    "uniform": by_scikit_image,
    "gauss": by_scikit_image_gaussian,
    "zero": by_fourier,
}


def in_unit_range(image: Array, channels: str) -> Array:
    if channels == "rgb":
        return image.astype(np.float64) / (255.0 if image.dtype == np.uint8 else 1.0)
    full = image.astype(np.float64) * (1.0 if image.dtype == np.uint8 else 255.0)
    return (rgb_to_y if channels == "y" else rgb_to_luma)(full) / 255.0


@pytest.mark.parametrize("channels", ["rgb", "y", "luma"])
@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_equals_independent_code(name: str, kind: str, numbers: str, channels: str) -> None:
    images = pair(name, numbers)
    expected = INDEPENDENT[kind](*(in_unit_range(image, channels) for image in images))
    assert ssim(*images, kind=kind, channels=channels) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("channels", ["rgb", "y"])
@pytest.mark.parametrize("crop_border", [0, 4])
@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("numbers", NUMBERS)
def test_2d_equals_basicsr(numbers: str, name: str, crop_border: int, channels: str) -> None:
    restored, sharp = pair(name, numbers)
    bgr = [image[..., ::-1] * (1 if numbers == "uint8" else 255) for image in (restored, sharp)]
    expected = basicsr("metrics").calculate_ssim(*bgr, crop_border=crop_border, test_y_channel=channels == "y")
    tolerance = 1e-9 if (numbers, channels) == ("uint8", "rgb") else 1e-6  # its luma and its floats are float32
    assert ssim(restored, sharp, crop_border=crop_border, channels=channels) == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pixels", [2, 9, 31])
@pytest.mark.parametrize("channels", ["rgb", "y", "luma"])
def test_single_precision_is_within_two_millionths(channels: str, pixels: int, kind: str) -> None:
    for name in (*PHOTOGRAPHS, "rocket"):  # rocket: flat sky, where variances are differences of large numbers
        sharp = photograph(name)
        for scale in (1, 255):
            images = [blurred(sharp, pixels), sharp] if scale == 1 else [blurred(sharp, pixels) / 255, sharp / 255]
            double = ssim(*images, kind=kind, channels=channels)
            assert ssim(*images, kind=kind, channels=channels, single=True) == pytest.approx(double, abs=2e-6)


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("channels", ["rgb", "y", "luma"])
@pytest.mark.parametrize("kind", KINDS)
def test_identical_images_score_one(kind: str, channels: str, single: bool) -> None:
    for name in PHOTOGRAPHS:
        sharp = photograph(name)
        assert ssim(sharp, sharp, kind=kind, channels=channels, single=single) == 1.0
        assert ssim(sharp / 255, sharp / 255, kind=kind, channels=channels, single=single) == 1.0


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "zero"])
def test_constant_images_leave_the_luminance(kind: str, single: bool) -> None:
    for first, second in ((0, 255), (100, 105), (3, 90)):
        images = (np.full((40, 23, 3), value, np.uint8) for value in (first, second))
        expected = (2 * first * second + 6.5025) / (first**2 + second**2 + 6.5025)
        assert ssim(*images, kind=kind, single=single) == pytest.approx(expected, abs=2e-6 if single else 1e-12)


def test_zeros_around_constant_images_are_part_of_them() -> None:
    taps = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    taps /= taps.sum()
    inside = np.array([taps[max(0, 5 - i) : 11 - max(0, i - 14)].sum() for i in range(20)])  # share of the window
    share = np.outer(inside, inside)
    first, second = 100 * share, 105 * share
    c1, c2 = 6.5025, 58.5225
    variances, covariance = (100**2 + 105**2) * (share - share**2), 100 * 105 * (share - share**2)
    luminance = (2 * first * second + c1) / (first**2 + second**2 + c1)
    expected = float(np.mean(luminance * (2 * covariance + c2) / (variances + c2)))
    images = (np.full((20, 20, 3), value, np.uint8) for value in (100, 105))
    assert ssim(*images, kind="zero") == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("astronaut", (0.858796, 0.918627, 0.864561, 0.858796, 0.864422, 0.908780)),
        ("coffee", (0.740072, 0.969870, 0.756069, 0.740072, 0.756200, 0.771949)),
        ("chelsea", (0.817766, 0.957489, 0.830943, 0.817766, 0.826976, 0.834676)),
    ],
)
def test_a_shift_of_one_pixel_is_pinned(name: str, expected: tuple[float, ...]) -> None:
    images = shifted(photograph(name))  # expected: what the independent code above says of them
    found = (*(ssim(*images, kind=kind) for kind in KINDS), ssim(*images, channels="y"))
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_smallest_image(kind: str) -> None:
    sharp = photograph("coffee")[60:71, 90:101]
    restored = degraded(sharp)
    expected = INDEPENDENT[kind](*(in_unit_range(image, "rgb") for image in (restored, sharp)))
    assert ssim(restored, sharp, kind=kind) == pytest.approx(expected, abs=1e-9)
    if kind == "2d":  # one window only
        taps = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
        weights = (np.outer(taps, taps) / taps.sum() ** 2)[..., None]
        first, second = restored / 255, sharp / 255
        by_hand = fractions(first, second, lambda image: (image * weights).sum(axis=(0, 1))).mean()
        assert ssim(restored, sharp) == pytest.approx(by_hand, abs=1e-12)


def test_strips_do_not_show() -> None:
    whole = photograph("chelsea")
    for height in (74, 75, 138, 139):  # one strip, one row more, two strips, one row more
        images = degraded(whole[:height]), whole[:height]
        for kind in KINDS:
            expected = INDEPENDENT[kind](*(in_unit_range(image, "rgb") for image in images))
            assert ssim(*images, kind=kind) == pytest.approx(expected, abs=1e-9), (kind, height)


@pytest.mark.parametrize("kind", ["2d", "gauss"])
@pytest.mark.parametrize("numbers", NUMBERS)
def test_mask_is_realblurs(numbers: str, kind: str) -> None:
    restored, sharp = pair("astronaut", numbers)
    mask = np.ones(sharp.shape[:2])
    mask[:21], mask[:, 195:], mask[100:, :9] = 0, 0, 0
    assert ssim(restored, sharp, kind=kind, mask=np.ones_like(mask)) == pytest.approx(ssim(restored, sharp), abs=1e-12)
    three = np.repeat(mask[..., None], 3, axis=2)
    _, full = structural_similarity(
        *(in_unit_range(image, "rgb") * three for image in (sharp, restored)),
        gaussian_weights=True,
        use_sample_covariance=False,
        data_range=1.0,
        channel_axis=2,
        full=True,
    )
    counted = three[5:-5, 5:-5]
    expected = ((full * three)[5:-5, 5:-5].sum(axis=(0, 1)) / counted.sum(axis=(0, 1))).mean()
    assert ssim(restored, sharp, kind=kind, mask=mask) == pytest.approx(expected, abs=1e-9)


def test_value_does_not_depend_on_the_number_format() -> None:
    sharp = photograph("chelsea")
    restored = degraded(sharp)
    for metric in (psnr, ssim):
        expected = metric(restored, sharp)
        wide = [image.astype(np.uint16) * 257 for image in (restored, sharp)]
        assert metric(*wide) == pytest.approx(expected, rel=1e-12)
        assert metric(restored / 255, sharp / 255) == pytest.approx(expected, rel=1e-9)
        shifted_range = [image.astype(np.float64) for image in (restored, sharp)]
        assert metric(*shifted_range, data_range=255) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_symmetry_flips_and_order_of_channels(kind: str) -> None:
    sharp = photograph("astronaut")
    restored = degraded(sharp)
    expected = ssim(restored, sharp, kind=kind)
    assert ssim(sharp, restored, kind=kind) == pytest.approx(expected, rel=1e-12)
    assert ssim(restored[::-1], sharp[::-1], kind=kind) == pytest.approx(expected, rel=1e-9)
    assert ssim(restored[..., ::-1], sharp[..., ::-1], kind=kind) == pytest.approx(expected, rel=1e-9)
    assert ssim(restored.swapaxes(0, 1), sharp.swapaxes(0, 1), kind=kind) == pytest.approx(expected, rel=1e-9)


def test_inputs_stay_as_they_are() -> None:
    for numbers in NUMBERS:
        restored, sharp = pair("coffee", numbers)
        before = restored.copy(), sharp.copy()
        mask = np.ones(sharp.shape[:2])
        for channels in ("rgb", "y"):
            psnr(restored, sharp, channels=channels, mask=mask)
            ssim(restored, sharp, channels=channels, crop_border=3, mask=mask)
            ssim(restored, sharp, channels=channels, kind="3d", single=True)
        assert np.array_equal(restored, before[0])
        assert np.array_equal(sharp, before[1])
        assert mask.all()


def test_threads_do_not_disturb_each_other() -> None:
    images = [(degraded(photograph(name), sigma), photograph(name)) for name in PHOTOGRAPHS for sigma in (2, 6, 12)]
    expected = [ssim(*each) for each in images]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda each: ssim(*each), images * 4)) == expected * 4


def test_mistakes_are_named() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    with pytest.raises(ValueError, match="float64, sharp uint8"):
        ssim(image / 255, image)
    with pytest.raises(ValueError, match=r"11 x 11 pixels, the images have 10 x 30$"):
        ssim(image[:10], image[:10])
    with pytest.raises(ValueError, match=r"7 x 7 pixels, the images have 6 x 30$"):
        ssim(image[:6], image[:6], kind="uniform")
    with pytest.raises(ValueError, match="have 10 x 20 after crop_border=5"):
        ssim(image, image, crop_border=5)
    with pytest.raises(ValueError, match="kind 3d takes no mask, only 2d and gauss do"):
        ssim(image, image, kind="3d", mask=np.ones((20, 30)))
    edge = np.zeros((20, 30))
    edge[:5] = 1
    with pytest.raises(ValueError, match="the mask counts no pixel"):
        ssim(image, image, mask=edge)
    with pytest.raises(ValueError, match="kind is 2d, 3d, uniform, gauss, zero, got 'matlab'"):
        METRICS.get("SSIM")(kind="matlab")
    with pytest.raises(ValueError, match="channels is rgb, y or luma, got 'Y'"):
        METRICS.get("SSIM")(channels="Y")


@pytest.mark.parametrize("kind", KINDS)
def test_registered_class_computes_the_function(kind: str) -> None:
    restored, sharp = pair("coffee", "uint8")
    metric = METRICS.build({"type": "SSIM", "kind": kind, "channels": "y", "single": True})
    assert metric(restored, sharp) == ssim(restored, sharp, kind=kind, channels="y", single=True)
    assert (metric.higher_is_better, metric.unit, metric.can_be_single) == (True, "", True)
    mask = np.ones(sharp.shape[:2])
    mask[:, :50] = 0
    assert metric.takes_mask == (kind in ("2d", "gauss"))
    if metric.takes_mask:
        masked = ssim(restored, sharp, kind=kind, channels="y", single=True, mask=mask)
        assert metric(restored, sharp, mask) == masked != metric(restored, sharp)
