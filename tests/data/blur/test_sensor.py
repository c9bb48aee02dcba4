from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from deblurkit.data.blur.camera_response import response
from deblurkit.data.blur.sensor import Sensor, encode_batch, on_levels, through_jpeg
from deblurkit.data.shake import srgb_to_linear
from deblurkit.errors import UserError
from deblurkit.metrics.psnr import psnr

NOISE = {"full_well": 10_000, "read_noise": 3}


@pytest.fixture
def curve(tmp_path: Path) -> str:
    """A measured response: a steep start, then nearly linear."""
    path = tmp_path / "curve.txt"
    path.write_text(" ".join(str(light) for light in np.linspace(0, 1, 256) ** 1.7 * 900 + np.arange(256)))
    return str(path)


@pytest.mark.parametrize("name", ["srgb", "gamma", "linear", "curve"])
def test_the_truth_is_the_photograph_itself(photograph: np.ndarray, curve: str, name: str) -> None:
    sensor = Sensor(curve if name == "curve" else name, noise=NOISE, jpeg=[30, 60])
    linear = sensor.responses[0].decode(photograph)
    blurred, sharp = sensor.capture(linear, linear, sensor.draw(np.random.default_rng(0)))
    np.testing.assert_array_equal(sharp, photograph)
    assert blurred.dtype == np.uint8
    assert (blurred != photograph).mean() > 0.2
    quiet = Sensor(sensor.responses[0].name)
    np.testing.assert_array_equal(quiet.capture(linear, linear, quiet.draw(np.random.default_rng(0)))[0], photograph)


def test_noise_has_the_variance_of_photons_and_read_out() -> None:
    sensor = Sensor("linear", noise={"full_well": 400, "read_noise": 5})
    light = np.full((200, 200, 3), 0.25, dtype=np.float32)
    noisy, _ = sensor.capture(light, light, sensor.draw(np.random.default_rng(0)))
    electrons = noisy / 255 * 400
    assert electrons.mean() == pytest.approx(100, rel=0.01)
    assert electrons.var() == pytest.approx(100 + 25, rel=0.03)


def test_gain_burns_out_both_images_after_the_exposure() -> None:
    sensor = Sensor("linear", gain=[4, 4])
    sharp = np.zeros((1, 5, 3), dtype=np.float32)
    sharp[0, 2] = 1
    blurred = np.full((1, 5, 3), 0.2, dtype=np.float32)  # the same lamp, moved over the five pixels
    photograph, truth = sensor.capture(blurred, sharp, sensor.draw(np.random.default_rng(0)))
    assert (photograph == 204).all()  # 4 x 0.2: the trace of light that the photograph had clipped is bright
    assert truth[0, :, 0].tolist() == [0, 0, 255, 0, 0]


def test_all_is_drawn_within_the_ranges_and_repeats() -> None:
    sensor = Sensor(noise=NOISE, gain=[0.5, 2], jpeg=[40, 42])
    drawn = [sensor.draw(np.random.default_rng(seed)) for seed in range(300)]
    gains = [float(one["gain"]) for one in drawn]
    assert 0.5 <= min(gains) < 0.55
    assert 1.9 < max(gains) <= 2
    assert {int(one["quality"]) for one in drawn} == {40, 41, 42}
    assert len({int(one["noise_seed"]) for one in drawn}) == 300
    assert sensor.draw(np.random.default_rng(7)) == drawn[7]


def test_jpeg_quality(photograph: np.ndarray) -> None:
    low, high = (psnr(through_jpeg(photograph, quality), photograph) for quality in (10, 95))
    assert low < 32 < 36 < high


@pytest.mark.parametrize("name", ["srgb", "gamma", "linear", "curve"])
def test_the_device_encodes_as_numpy_does(curve: str, name: str) -> None:
    camera = response(curve if name == "curve" else name)
    light = np.concatenate([np.linspace(-0.2, 1.2, 100_001), np.geomspace(1e-9, 1, 100_001)]).astype(np.float32)
    light = np.concatenate([light, camera.decode(np.arange(256, dtype=np.uint8))])
    encoded = encode_batch(torch.from_numpy(light), camera).numpy()
    np.testing.assert_allclose(encoded, camera.encode(light), atol=2e-5)
    np.testing.assert_allclose(on_levels(torch.from_numpy(encoded[-256:])) * 255, np.arange(256), atol=1e-4)


def test_a_batch_is_captured_as_each_image_is(photograph: np.ndarray) -> None:
    sensor = Sensor(noise=NOISE, gain=[0.7, 1.5])
    drawn = [sensor.draw(np.random.default_rng(seed)) for seed in range(3)]
    images = [srgb_to_linear(photograph), srgb_to_linear(photograph[::-1].copy()), srgb_to_linear(photograph // 3)]
    fields = [sensor.draw_field(photograph.shape[:2], one) for one in drawn]
    stacked = {name: torch.from_numpy(np.stack([field[name] for field in fields])) for name in fields[0]}
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    for captured, which in zip(sensor.capture_batch(batch, batch, stacked), (0, 1), strict=True):
        alone = np.stack([sensor.capture(image, image, one)[which] for image, one in zip(images, drawn, strict=True)])
        levels = captured.permute(0, 2, 3, 1).numpy() * 255
        assert np.abs(levels - alone).max() < 1 + 1e-3
        assert (np.abs(levels - alone) > 0.5).mean() < 1e-3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"noise": {"full_wel": 1, "read_noise": 1}}, "did you mean 'full_well'"),
        ({"noise": {"full_well": 1000}}, "expected {full_well: ELECTRONS"),
        (
            {"noise": {"full_well": 0, "read_noise": 1}},
            "noise: full_well: got 0, expected electrons, a finite number above 0",
        ),
        ({"noise": {"full_well": 1000, "read_noise": -1}}, "noise: read_noise: got -1, expected 0, or electrons"),
        ({"noise": {"full_well": float("inf"), "read_noise": 1}}, "full_well: got inf"),
        ({"noise": {"full_well": "a", "read_noise": 1}}, "full_well: got 'a'"),
        ({"gain": 2}, r"gain: got 2, expected \[least, greatest\], above 0"),
        ({"gain": [1, float("inf")]}, r"gain: got \[1, inf\]"),
        ({"jpeg": 50}, r"jpeg: got 50, expected \[least, greatest\], from 1 to 100"),
        ({"gain": [2, 1]}, "gain: got"),
        ({"gain": [0, 1]}, "gain: got"),
        ({"jpeg": [0, 50]}, "jpeg: got"),
        ({"jpeg": [50, 101]}, "jpeg: got"),
        ({"jpeg": [50.5, 60]}, "whole numbers"),
    ],
)
def test_arguments_out_of_range(arguments: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Sensor(**arguments)


def test_an_unknown_response() -> None:
    with pytest.raises(UserError, match="response: 'sRGB'"):
        Sensor("sRGB")


def test_ranges_shares_and_several_responses_are_drawn(photograph: np.ndarray) -> None:
    noise = {"full_well": [100, 10_000], "read_noise": [1, 9]}
    sensor = Sensor(["linear", "srgb"], noise, jpeg=[40, 60], noise_share=0.25, jpeg_share=0.5)
    drawn = [sensor.draw(np.random.default_rng(seed)) for seed in range(400)]
    wells = np.array([one["full_well"] for one in drawn])
    assert 100 <= wells.min() < 130
    assert 8000 < wells.max() <= 10_000
    assert np.median(wells) == pytest.approx(1000, rel=0.3)  # log-uniform: as many above a thousand as below
    assert min(one["read_noise"] for one in drawn) >= 1
    assert max(one["read_noise"] for one in drawn) <= 9
    assert np.mean([one["noisy"] for one in drawn]) == pytest.approx(0.25, abs=0.07)
    assert np.mean([one["quality"] > 0 for one in drawn]) == pytest.approx(0.5, abs=0.08)
    assert np.mean([one["response"] for one in drawn]) == pytest.approx(0.5, abs=0.08)
    # What is neither noisy nor compressed is the photograph itself, whichever response was drawn.
    untouched = [one for one in drawn if not one["noisy"] and not one["quality"]]
    for one in untouched[:8]:
        light = sensor.response(one).decode(photograph)
        np.testing.assert_array_equal(sensor.capture(light, light, one)[0], photograph)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"response": []}, "response: got an empty list"),
        ({"noise_share": 1.5}, "noise_share: got 1.5, expected a share from 0 to 1"),
        ({"jpeg_share": "all"}, "jpeg_share: got 'all'"),
        ({"noise": {"full_well": [0, 5], "read_noise": 1}}, "noise: full_well: got [0, 5]"),
        ({"noise": {"full_well": 5, "read_noise": [3, 1]}}, "noise: read_noise: got [3, 1]"),
    ],
)
def test_refuses_what_cannot_be_drawn(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        Sensor(**arguments)
