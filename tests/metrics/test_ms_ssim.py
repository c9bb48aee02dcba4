"""MS-SSIM against computations with SciPy and NumPy, on real photographs."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from scipy.ndimage import correlate1d, gaussian_filter
from scored_pairs import PHOTOGRAPHS, blurred, degraded, shifted

from deblurkit.metrics.images import Array, rgb_to_luma, rgb_to_y
from deblurkit.metrics.ms_ssim import ms_ssim
from deblurkit.metrics.ssim import ssim
from deblurkit.registry import METRICS

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
C1, C2 = 6.5025, 58.5225
FILTERS = ("gaussian", "bior97")
LOW_PASS = np.array([0.0378284555, -0.0238494650, -0.1106244044, 0.3774028556, 0.8526986790])


def photograph(name: str, height: int = 240, width: int = 301) -> Array:
    return np.ascontiguousarray(getattr(skimage.data, name)()[:height, :width])


def mean(image: Array) -> Array:
    return gaussian_filter(image, 1.5, radius=5)[5:-5, 5:-5]


def factors(first: Array, second: Array) -> tuple[Array, Array, Array]:
    mean_1, mean_2 = mean(first), mean(second)
    variance_1, variance_2 = mean(first**2) - mean_1**2, mean(second**2) - mean_2**2
    product = np.sqrt(np.maximum(variance_1, 0) * np.maximum(variance_2, 0))
    luminance = (2 * mean_1 * mean_2 + C1) / (mean_1**2 + mean_2**2 + C1)
    contrast = (2 * product + C2) / (variance_1 + variance_2 + C2)
    structure = (mean(first * second) - mean_1 * mean_2 + C2 / 2) / (product + C2 / 2)
    return luminance, contrast, structure


def pooled(image: Array) -> Array:
    even = np.pad(image, [(0, side % 2) for side in image.shape], mode="edge")
    return even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2).mean(axis=(1, 3))


def low_passed(image: Array) -> Array:
    taps = np.concatenate([LOW_PASS, LOW_PASS[-2::-1]])
    taps = taps / taps.sum()
    return correlate1d(correlate1d(image, taps, axis=0, mode="reflect"), taps, axis=1, mode="reflect")[::2, ::2]


def by_hand(first: Array, second: Array, filter: str) -> float:
    score = 1.0
    for scale, weight in enumerate(WEIGHTS):
        luminance, contrast, structure = factors(first, second)
        last = scale == len(WEIGHTS) - 1
        if filter == "gaussian":
            score *= float(np.mean(contrast * structure * (luminance if last else 1))) ** weight
        else:
            score *= (contrast.mean() * structure.mean() * (luminance.mean() if last else 1)) ** weight
        halve = pooled if filter == "gaussian" else low_passed
        first, second = halve(first), halve(second)
    return float(score)


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("channels", ["rgb", "y", "luma"])
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_equals_a_computation_by_hand(name: str, channels: str, filter: str) -> None:
    sharp = photograph(name)
    restored = degraded(sharp)
    if channels == "rgb":
        planes = [(restored[..., i].astype(float), sharp[..., i].astype(float)) for i in range(3)]
    else:
        luma = rgb_to_y if channels == "y" else rgb_to_luma
        planes = [(luma(restored), luma(sharp))]
    expected = np.mean([by_hand(*plane, filter) for plane in planes])
    found = ms_ssim(restored, sharp, channels=channels, filter=filter)
    assert found == pytest.approx(expected, abs=1e-9)
    assert ms_ssim(restored / 255, sharp / 255, channels=channels, filter=filter) == pytest.approx(found, abs=1e-12)


@pytest.mark.parametrize("filter", FILTERS)
def test_ends_of_the_scale(filter: str) -> None:
    sharp = photograph("coffee")
    assert ms_ssim(sharp, sharp, filter=filter) == pytest.approx(1.0, abs=1e-12)
    scores = [ms_ssim(blurred(sharp, pixels), sharp, filter=filter) for pixels in (2, 5, 11, 31)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > ssim(blurred(sharp, 2), sharp)  # coarse scales forgive fine errors
    flat = (np.full((176, 176, 3), value, np.uint8) for value in (100, 105))
    expected = ((2 * 100 * 105 + C1) / (100**2 + 105**2 + C1)) ** WEIGHTS[-1]
    assert ms_ssim(*flat, filter=filter) == pytest.approx(expected, abs=1e-9)
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    assert ms_ssim(255 - noise, noise, filter=filter) == 0.0  # a negative correlation has no power of 0.0448


@pytest.mark.parametrize(
    ("name", "expected"),
    [("astronaut", (0.967079, 0.967676)), ("coffee", (0.951789, 0.949615)), ("chelsea", (0.946550, 0.944303))],
)
def test_a_shift_of_one_pixel_is_pinned(name: str, expected: tuple[float, float]) -> None:
    images = shifted(photograph(name))  # expected: what the code above says of them
    found = (ms_ssim(*images), ms_ssim(*images, channels="luma", filter="bior97"))
    assert found == pytest.approx(expected, abs=1e-6)


def test_mistakes_are_named() -> None:
    image = np.zeros((175, 300, 3), np.uint8)
    with pytest.raises(ValueError, match="MS-SSIM needs at least 176 x 176 pixels, the images have 175 x 300"):
        ms_ssim(image, image)
    with pytest.raises(ValueError, match="filter is gaussian or bior97, got 'haar'"):
        METRICS.get("MSSSIM")(filter="haar")
    with pytest.raises(ValueError, match="channels is rgb, y or luma, got 'gray'"):
        METRICS.get("MSSSIM")(channels="gray")


def test_registered_class_computes_the_function() -> None:
    sharp = photograph("chelsea")
    restored = degraded(sharp)
    metric = METRICS.build({"type": "MSSSIM", "channels": "luma", "filter": "bior97"})
    assert metric(restored, sharp) == ms_ssim(restored, sharp, channels="luma", filter="bior97")
    assert METRICS.build({"type": "MSSSIM"})(restored, sharp) == ms_ssim(restored, sharp)
    assert (metric.higher_is_better, metric.unit) == (True, "")
