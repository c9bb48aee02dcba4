"""One network and several threads at once: each call gives what it gives alone, in every mode."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch

from deblurkit import Deblurrer, checkpoint
from deblurkit.archs.nafnet import NAFNet
from deblurkit.inference.restore import restore

THREADS, CALLS = 8, 16
SIZES = ((40, 40), (72, 56), (56, 104), (176, 160))
GENERATOR = {
    "type": "NAFNet",
    "width": 4,
    "encoder_blocks": [1, 1],
    "middle_blocks": 1,
    "decoder_blocks": [1, 1],
}
# Local means have windows below the larger sizes; under auto the largest images are done in tiles.
MODES = (
    "auto",
    "auto+tlc:32",
    "whole",
    "tile:48,16",
    "grid:48",
    "tlc:32",
    "x8",
    "tile:48,16+tlc:32+x8",
    "grid:48+tlc:32",
)


def network() -> NAFNet:
    """NAFNet with values in the factors that start at zero: its pools show."""
    torch.manual_seed(1)
    made = NAFNet(**{key: value for key, value in GENERATOR.items() if key != "type"}).eval()
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_((0.02 if weight.any() else 0.5) * torch.randn_like(weight))
    return made


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("threads") / "nafnet.pth"
    state = {"generator": network().state_dict(), "ema": None, "position": {"iteration": 1, "epoch": 0}}
    checkpoint.save({"format": checkpoint.FORMAT, **state, "options": {"name": "n", "generator": GENERATOR}}, path)
    return path


def photographs() -> list[np.ndarray]:
    image = skimage.data.astronaut()
    return [image[n : n + height, 2 * n : 2 * n + width] for n in range(CALLS) for height, width in [SIZES[n % 4]]]


@pytest.mark.parametrize("mode", MODES)
def test_eight_threads_restore_what_one_does(weights: Path, mode: str) -> None:
    memory = 0.006 if "auto" in mode else None
    alone, shared = (Deblurrer(weights, device="cpu", inference=mode, memory=memory) for _ in range(2))
    images = photographs()
    expected = [alone(image) for image in images]
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(shared, images))
    assert all(map(np.array_equal, found, expected))
    assert shared.session.used == alone.session.used
    assert ("tile" in str(shared.session.used)) is ("tile" in mode or "auto" in mode), "the large ones do not fit"
    assert shared.session.used.total() == CALLS
    assert shared.session.notes() == alone.session.notes()
    assert np.array_equal(shared(images[3]), expected[3]), "nothing is left of the threads"
    modules = list(shared.generator.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)


def test_local_means_that_each_call_calibrates() -> None:
    generator = network()
    images = [torch.from_numpy(image).permute(2, 0, 1)[None] / 255 for image in photographs()]
    run = partial(restore, generator, inference="tlc:32")
    expected = [run(image) for image in images]
    assert not torch.equal(expected[3], restore(generator, images[3]))
    with ThreadPoolExecutor(THREADS) as pool:
        assert all(map(torch.equal, pool.map(run, images), expected))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in generator.modules())
