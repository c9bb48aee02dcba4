"""Networks that options ask for are no larger than their weights, and cost nothing before that is known."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peak import forget_peak, peak_bytes
from states import whole_state
from torch import nn

from deblurkit import checkpoint
from deblurkit.archs.filter_bank_unet import FilterBankUNet
from deblurkit.bounded import Bounds, TooLargeError, bounded, check_arguments
from deblurkit.checkpoint import CheckpointError
from deblurkit.errors import UserError
from deblurkit.options.load import options_from_dict
from deblurkit.registry import ARCHS

SMALL: dict[str, Any] = {"type": "FilterBankUNet", "channels": [4], "blocks": 1, "filters": 2, "taps": 5}


@pytest.fixture
def small(tmp_path: Path) -> dict[str, Any]:
    torch.manual_seed(0)
    return whole_state(generator=ARCHS.build(SMALL).state_dict(), options={"name": "small", "generator": SMALL})


@pytest.mark.parametrize(
    ("component", "words"),
    [
        ({"type": "NAFNet", "width": 8000}, "does not fit its weights: it would have more than [0-9]+ weights"),
        ({"type": "DeblurGAN", "blocks": 10**9}, "it would have more than [0-9]+ (parts|weights)"),
        ({**SMALL, "taps": 10**5 + 1}, "it would have more than [0-9]+ weights"),
        ({**SMALL, "channels": [1] * 10**5}, "its arguments hold more than 1000 values"),
        ({**SMALL, "channels": [10**30]}, "options.generator: FilterBankUNet"),
        ({**SMALL, "channels": [-4]}, "options.generator: FilterBankUNet"),
        ({**SMALL, "channels": "wide"}, "options.generator: FilterBankUNet"),
        ({**SMALL, "channels": None}, "options.generator: FilterBankUNet"),
        ({**SMALL, "blocks": 1.5}, "options.generator: FilterBankUNet"),
        ({**SMALL, "chanels": [4]}, "options.generator: FilterBankUNet"),
        ({**SMALL, "blocks": 2}, "do not fit FilterBankUNet:"),
        ({"type": "StructureGuided", "recurrences": 10**9}, "StructureGuided: recurrences must be from 1 to 1000"),
    ],
)
def test_a_checkpoint_that_asks_for_a_giant(
    tmp_path: Path, small: dict[str, Any], component: dict[str, Any], words: str
):
    file = tmp_path / "a.pth"
    checkpoint.save({**small, "options": {"name": "small", "generator": component}}, file)
    forget_peak()
    start, before = time.process_time(), peak_bytes()
    with pytest.raises(CheckpointError, match=words) as caught:
        checkpoint.load_generator(checkpoint.load(file), file)
    assert time.process_time() - start < 5
    assert peak_bytes() - before < 200 * 2**20
    assert all(line.isprintable() for line in caught.value.problems)


def test_a_network_that_cannot_live_on_the_meta_device_is_built_and_bounded(tmp_path: Path, small: dict[str, Any]):
    plugin = tmp_path / "looking.py"
    plugin.write_text(
        "import torch\nfrom torch import nn\nfrom deblurkit.registry import ARCHS\n\n\n"
        "@ARCHS.register_module()\nclass LooksAtValues(nn.Module):\n"
        "    def __init__(self, width: int = 2) -> None:\n        super().__init__()\n"
        "        self.scale = nn.Parameter(torch.ones(width))\n        self.first = float(torch.ones(1))\n"
        "        self.more = nn.ModuleList(nn.Linear(1000, 1000) for _ in range(width - 2))\n\n"
        "    def forward(self, image):\n        return image * self.scale[0]\n"
    )
    weights = {"scale": torch.ones(2)}
    state = {**small, "generator": weights, "options": {"name": "x", "generator": {"type": "LooksAtValues"}}}
    assert checkpoint.load_generator(state, "a.pth", (str(plugin),)).first == 1
    state["options"]["generator"]["width"] = 10**6
    with pytest.raises(
        CheckpointError, match=r"options.generator: LooksAtValues: it would have more than 8000004 weights"
    ):
        checkpoint.load_generator(state, "a.pth")


def test_loading_touches_no_random_stream(small: dict[str, Any]):
    def drawn() -> tuple[Any, ...]:
        return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()

    before = drawn()
    checkpoint.load_generator(small, "a.pth")
    assert drawn() == before


def test_only_the_thread_that_asked_is_bounded():
    """And nobody is when the block has ended."""
    built: list[nn.Module] = []
    with bounded(Bounds(weights=10, parts=1000)):
        thread = threading.Thread(target=lambda: built.append(FilterBankUNet()))
        thread.start()
        thread.join()
        with pytest.raises(TooLargeError, match="it would have more than 10 weights"):
            FilterBankUNet()
    assert built
    FilterBankUNet()


def test_calls_are_bounded():
    network = nn.Sequential(nn.Identity(), nn.Identity())
    with bounded(Bounds(weights=0, parts=0, calls=3)):
        network(torch.zeros(1))
        with pytest.raises(TooLargeError, match="more than 3 calls"):
            network(torch.zeros(1))


def test_arguments_are_counted_at_every_depth():
    check_arguments({"a": [1] * 900, "b": {"c": 1}})
    with pytest.raises(TooLargeError, match="more than 1000 values"):
        check_arguments({"a": [[[0] * 500], {"b": [0] * 500}]})


@pytest.mark.parametrize(
    "component",
    [
        {"type": "NAFNet", "width": 10**6},
        {"type": "NAFNet", "middle_blocks": 10**9},
        {"type": "DeblurGAN", "blocks": 10**9},
        {"type": "DeblurGAN", "channels": 10**9},
        {"type": "BlurAttention", "modules": 10**9},
        {"type": "BlurAttention", "layers": 10**9},
        {"type": "DSCNet", "n_dsc": 10**9},
        {"type": "MADN", "blocks": 10**9},
        {"type": "Crosshatch", "blocks": 10**9},
        {"type": "StructureGuided", "recurrences": 10**9},
        {"type": "StructureGuided", "paths": 10**9},
        {"type": "StructureGuided", "channels": [4] * 5000},
        {"type": "FilterBankUNet", "taps": 10**9 + 1},
        {"type": "FilterBankUNet", "channels": [4] * 900},
    ],
    ids=str,
)
def test_an_option_file_that_asks_for_a_giant(component: dict[str, Any]):
    forget_peak()
    start, before = time.process_time(), peak_bytes()
    with pytest.raises(UserError, match="generator") as caught:
        options_from_dict({"name": "giant", "generator": component}, "options.yml")
    assert time.process_time() - start < 10
    assert peak_bytes() - before < 200 * 2**20
    assert all(line.isprintable() and len(line) < 1000 for line in caught.value.problems)
