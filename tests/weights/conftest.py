"""A checkpoint of a small network, the command line within this process, and an experiment on two pairs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from states import whole_state

from deblurkit import checkpoint, cli
from deblurkit.data.images import write_image
from deblurkit.options.load import options_from_dict
from deblurkit.options.schema import Options
from deblurkit.registry import ARCHS

SMALL = {"type": "FilterBankUNet", "channels": [4, 4], "blocks": 1, "filters": 2, "taps": 5}


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A checkpoint whose averaged weights are not those that were trained last."""
    torch.manual_seed(0)
    weights = ARCHS.build(SMALL).state_dict()
    averaged = {name: value + 0.01 * torch.randn(value.shape) for name, value in weights.items()}
    state = whole_state(generator=weights, ema=averaged, options={"name": "small", "generator": SMALL})
    checkpoint.save(state, tmp_path / "small.pth")
    return tmp_path / "small.pth"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """A function that runs ``deblurkit`` with the given words, and returns the lines that it prints."""

    def run(*words: object) -> list[str]:
        typed = [str(word) for word in words]
        args = cli.program().parse_args(typed)
        args.typed = typed[1:]
        args.run(args)
        return capsys.readouterr().out.splitlines()

    return run


@pytest.fixture
def experiment(tmp_path: Path) -> Callable[[dict[str, Any]], Options]:
    """A function that returns options for a generator: two pairs of equal images, an iteration that moves nothing."""
    for number in range(2):
        sharp = np.ascontiguousarray(skimage.data.astronaut()[30 * number : 30 * number + 64, 100:164])
        for kind in ("sharp", "blur"):
            (tmp_path / kind).mkdir(exist_ok=True)
            write_image(tmp_path / kind / f"{number}.png", sharp)
    pairs = {"type": "PairedImages", "blurred": str(tmp_path / "blur"), "sharp": str(tmp_path / "sharp")}

    def options(generator: dict[str, Any]) -> Options:
        whole = {
            "name": "pairs",
            "generator": generator,
            "losses": {"pixel": {"type": "L1Loss"}},
            "optimizers": {"generator": {"type": "SGD", "lr": 0.0}},
            "datasets": {"train": {**pairs, "crop": 64, "batch_size": 2}, "test": {"pairs": pairs}},
            "train": {"iters": 1, "checkpoint_every": 1},
            "logging": {"tensorboard": False, "curves": False},
        }
        return options_from_dict(whole, "test")

    return options
