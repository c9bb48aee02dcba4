"""Whole trainings from an option file alone, their schedules, and what the hooks keep."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from runs import checkpoint_of, differences, records
from tiny import CRITIC

from deblurkit import load_options, train
from deblurkit.data.images import read_image
from deblurkit.engine.build import Setup
from deblurkit.errors import UserError
from deblurkit.metrics.psnr import psnr

GAME = {"type": "AdversarialLoss", "critic": "critic", "weight": 0.01}


def game(**arguments: object) -> dict:
    return {"discriminators": {"critic": CRITIC}, "losses": {"adversarial": {**GAME, **arguments}}}


EXPERIMENTS = {
    "regression": {},
    "two critics": {
        "discriminators": {"critic": CRITIC, "double": {**CRITIC, "layers": 1}},
        "losses": {"adversarial": {**GAME, "mode": "lsgan"}, "double": {**GAME, "mode": "hinge", "critic": "double"}},
    },
    "conditional": {
        "discriminators": {"critic": {**CRITIC, "in_channels": 6}},
        "losses": {"adversarial": {**GAME, "condition": "blurred"}},
    },
    "wgan-gp": {**game(mode="wgan", gradient_penalty={"weight": 10}), "train": {"critic_steps": 5, "iters": 3}},
    "ralsgan": game(mode="ralsgan"),
    "one-sided ralsgan": game(mode="ralsgan", symmetric=False),
    "hinge": game(mode="hinge"),
    "weight clip": game(mode="wgan", weight_clip=0.01),
    "own batches": {**game(mode="wgan"), "train": {"critic_steps": 2, "critic_batches": "own", "iters": 3}},
    "bf16": {**game(mode="lsgan"), "train": {"precision": "bf16", "iters": 3}},
    "view": {"losses": {"edges": {"type": "L1Loss", "pred": "sobel(image)", "target": "sobel(sharp)", "weight": 0.5}}},
}


def start(tmp_path: Path, options: Path, name: str = "run", *overrides: str) -> Path:
    return train(load_options(options, overrides), tmp_path / name, device="cpu")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_trains_from_options_alone(tmp_path: Path, option_file: Callable[..., Path], name: str):
    folder = start(tmp_path, option_file(EXPERIMENTS[name]))
    found = records(folder)
    last = found[-1]
    assert [record["iteration"] for record in found] == list(range(1, last["iteration"] + 1))
    terms = {key: value for key, value in last.items() if key.startswith("term/")}
    assert last["loss"] == pytest.approx(sum(terms.values()), rel=1e-5)
    assert {f"grad/{key[5:]}" for key in terms} <= last.keys()
    state = checkpoint_of(folder, last["iteration"])
    critics = EXPERIMENTS[name].get("discriminators", {})
    assert set(state["critics"]) == set(critics)
    for critic in critics:
        assert {f"critic/{critic}", f"critic/{critic}/sharp", f"grad_norm/{critic}", f"lr/{critic}"} <= last.keys()
    if name == "wgan-gp":
        assert "penalty/adversarial" in last
        assert state["optimizers"]["critic"]["state"][0]["step"].item() == 5 * 3
    if name == "weight clip":
        assert max(value.abs().max().item() for value in state["critics"]["critic"].values()) <= 0.01
    assert state["ema"] is None


def rates(folder: Path, network: str = "generator") -> list[float]:
    return [record[f"lr/{network}"] for record in records(folder)]


EPOCH = 4  # eight pairs in batches of two


@pytest.mark.parametrize("iters", [None, 14])
def test_schedule_in_epochs(tmp_path: Path, option_file: Callable[..., Path], iters: int | None):
    """DeblurGAN's, scaled down: constant for 3 epochs, linear to 0 over 3; unchanged where iterations end the run."""
    linear = {"type": "LinearLR", "start_factor": 1.0, "end_factor": 0.0, "begin": 3, "end": 6}
    options = option_file({"train": {"epochs": 6, "iters": iters}, "schedulers": [linear]})
    found = rates(start(tmp_path, options))
    wanted = [1e-3 * factor for factor in (1, 1, 1, 1, 0.5, 0) for _ in range(EPOCH)]  # at its begin it is still 1
    assert found == pytest.approx(wanted[:iters], abs=1e-12)


@pytest.mark.parametrize(
    "lengths", [{"epochs": 5, "iters": None}, {"epochs": 5, "iters": 18}, {"epochs": 5, "iters": 100}]
)
def test_polynomial_in_epochs_ends_with_the_epochs(tmp_path: Path, option_file: Callable[..., Path], lengths: dict):
    options = option_file({"train": lengths, "schedulers": [{"type": "PolyLR", "eta_min": 1e-4, "power": 2.0}]})
    found = rates(start(tmp_path, options))
    wanted = [1e-4 + 9e-4 * (1 - epoch / 4) ** 2 for epoch in range(5) for _ in range(EPOCH)]
    assert found == pytest.approx(wanted[: lengths["iters"]], rel=1e-9)


def test_schedule_in_iterations(tmp_path: Path, option_file: Callable[..., Path]):
    schedulers = [{"type": "PolyLR", "power": 1.0, "of": "generator"}]
    options = option_file({**game(), "train": {"iters": 9}, "schedulers": schedulers})
    folder = start(tmp_path, options)
    assert rates(folder) == pytest.approx([1e-3 * (1 - n / 8) for n in range(9)], abs=1e-12)
    assert rates(folder, "critic") == [1e-3] * 9
    folder = start(tmp_path, options, "set", "train.iters=5")
    assert rates(folder) == pytest.approx([1e-3 * (1 - n / 4) for n in range(5)], abs=1e-12)


PLUGIN = '''
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import nn

from deblurkit.registry import ARCHS, LOSSES


@ARCHS.register_module()
class TrainingBuffered(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Conv2d(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, blurred):
        return blurred + self.head(self.norm(self.conv(blurred)))


@ARCHS.register_module()
class TrainingNothing(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, blurred):
        return blurred + self.scale


@LOSSES.register_module()
class TrainingBreaks(nn.Module):
    def __init__(self, at):
        super().__init__()
        self.at, self.calls = at, 0

    def forward(self, pred, target):
        self.calls += 1
        return (pred - target).abs().mean() * (float("nan") if self.calls == self.at else 1.0)


@HOOKS.register_module()
class TrainingHistory(Hook):
    """Keeps the generator's weights after each iteration."""

    kept = []
    priority = "LOWEST"

    def before_train(self, runner):
        type(self).kept = [self.state(runner.restorer.generator)]

    def after_iteration(self, runner):
        self.kept.append(self.state(runner.restorer.generator))

    def state(self, network):
        return {name: value.clone() for name, value in network.state_dict().items()}
'''


@pytest.fixture
def plugin(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.getbasetemp() / "training_plugin.py"
    file.write_text(PLUGIN, encoding="utf-8")
    return str(file)


def history() -> list[dict[str, torch.Tensor]]:
    from mmengine.registry import HOOKS

    return HOOKS.get("TrainingHistory").kept


@pytest.mark.parametrize("warmup", [False, True])
def test_average_follows_its_recursion(tmp_path: Path, option_file: Callable[..., Path], plugin: str, warmup: bool):
    decay = 0.25 if warmup else 0.7
    change = {
        "plugins": [plugin],
        "generator": {"type": "TrainingBuffered"},
        "hooks": [{"type": "TrainingHistory"}],
        "train": {"iters": 5, "ema": {"decay": decay, "warmup": warmup}},
    }
    state = checkpoint_of(start(tmp_path, option_file(change)), 5)
    first, *others = history()
    for name, value in state["ema"].items():
        if name.startswith("norm.") and name.split(".")[1] in ("running_mean", "running_var", "num_batches_tracked"):
            assert torch.equal(value, state["generator"][name]), "buffers are copied"
            continue
        average = first[name]
        for number, weights in enumerate(others):  # 0.1, 2/11 and 0.25 thereafter
            share = min(decay, (1 + number) / (10 + number)) if warmup else decay
            average = share * average + (1 - share) * weights[name]
        torch.testing.assert_close(value, average, rtol=1e-5, atol=1e-7)
        assert not torch.equal(value, state["generator"][name])


def test_average_that_a_resumption_begins_warms_up_from_there(tmp_path: Path, option_file: Callable[..., Path]):
    options = option_file({"train": {"iters": 12, "checkpoint_every": 1, "keep": 20}})
    start(tmp_path, options, "run", "train.iters=4")
    averaged = ["train.ema={decay: 0.999, warmup: true}"]
    whole = shutil.copytree(tmp_path / "run", tmp_path / "whole")
    train(load_options(options, averaged), whole, resume=True, device="cpu")
    broken = shutil.copytree(tmp_path / "run", tmp_path / "broken")
    train(load_options(options, [*averaged, "train.iters=8"]), broken, resume=True, device="cpu")
    train(load_options(options, averaged), broken, resume=True, device="cpu")
    states = [checkpoint_of(folder, 12) for folder in (whole, broken)]
    assert states[0]["average_began"] == 4
    assert not differences(states[0]["ema"], states[1]["ema"])
    average = checkpoint_of(whole, 4)["generator"]["stem.weight"]
    for number in range(8):
        share = (1 + number) / (10 + number)
        average = share * average + (1 - share) * checkpoint_of(whole, 5 + number)["generator"]["stem.weight"]
    torch.testing.assert_close(states[0]["ema"]["stem.weight"], average, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("iters", "ema", "told"),
    [
        (300, "{decay: 0.999}", "train.ema: after 300 iterations its average still holds 74% of the weights at"),
        (300, "{decay: 0.999, warmup: true}", ""),
        (50, "{decay: 0.9}", ""),
    ],
)
def test_average_that_would_hold_the_start_is_told(option_file: Callable[..., Path], iters: int, ema: str, told: str):
    options = load_options(option_file(), [f"train.iters={iters}", f"train.ema={ema}"])
    said = [note for note in Setup(options, torch.device("cpu")).notes if "train.ema" in note]
    assert len(said) == bool(told)
    assert all(note.startswith(told) for note in said)
    assert not Setup(options, torch.device("cpu"), pretrained=False).notes, "with --init-from it begins elsewhere"


def test_frozen_part_is_still_until_its_epoch(tmp_path: Path, option_file: Callable[..., Path], plugin: str):
    change = {
        "plugins": [plugin],
        "generator": {"type": "TrainingBuffered"},
        "hooks": [{"type": "TrainingHistory"}],
        "train": {"iters": 6, "freeze": {"conv": 1, "norm": 1}},
    }
    start(tmp_path, option_file(change))
    kept = history()
    for name in ("conv.weight", "norm.running_mean", "norm.weight"):
        assert torch.equal(kept[EPOCH][name], kept[0][name])
        assert not torch.equal(kept[EPOCH + 1][name], kept[EPOCH][name])
    assert not torch.equal(kept[1]["head.weight"], kept[0]["head.weight"])


def test_value_that_is_not_finite_stops_the_run(
    tmp_path: Path, option_file: Callable[..., Path], plugin: str, pairs: dict
):
    val = {"type": "PairedImages", "blurred": pairs["blurred"], "sharp": pairs["sharp"], "limit": 1}
    change = {
        "plugins": [plugin],
        "losses": {"breaks": {"type": "TrainingBreaks", "at": 5}},
        "train": {"iters": 8, "checkpoint_every": 1, "keep": 9},
        "val": {"every": 2},
        "datasets": {"train": pairs, "val": {"pairs": val}},
    }
    with pytest.raises(UserError, match=r"iteration 5: term/breaks is nan; batch: \d{3}, \d{3};"):
        start(tmp_path, option_file(change))
    saved = sorted(file.name for file in (tmp_path / "run" / "checkpoints").iterdir())
    assert saved == ["best_psnr.pth", *(f"iter_{n:08d}.pth" for n in range(1, 5)), "last"]
    best = torch.load(tmp_path / "run" / "checkpoints" / "best_psnr.pth", weights_only=True)
    assert best["position"]["iteration"] in (2, 4)
    assert all(torch.isfinite(value).all() for value in best["generator"].values())
    assert max(record["iteration"] for record in records(tmp_path / "run")) == 4


def test_perfect_score_is_recorded(tmp_path: Path, option_file: Callable[..., Path], pairs: dict, plugin: str):
    """A blurred image equal to its sharp one, and a network that changes nothing: the PSNR is infinite."""
    same = {"type": "PairedImages", "blurred": pairs["sharp"], "sharp": pairs["sharp"], "limit": 2}
    change = {
        "plugins": [plugin],
        "generator": {"type": "TrainingNothing"},
        "datasets": {"train": {**same, "crop": 32}, "val": {"pairs": same}},
        "train": {"iters": 1},
    }
    folder = start(tmp_path, option_file(change))
    assert records(folder)[-1]["val/pairs/psnr"] == "inf"
    assert checkpoint_of(folder, 1)["best"] == {"psnr": float("inf"), "iteration": 1}


def test_one_identical_pair_is_said_and_does_not_settle_which_weights_are_best(
    tmp_path: Path, option_file: Callable[..., Path], pairs: dict, plugin: str
):
    """The network changes nothing: one image stays sharp, its PSNR infinite, and the other one ranks the weights."""
    first, second = sorted(Path(pairs["sharp"]).iterdir())[:2]
    for side in ("blurred", "sharp"):
        (tmp_path / side).mkdir()
        shutil.copy(first, tmp_path / side / "same.png")
        shutil.copy(Path(pairs[side]) / second.name, tmp_path / side / "other.png")
    val = {"type": "PairedImages", "blurred": str(tmp_path / "blurred"), "sharp": str(tmp_path / "sharp")}
    change = {
        "plugins": [plugin],
        "generator": {"type": "TrainingNothing"},
        "datasets": {"train": pairs, "val": {"two": val}},
        "train": {"iters": 1},
    }
    folder = start(tmp_path, option_file(change))
    assert records(folder)[-1]["val/two/psnr"] == "inf"
    other = psnr(read_image(tmp_path / "blurred" / "other.png"), read_image(tmp_path / "sharp" / "other.png"))
    assert checkpoint_of(folder, 1)["best"] == {"psnr": pytest.approx(other), "iteration": 1}
    log = (folder / "log.txt").read_text(encoding="utf-8")
    assert "restored: psnr is infinite, as of identical images, for 1 of 2 images (same), and so is its mean; " in log
    assert f"without them {other:.2f}" in log


def test_logged_only_where_it_is_due(tmp_path: Path, option_file: Callable[..., Path]):
    folder = start(tmp_path, option_file({"train": {"iters": 11}, "logging": {"every": 5}}))
    assert [record["iteration"] for record in records(folder)] == [1, 5, 10, 11]
    assert records(folder)[-1]["epoch"] == 10 // EPOCH
