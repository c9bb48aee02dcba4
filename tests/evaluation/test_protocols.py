"""What a protocol fixes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
import skimage.data
import torch

from deblurkit.data.images import to_tensor
from deblurkit.errors import UserError
from deblurkit.evaluation.protocols import Protocol, get_protocol
from deblurkit.metrics.functional import psnr, ssim


def test_gopro_basicsr_rounds_and_scores() -> None:
    protocol = get_protocol("gopro-basicsr-v1")
    sharp = np.ascontiguousarray(skimage.data.coffee()[:40, :50])
    restored = (to_tensor(sharp) + 0.013).mul(1.001)
    first, second = protocol.quantise(restored), protocol.quantise(to_tensor(sharp))
    assert np.array_equal(second, sharp)
    exact = np.clip(np.floor(restored.numpy().astype(np.float64) * 255 + 0.5), 0, 255).transpose(1, 2, 0)
    assert np.abs(first - exact).max() <= 1
    assert (first != exact).mean() < 1e-3  # float32 against float64 next to a half
    assert protocol.score(first, second) == {"psnr": psnr(first, sharp), "ssim": ssim(first, sharp)}


def test_identical_images_are_infinite_and_so_is_their_mean() -> None:
    protocol = get_protocol("gopro-basicsr-v1")
    image = protocol.quantise(torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1)))
    scores = protocol.score(image, image)
    assert scores == {"psnr": float("inf"), "ssim": 1.0}
    assert protocol.average([scores, {"psnr": 30.0, "ssim": 0.5}]) == {"psnr": float("inf"), "ssim": 0.75}


def test_attributes_make_another_protocol() -> None:
    class Cropped(Protocol):
        id = "cropped-y-v1"
        version = 1
        description = "for this test"
        crop_border = 3
        metrics: ClassVar[Mapping[str, Mapping[str, Any]]] = {"psnr_y": {"type": "PSNR", "y_channel": True}}

    sharp = np.ascontiguousarray(skimage.data.coffee()[:40, :50])
    restored = np.roll(sharp, 1, axis=1)
    expected = psnr(restored, sharp, y_channel=True, crop_border=3)
    assert Cropped().score(restored, sharp) == {"psnr_y": expected}
    assert "crop_border: 3 pixels" in Cropped().explain()


def test_unknown_protocol() -> None:
    with pytest.raises(UserError, match=r"--protocol: no protocol is named 'gopro-basicsr'.*did you mean"):
        get_protocol("gopro-basicsr", "--protocol")


def test_explanation_says_it_all() -> None:
    text = get_protocol("gopro-basicsr-v1").explain()
    for part in ("version 1", "round_u8", "whole", "psnr: type=PSNR", "ssim: type=SSIM", "mean of the images"):
        assert part in text
