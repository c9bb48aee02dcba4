"""NIQE, which looks at the restored image alone, and pyssim's complex-wavelet SSIM."""

from __future__ import annotations

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import skimage.data
from basicsr_oracle import basicsr

from deblurkit.metrics import niqe as niqe_steps
from deblurkit.metrics.images import Array
from deblurkit.registry import METRICS

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")


def photograph(name: str) -> Array:
    return np.asarray(getattr(skimage.data, name)())


def blurred(image: Array, sigma: float) -> Array:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma))


# --- NIQE ---


@pytest.fixture(scope="module")
def niqe():
    return METRICS.build({"type": "NIQE"})


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_niqe_equals_basicsr(niqe, name: str):
    sharp = photograph(name)[:200, :300]
    expected = basicsr("metrics").calculate_niqe(sharp[..., ::-1], 0)
    assert niqe(sharp, None) == pytest.approx(expected, rel=1e-3)  # few blocks, some flat: see the next test


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_niqe_rises_with_blur(niqe, name: str):
    sharp = photograph(name)[:200, :300]
    value = niqe(sharp, None)
    worse = [niqe(blurred(sharp, sigma), None) for sigma in (1.5, 3)]
    assert value < worse[0] < worse[1]
    assert niqe(sharp, blurred(sharp, 1)) == value, "the sharp image is not looked at"
    assert (niqe.higher_is_better, niqe.unit, niqe.needs_sharp) == (False, "", False)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_niqe_equals_basicsr_to_a_millionth_from_the_same_half(niqe, name: str):
    """BasicSR halves in torch's float32, whose sums differ from processor to processor; all else agrees."""
    sharp = photograph(name)
    whole = sharp[: len(sharp) // 96 * 96, : sharp.shape[1] // 96 * 96]
    luma = np.rint(basicsr("metrics.metric_util").to_y_channel(whole[..., ::-1])[..., 0])
    half = basicsr("utils.matlab_functions").imresize(luma / 255, 0.5) * np.float32(255)
    assert np.abs(niqe_steps.halved(luma) - half).max() < 1e-4
    found = np.hstack([niqe_steps.statistics(luma, 96), niqe_steps.statistics(half, 48)])
    expected = basicsr("metrics").calculate_niqe(sharp[..., ::-1], 0)
    assert niqe_steps.distance(found) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "value", "tolerance"),
    [  # of BasicSR 1.4.2 with torch 2.13 on an AMD EPYC; astronaut has flat areas, where rounding decides signs
        ("astronaut", 3.0649476661847754, 2e-4),
        ("coffee", 4.115241615372862, 1e-6),
        ("chelsea", 2.6255243812915023, 2e-6),
        ("rocket", 6.969154974981048, 1e-5),
    ],
)
def test_niqe_is_what_basicsr_gave(niqe, name: str, value: float, tolerance: float):
    assert niqe(photograph(name), None) == pytest.approx(value, rel=tolerance)


def test_niqe_rounds_lumas_as_basicsr_does():
    """Two of these colours have a luma halfway between two numbers, which float64 rounds the other way."""
    green, blue = np.meshgrid(np.arange(256), np.arange(256))
    colours = np.stack([np.full_like(green, 240), green, blue], axis=2).astype(np.uint8)
    expected = np.rint(basicsr("metrics.metric_util").to_y_channel(colours[..., ::-1])[..., 0])
    np.testing.assert_array_equal(niqe_steps.rounded_luma(colours, 255), expected)


def test_niqe_of_one_photograph_and_of_its_channels_swapped(niqe):
    image = photograph("astronaut")
    assert niqe(image, None) == pytest.approx(3.06495, abs=1e-3)
    assert abs(niqe(image[..., ::-1], None) - 3.06495) > 0.01, "luma weighs red, green and blue each in its own way"


def test_niqe_does_not_depend_on_the_number_format(niqe):
    image = photograph("coffee")[:200, :300]
    expected = niqe(image, None)
    assert niqe(image.astype(np.uint16) * 257, None) == pytest.approx(expected, abs=1e-3)
    assert niqe(image / 255, None) == pytest.approx(expected, abs=1e-3)
    assert niqe((image / 255).astype(np.float32), None) == pytest.approx(expected, abs=1e-3)


def test_niqe_leaves_out_what_is_right_and_below_of_whole_blocks(niqe):
    image = photograph("chelsea")
    assert niqe(image[: 2 * 96 + 95, : 3 * 96 + 95], None) != niqe(image[: 3 * 96, : 4 * 96], None)
    spoilt = image[: 2 * 96 + 95, : 3 * 96 + 95].copy()
    spoilt[2 * 96 + 8 :] = 0  # beyond what windows and bicubic halving reach from the last block
    spoilt[:, 3 * 96 + 8 :] = 0
    assert niqe(spoilt, None) == niqe(image[: 2 * 96 + 95, : 3 * 96 + 95], None)


def test_niqe_in_threads(niqe):
    images = [blurred(photograph("coffee")[:200, :200], 0.5 + step) for step in range(4)]
    expected = [niqe(image, None) for image in images]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda image: niqe(image, None), images)) == expected


def test_niqe_of_small_images(niqe):
    image = photograph("astronaut")
    assert niqe(image[:96, :192], None) > 0
    with pytest.raises(ValueError, match="blocks of 96 x 96 pixels and needs two of them, the image has 191 x 191"):
        niqe(image[:191, :191], None)
    with pytest.raises(ValueError, match=r"shape \(h, w, 3\), this one has \(512, 512\)"):
        niqe(image[..., 0], None)
    with pytest.raises(ValueError, match="not int64"):
        niqe(image.astype(np.int64), None)


@pytest.mark.filterwarnings("error")
def test_niqe_without_texture_is_not_a_number_and_not_a_warning(niqe):
    flat = np.full((200, 300, 3), 90, np.uint8)
    assert np.isnan(niqe(flat, None))
    flat[20:60, 20:60] = photograph("coffee")[20:60, 20:60]  # within one of its blocks
    assert np.isnan(niqe(flat, None))


def test_niqe_of_an_image_that_is_white_in_part(niqe):
    partly = photograph("coffee")[:300, :400].copy()
    partly[:100, :100] = 255
    assert np.isfinite(niqe(partly, None))


# --- CWSSIM ---


@pytest.fixture(scope="module")
def cw_ssim():
    return METRICS.build({"type": "CWSSIM"})


def smeared(image: Array) -> Array:
    """The mean of a photograph and its copies one pixel below and one to the right."""
    wide = image.astype(np.int64)
    return ((wide + np.roll(wide, 1, 0) + np.roll(wide, 1, 1)) // 3).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "value"),
    [("astronaut", 0.9955605507261704), ("coffee", 0.9819358490392618), ("chelsea", 0.9698120975076102)],
)
def test_cw_ssim_equals_what_pyssim_gave(cw_ssim, name: str, value: float):
    sharp = photograph(name)[40:121, 60:163]
    assert cw_ssim(smeared(sharp), sharp) == pytest.approx(value, abs=1e-12)


def test_cw_ssim_of_an_image_shorter_than_its_wavelets(cw_ssim):
    """pyssim's value, whose wavelets are cut to the image's 156 pixels."""
    sharp = np.ascontiguousarray(photograph("chelsea")[40:121, 60:163])
    found = cw_ssim(smeared(sharp)[:12, :13], sharp[:12, :13])
    assert found == pytest.approx(0.9982093336106277, abs=1e-12)


def test_cw_ssim_from_its_definition(cw_ssim):
    """The product of amplitude and phase terms, with sums of plain products for the filters."""
    rng = np.random.default_rng(2)
    first, second = (rng.integers(0, 256, (31, 27), dtype=np.uint8) for _ in range(2))
    coefficients = []
    for line in (first.ravel().astype(float), second.ravel().astype(float)):
        rows = []
        for a in range(1, 31):
            t = np.arange(10 * a) - (10 * a - 1) / 2
            hat = 2 / (np.sqrt(3 * a) * np.pi**0.25) * (1 - t**2 / a**2) * np.exp(-(t**2) / (2 * a**2))
            rows.append(np.convolve(line, hat, mode="same"))
        coefficients.append(np.array(rows))
    c1, c2 = coefficients
    amplitude = (2 * (abs(c1) * abs(c2)).sum(0) + 0.01) / ((c1**2).sum(0) + (c2**2).sum(0) + 0.01)
    phase = (2 * abs((c1 * c2).sum(0)) + 0.01) / (2 * abs(c1 * c2).sum(0) + 0.01)
    grey = [np.repeat(image[..., None], 3, axis=2) for image in (first, second)]  # grey stays as it is in PIL's mode L
    assert cw_ssim(*grey) == pytest.approx((amplitude * phase).mean(), rel=1e-10)


def test_cw_ssim_at_its_ends_and_with_more_blur(cw_ssim):
    sharp = photograph("coffee")[100:220, 200:360]
    assert cw_ssim(sharp, sharp) == pytest.approx(1, abs=1e-12)
    values = [cw_ssim(blurred(sharp, sigma), sharp) for sigma in (1, 2, 4)]
    assert 1 > values[0] > values[1] > values[2] > 0
    assert cw_ssim(sharp, blurred(sharp, 2)) == pytest.approx(values[1], rel=1e-12)
    assert (cw_ssim.higher_is_better, cw_ssim.unit, cw_ssim.needs_sharp) == (True, "", True)


def test_cw_ssim_depends_on_the_order_of_rows_and_columns(cw_ssim):
    sharp = photograph("coffee")[100:220, 200:360]
    turned = [np.ascontiguousarray(image.transpose(1, 0, 2)) for image in (blurred(sharp, 2), sharp)]
    assert abs(cw_ssim(*turned) - cw_ssim(blurred(sharp, 2), sharp)) > 1e-3


def test_cw_ssim_does_not_depend_on_the_number_format(cw_ssim):
    sharp = photograph("chelsea")[:80, :90]
    restored = smeared(sharp)
    expected = cw_ssim(restored, sharp)
    assert cw_ssim(restored.astype(np.uint16) * 257, sharp.astype(np.uint16) * 257) == expected
    assert cw_ssim(restored / 255, sharp / 255) == expected
    with pytest.raises(ValueError, match="differ in shape"):
        cw_ssim(restored, sharp[1:])


def test_cw_ssim_holds_one_width_at_a_time(cw_ssim):
    image = np.resize(photograph("astronaut"), (360, 640, 3))
    tracemalloc.start()
    try:
        cw_ssim(image, image[::-1])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 15 * 8 * image.shape[0] * image.shape[1], "all 30 widths of both images would be 60 lines"
