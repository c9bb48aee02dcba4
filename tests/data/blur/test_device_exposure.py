from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch

from deblurkit.data.blur import device_exposure, exposure
from deblurkit.data.shake import srgb_to_linear
from deblurkit.registry import BLURS

BLURRED = {"type": "ObjectMotion", "margin": 60, "steps": 7, "camera": {"extent": [5, 9], "roll": [2, 2]}}
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


def test_the_steps_are_warped_a_few_at_a_time(photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    linear = as_batch([srgb_to_linear(photograph)] * 2, "cpu")
    blur = BLURS.build(BLURRED)
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
    assert set(at_once) == {3, 1}  # 7 steps in threes, and the objects' origins
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=0)


def test_a_still_camera_changes_nothing_nor_its_input() -> None:
    linear = torch.rand(1, 3, 40, 50)
    before = linear.clone()
    camera = torch.eye(3, dtype=torch.float64).repeat(1, 4, 1, 1)
    torch.testing.assert_close(device_exposure.expose(linear, camera), before, atol=1e-5, rtol=0)
    assert torch.equal(linear, before)
