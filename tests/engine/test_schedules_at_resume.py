"""A run made longer trains at the rates of a run that was as long from its beginning, whatever the schedule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runs import checkpoint_of, records
from tiny import CRITIC

from deblurkit import load_options, train
from deblurkit.errors import UserError
from deblurkit.options.mmengine_checks import mmengine_tables

EPOCH = 4  # eight pairs in batches of two
SHORT, LONG = {"iters": (6, 11), "epochs": (2, 4)}, {"iters": 11, "epochs": 4}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "Constant": {"factor": 0.5, "end": 3},
    "CosineAnnealing": {"eta_min": 1e-5},
    "CosineRestart": {"periods": [2, 3, 8], "restart_weights": [1, 0.5, 0.25], "eta_min": 1e-5},
    "Exponential": {"gamma": 0.9},
    "Linear": {"start_factor": 1.0, "end_factor": 0.1},
    "MultiStep": {"milestones": [1, 3, 7], "gamma": 0.5},
    "OneCycle": {"eta_max": 1e-2, "total_steps": 12},
    "Poly": {"eta_min": 1e-5, "power": 0.9},
    "ReduceOnPlateau": {"monitor": "val/pairs/psnr", "rule": "less", "patience": 0, "factor": 0.5},
    "Step": {"step_size": 2, "gamma": 0.5},
}
"""By the name without what it moves."""
ADMITTED = [name for name in sorted(mmengine_tables()["scheduler"].names) if not name.endswith("ParamScheduler")]


def schedule(name: str) -> dict[str, Any]:
    arguments = dict(ARGUMENTS[name.removesuffix("LR").removesuffix("Momentum")])
    if name.endswith("Momentum") and "eta_min" in arguments:
        arguments["eta_min"] = 0.5
    return {"type": name, **arguments}


@pytest.fixture
def start(tmp_path: Path, option_file: Callable[..., Path], pairs: dict) -> Callable[..., Path]:
    def run(folder: str, change: dict[str, Any], *overrides: str, resume: bool = False) -> Path:
        val = {"type": "PairedImages", "blurred": pairs["blurred"], "sharp": pairs["sharp"], "limit": 1}
        data = {"datasets": {"train": pairs, "val": {"pairs": val}}, "val": {"every": 4}}
        options = load_options(option_file({**data, **change}), overrides)
        return train(options, tmp_path / folder, resume=resume, device="cpu")

    return run


def group(folder: Path, network: str = "generator") -> dict[str, Any]:
    last = int((folder / "checkpoints" / "last").read_text()[5:13])
    return checkpoint_of(folder, last)["optimizers"][network]["param_groups"][0]


def rates(folder: Path, network: str = "generator") -> list[float]:
    return [record[f"lr/{network}"] for record in records(folder) if "loss" in record or "critic/critic" in record]


@pytest.mark.parametrize("unit", ["iters", "epochs"])
@pytest.mark.parametrize("name", [n if n.endswith("LR") else pytest.param(n, marks=pytest.mark.slow) for n in ADMITTED])
def test_longer_run_has_the_rates_of_a_long_one(start: Callable[..., Path], name: str, unit: str):
    change = {"schedulers": [schedule(name)], "train": {"iters": None}}
    if name.startswith("ReduceOnPlateau") and unit == "iters":
        with pytest.raises(UserError, match=r"schedulers\.0: ReduceOnPlateau.*by_epoch"):
            start("refused", change, "train.iters=6")
        return
    short, long = SHORT[unit]
    whole = start("whole", change, f"train.{unit}={long}")
    start("parts", change, f"train.{unit}={short}")
    parts = start("parts", change, f"train.{unit}={long}", resume=True)
    done = short * (EPOCH if unit == "epochs" else 1)
    assert rates(parts)[done:] == rates(whole)[done:]
    assert group(parts) == group(whole), "momentum too"
    if name.endswith("LR"):
        assert len(set(rates(whole))) > 1, "nothing to see"
    elif name != "ConstantMomentum":  # it ends where it began
        assert group(whole)["betas"] != [0.9, 0.999], "nothing to see"


def test_one_that_names_no_parameter_is_refused(start: Callable[..., Path]):
    for name in set(mmengine_tables()["scheduler"].names) - set(ADMITTED):
        arguments = ARGUMENTS[name.removesuffix("ParamScheduler")]
        with pytest.raises(UserError, match=r"param_name|by_epoch"):
            start(name, {"schedulers": [{"type": name, **arguments}]})


def test_several_schedules_after_each_other(start: Callable[..., Path]):
    """MMEngine's multiply the rate that they find: two of them depend on each other's past."""
    two = [
        {"type": "LinearLR", "start_factor": 0.1, "end": 4},
        {"type": "CosineAnnealingLR", "begin": 4, "eta_min": 1e-6},
        {"type": "StepLR", "step_size": 3, "gamma": 0.7},
    ]
    whole = start("whole", {"schedulers": two}, "train.iters=12")
    start("parts", {"schedulers": two}, "train.iters=7")
    parts = start("parts", {"schedulers": two}, "train.iters=12", resume=True)
    assert rates(parts)[7:] == rates(whole)[7:]


@pytest.mark.filterwarnings("error:Detected call of")  # MMEngine's, of a schedule that moves before the first update
@pytest.mark.parametrize("change", [{"critic_warmup": 5}, {"accumulate": 2}, {"critic_warmup": 8, "critic_steps": 2}])
def test_with_warm_up_and_accumulation(start: Callable[..., Path], change: dict[str, Any]):
    game = {
        "discriminators": {"critic": CRITIC},
        "losses": {"game": {"type": "AdversarialLoss", "mode": "lsgan", "critic": "critic"}},
        "schedulers": [{"type": "PolyLR", "eta_min": 1e-5}, {"type": "LinearLR", "of": "critic", "end_factor": 0.1}],
        "train": {"iters": None, **change},
    }
    whole = start("whole", game, "train.iters=10")
    start("parts", game, "train.iters=6")
    parts = start("parts", game, "train.iters=10", resume=True)
    for network in ("generator", "critic"):
        assert rates(parts, network)[6:] == rates(whole, network)[6:]
        assert len(set(rates(whole, network))) > 3


def test_monitor_that_no_validation_gives(start: Callable[..., Path]):
    plateau = {"type": "ReduceOnPlateauLR", "monitor": "val/pairs/psnrr"}
    with pytest.raises(UserError, match=r"'val/pairs/psnrr' \(did you mean 'val/pairs/psnr'\?\)"):
        start("run", {"schedulers": [plateau], "train": {"iters": None, "epochs": 1}})
