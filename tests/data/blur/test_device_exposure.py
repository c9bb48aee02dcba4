from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch

from deblurkit.data.blur import device_exposure, exposure
from deblurkit.data.shake import srgb_to_linear
from deblurkit.registry import BLURS

ON_DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")),
]
BLURRED = [
    {"type": "Shake", "margin": 30, "steps": 12},
    {"type": "Shake", "margin": 40, "steps": 5, "extent": [20, 25], "roll": [3, 3], "tilt": [0.5, 0.5], "jerk": 0.3},
    {"type": "ObjectMotion", "margin": 40, "steps": 8, "objects": 2},
    {"type": "ObjectMotion", "margin": 60, "steps": 7, "camera": {"extent": [5, 9], "roll": [2, 2]}, "exposure": 0.8},
]
# OpenCV 4 rounds places to 1/32 of a pixel.
GREATEST_DIFFERENCE = 1e-3 if int(cv2.__version__.split(".")[0]) >= 5 else 2e-2


def draws(blur: Any, size: tuple[int, int], count: int) -> list[dict[str, np.ndarray]]:
    return [blur.draw(size, np.random.default_rng(seed)) for seed in range(count)]


def stacked(drawn: list[dict[str, np.ndarray]], device: str) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.stack([one[name] for one in drawn])).to(device) for name in drawn[0]}


def as_batch(images: list[np.ndarray], device: str) -> torch.Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous().to(device)


@pytest.mark.parametrize("mirror", [True, False])
def test_both_continue_an_image_beyond_its_border_alike(photograph: np.ndarray, mirror: bool) -> None:
    linear = srgb_to_linear(photograph)
    moved = np.array([[1.02, 0.05, 40.3], [-0.05, 0.98, -30.6], [1e-5, -2e-5, 1]])
    batch = device_exposure.warp(as_batch([linear], "cpu"), torch.from_numpy(moved)[None, None], mirror)
    single = exposure.warp(linear, moved, mirror)
    np.testing.assert_allclose(batch[0, :, 0].permute(1, 2, 0), single, atol=GREATEST_DIFFERENCE)


@pytest.mark.parametrize("device", ON_DEVICES)
@pytest.mark.parametrize("arguments", BLURRED, ids=lambda arguments: f"{arguments['type']}-{arguments['steps']}")
def test_the_batch_equals_the_single_images(photograph: np.ndarray, arguments: dict[str, Any], device: str) -> None:
    """Photographs, and white noise, whose edges are as strong as can be; borders included."""
    linear = srgb_to_linear(photograph)
    noise = np.random.default_rng(0).random(linear.shape, dtype=np.float32)
    images = [linear, np.ascontiguousarray(linear[::-1]), noise]
    blur = BLURS.build(arguments)
    drawn = draws(blur, linear.shape[:2], len(images))
    blurred, sharp = blur.expose_batch(as_batch(images, device), stacked(drawn, device))
    assert blurred.shape == sharp.shape == (3, 3, *linear.shape[:2])
    assert blurred.dtype == sharp.dtype == torch.float32
    for index, image in enumerate(images):
        for batch, single in zip((blurred, sharp), blur.expose(image, drawn[index]), strict=True):
            difference = np.abs(batch[index].permute(1, 2, 0).cpu().numpy() - single).max()
            assert difference <= GREATEST_DIFFERENCE
        moved = np.abs(blurred[index].cpu().numpy() - image.transpose(2, 0, 1)).max()
        assert moved > 0.05  # it was blurred


def test_the_steps_are_warped_a_few_at_a_time(photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    linear = as_batch([srgb_to_linear(photograph)] * 2, "cpu")
    blur = BLURS.build(BLURRED[3])
    drawn = stacked(draws(blur, photograph.shape[:2], 2), "cpu")
    whole, _ = blur.expose_batch(linear, drawn)
    at_once = []
    warp = device_exposure.warp

    def watched(images: torch.Tensor, homographies: torch.Tensor, mirror: bool = True) -> torch.Tensor:
        at_once.append(homographies.shape[1])
        return warp(images, homographies, mirror)

    monkeypatch.setattr(device_exposure, "warp", watched)
    monkeypatch.setattr(device_exposure, "_SAMPLES_AT_ONCE", 3 * 2 * photograph.shape[0] * photograph.shape[1])
    parts, _ = blur.expose_batch(linear, drawn)
    assert set(at_once) == {3, 1}  # 7 steps in threes, and the objects' colours
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=0)


def test_a_still_camera_changes_nothing_nor_its_input() -> None:
    linear = torch.rand(1, 3, 40, 50)
    before = linear.clone()
    camera = torch.eye(3, dtype=torch.float64).repeat(1, 4, 1, 1)
    torch.testing.assert_close(device_exposure.expose(linear, camera), before, atol=1e-5, rtol=0)
    assert torch.equal(linear, before)
