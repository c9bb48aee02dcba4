"""A checkpoint of a small network, the command line within this process, and an experiment on two pairs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from states import whole_state
from two_pairs import on_two_pairs

from deblurkit import checkpoint, cli
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
    return lambda generator: on_two_pairs(tmp_path, generator, "pairs")
