"""Steps that fp16 skips: they are counted and logged, a resumed run counts on, and a run that only skips is stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from runs import checkpoint_of, differences, records, run, timeless
from steps import batch, game, optimizers, restorer, term

from deblurkit import load_options, train
from deblurkit.engine.finite_guard import NonFiniteError

PLUGIN = '''
from torch import nn

from deblurkit.registry import LOSSES


@LOSSES.register_module()
class SteepLoss(nn.Module):
    """Finite, with a gradient that is NaN: the slope of a root at 0, times 0."""

    def forward(self, pred, target):
        return (pred - target).abs().mean() + 0 * (pred - pred.detach()).square().sum().sqrt()
'''
# Its gradient fits into fp16 once the scale, 65536 at first, has been halved some times.
LARGE = {"losses": {"image": {"type": "L1Loss", "weight": 1e4}}}


def test_gradients_that_stay_nan_stop_the_run(tmp_path: Path, option_file: Callable[..., Path]) -> None:
    plugin = tmp_path / "steep.py"
    plugin.write_text(PLUGIN, encoding="utf-8")
    change = {"plugins": [str(plugin)], "losses": {"image": {"type": "SteepLoss"}}, "train": {"precision": "fp16"}}
    options = option_file({**change, "train": {"precision": "fp16", "iters": 60, "checkpoint_every": 1}})
    text = run(tmp_path / "run.txt", "-opt", options, "--work-dir", tmp_path / "run", code=2)
    assert "iteration 17: generator has skipped 17 steps in a row" in text
    assert "its scale is 0.5; batch: 00" in text
    assert "Traceback" not in text
    assert [record["scale/generator"] for record in records(tmp_path / "run")] == [2.0**n for n in range(15, -1, -1)]


def test_many_skips_in_a_row_stop_the_run_at_any_scale() -> None:
    made = restorer([term("image")], precision="fp16")
    own = optimizers(made)
    own["generator"].scaler = torch.amp.GradScaler("cpu", init_scale=2.0**60)
    for number in range(1, 20):
        own["generator"].backward(made.generator(batch()["blurred"]).sum() * torch.inf)
        own["generator"].step()
        made.guard.check_steps(number, ["a"], own)
    own["generator"].backward(made.generator(batch()["blurred"]).sum() * torch.inf)
    own["generator"].step()
    with pytest.raises(NonFiniteError, match=r"iteration 20: generator has skipped 20 steps in a row"):
        made.guard.check_steps(20, ["a"], own)


def test_skips_are_logged_of_each_network_and_end_where_the_scale_fits() -> None:
    made = restorer([term("image", weight=1e4), game("lsgan", weight=0.1)], precision="fp16")
    own, made.measure = optimizers(made), True
    logs = [made.train_step([batch()], own) for made.iteration in range(14)]
    scales = [float(log["scale/generator"]) for log in logs]
    skipped = [float(log["skipped/generator"]) for log in logs]
    assert scales[0] == 2.0**15
    assert 1 < scales[-1] == scales[-2]
    assert skipped[0] == 1
    assert skipped[-1] == skipped[-2] == 16 - torch.tensor(scales[-1]).log2()
    assert own["generator"].skipped_in_a_row == 0
    assert {"scale/critic", "skipped/critic"} <= logs[0].keys()
    plain = restorer([term("image")])
    plain.measure = True
    assert not any(name.startswith(("scale", "skipped")) for name in plain.train_step([batch()], optimizers(plain)))


def test_a_resumed_run_counts_on(tmp_path: Path, option_file: Callable[..., Path]) -> None:
    train_for = {"train": {"precision": "fp16", "iters": 16, "checkpoint_every": 4, "keep": 9}}
    options = load_options(option_file({**LARGE, **train_for}))
    whole = train(options, tmp_path / "whole", device="cpu")
    found = records(whole)
    assert found[3]["skipped/generator"] == 4, "the checkpoint lies in a row of skipped steps"
    assert found[-1]["skipped/generator"] < 16
    short = load_options(option_file({**LARGE, **train_for}), ["train.iters=4"])
    broken = train(short, tmp_path / "broken", device="cpu")
    train(options, broken, resume=True, device="cpu")
    ends = [checkpoint_of(folder, 16) for folder in (whole, broken)]
    assert not differences(*ends)
    assert timeless(whole) == timeless(broken)
    assert ends[0]["scalers"]["generator"]["skipped"] == found[-1]["skipped/generator"]
