"""Parts of the generator that are held still for their first epochs."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from runs import checkpoint_of, run

from deblurkit import load_options, train
from deblurkit.errors import UserError

PLUGIN = '''
import torch
from torch import nn

from deblurkit.registry import ARCHS


@ARCHS.register_module()
class FreezeNested(nn.Module):
    """Two encoders and a head; in each encoder a weight that the network itself holds still."""

    def __init__(self, looks=False):
        super().__init__()
        self.looks = looks
        self.encoders = nn.ModuleList(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)) for _ in range(2))
        self.head = nn.Conv2d(3, 3, 1)
        for encoder in self.encoders:
            encoder[0].bias.requires_grad_(False)
            encoder[1].eval()
        if looks:
            float(self.head.weight.detach().sum())  # cannot be built without values

    def forward(self, blurred):
        features = blurred
        for encoder in self.encoders:
            features = encoder(features)
        return blurred + self.head(features)
'''


@pytest.fixture
def nested(tmp_path_factory: pytest.TempPathFactory, option_file: Callable[..., Path], pairs: dict) -> Path:
    """Three epochs of four iterations of a network with parts inside parts."""
    plugin = tmp_path_factory.getbasetemp() / "freeze_plugin.py"  # one file: it is registered once
    plugin.write_text(PLUGIN, encoding="utf-8")
    return option_file(
        {
            "plugins": [str(plugin)],
            "generator": {"type": "FreezeNested"},
            "datasets": {"train": pairs},
            "train": {"iters": None, "epochs": 3, "checkpoint_every": 4, "keep": 9},
        }
    )


@pytest.mark.parametrize(
    ("freeze", "epochs"),
    [
        ("{encoders: 2, encoders.0: 1}", (2, 2)),
        ("{encoders.0: 1, encoders: 2}", (2, 2)),
        ("{encoders: 1, encoders.0: 2}", (2, 1)),
        ("{encoders.0: 2, encoders: 1}", (2, 1)),
    ],
)
def test_parts_inside_parts_are_held_as_long_as_any_says(
    tmp_path: Path, nested: Path, freeze: str, epochs: tuple[int, int]
) -> None:
    options = load_options(nested, [f"train.freeze={freeze}"])
    train(options, tmp_path / "run", device="cpu")
    states = [checkpoint_of(tmp_path / "run", 4 * epoch)["generator"] for epoch in (1, 2, 3)]
    for number, held in enumerate(epochs):
        weight, bias = f"encoders.{number}.0.weight", f"encoders.{number}.0.bias"
        moved = [not torch.equal(one[weight], other[weight]) for one, other in itertools.pairwise(states)]
        assert moved == [held < 2, True], "from its epoch on"
        assert all(torch.equal(state[bias], states[0][bias]) for state in states), "the network holds it itself"
        counted = f"encoders.{number}.1.num_batches_tracked"
        assert states[-1][counted] == 0, "the network has it in eval mode"
    assert not torch.equal(states[0]["head.weight"], states[1]["head.weight"])


@pytest.mark.parametrize(
    ("freeze", "said"),
    [
        ("{encoders: 1, head: 2}", "train.freeze: holds every weight of FreezeNested, so the first epoch would train"),
        ("{encoders.2: 1}", "train.freeze.encoders.2: FreezeNested has no part named 'encoders.2'"),
    ],
)
@pytest.mark.parametrize("looks", ["false", "true"])
def test_what_cannot_be_held_is_refused(tmp_path: Path, nested: Path, freeze: str, said: str, looks: str) -> None:
    with pytest.raises(UserError) as refused:
        train(load_options(nested, [f"train.freeze={freeze}", f"generator.looks={looks}"]), tmp_path / "run")
    assert said in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_frozen_part_moves_from_its_epoch_on(tmp_path: Path, option_file: Callable[..., Path], pairs: dict) -> None:
    options = option_file(
        {
            "datasets": {"train": pairs},
            "train": {"iters": None, "epochs": 2, "freeze": {"encoder": 1}, "checkpoint_every": 1, "keep": 1000},
        }
    )
    run(tmp_path / "run.txt", "-opt", options, "--work-dir", tmp_path / "run")
    saved = sorted((tmp_path / "run" / "checkpoints").glob("iter_*.pth"))
    half, last = len(saved) // 2, len(saved)
    first, thaw, end = (checkpoint_of(tmp_path / "run", number)["generator"] for number in (1, half, last))
    frozen = [name for name in first if name.startswith("encoder.")]
    assert frozen
    assert all(torch.equal(first[name], thaw[name]) for name in frozen), "still in its first epoch"
    assert all(not torch.equal(thaw[name], end[name]) for name in frozen if name.endswith("second.weight"))
    assert not torch.equal(first["stem.weight"], thaw["stem.weight"]), "the rest trains"
