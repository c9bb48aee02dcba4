"""What the old test scripts did to images before and after the network."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from deblurkit.data.images import to_tensor
from deblurkit.evaluation.protocols.protocol import get_protocol


def sample(height: int, width: int) -> dict[str, object]:
    photo = np.asarray(Image.fromarray(skimage.data.coffee()).resize((width, height)))
    return {"blurred": to_tensor(np.roll(photo, 1, axis=1)), "sharp": to_tensor(photo), "key": "a"}


def test_v1_scores_one_window_of_reduced_images() -> None:
    protocol = get_protocol("deblurgan-v1-legacy")
    given = sample(720, 1280)
    first, again, other = (protocol.prepare(given, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first["sharp"], again["sharp"])
    assert not torch.equal(first["sharp"], other["sharp"])
    assert first["blurred"].shape == first["sharp"].shape == (3, 256, 256)
    assert first["key"] == "a"
    photo = Image.fromarray(protocol.quantise(given["sharp"]))
    reduced = np.asarray(photo.resize((640, 360), Image.Resampling.BICUBIC))
    rng = np.random.default_rng(1)
    top, left = int(rng.integers(360 - 256)), int(rng.integers(640 - 256))
    window = np.s_[top : top + 256, left : left + 256]
    assert np.array_equal(protocol.quantise(first["sharp"]), reduced[window])
    photo = Image.fromarray(protocol.quantise(given["blurred"]))
    reduced = np.asarray(photo.resize((640, 360), Image.Resampling.BICUBIC))
    assert np.array_equal(protocol.quantise(first["blurred"]), reduced[window])


@pytest.mark.parametrize(("height", "width"), [(720, 1280), (101, 333), (800, 1400)])
def test_v2_pads_on_all_sides_and_gives_the_middle_back(height: int, width: int) -> None:
    protocol = get_protocol("deblurganv2-legacy")
    given = sample(height, width)
    prepared = protocol.prepare(given, np.random.default_rng(0))
    assert prepared["blurred"].shape == (3, max(height, 736), max(width, 1280))
    above, left = (max(0, least - side) // 2 for least, side in ((736, height), (1280, width)))
    sides = [(above, max(0, 736 - height) - above), (left, max(0, 1280 - width) - left)]
    assert np.array_equal(
        prepared["blurred"].numpy(), np.pad(given["blurred"].numpy(), [(0, 0), *sides], mode="reflect")
    )
    assert torch.equal(protocol.after(prepared["blurred"], prepared), given["blurred"])
    assert prepared["sharp"] is given["sharp"]


def test_both_run_the_generator_in_training_mode_and_no_other_does() -> None:
    assert get_protocol("deblurgan-v1-legacy").training_mode
    assert get_protocol("deblurganv2-legacy").training_mode
    assert not get_protocol("gopro-matlab-v1").training_mode


def test_truncation_costs_a_tenth_of_a_decibel() -> None:
    photo = to_tensor(skimage.data.coffee())
    restored = photo + 0.006 * torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))
    cut, rounded = (
        protocol.score(protocol.quantise(restored), [protocol.quantise(photo)]).scores["psnr"]
        for protocol in (get_protocol("deblurganv2-legacy"), get_protocol("gopro-basicsr-v1"))
    )
    assert rounded - cut > 0.1
