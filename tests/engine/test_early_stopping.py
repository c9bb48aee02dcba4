"""MMEngine's hook that ends a run whose score no longer rises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from runs import checkpoint_of, records, run

from deblurkit import load_options, train
from deblurkit.errors import UserError


@pytest.fixture
def stopping(option_file: Callable[..., Path], pairs: dict) -> Path:
    """An experiment of 40 iterations whose second validation is no improvement: 1000 dB are not gained."""
    val = {"type": "PairedImages", "blurred": pairs["blurred"], "sharp": pairs["sharp"], "limit": 1}
    hook = {"type": "EarlyStoppingHook", "monitor": "val/pairs/psnr", "rule": "greater", "min_delta": 1000}
    return option_file(
        {
            "datasets": {"train": pairs, "val": {"pairs": val}},
            "train": {"iters": 40, "checkpoint_every": 100},
            "val": {"every": 2},
            "hooks": [{**hook, "patience": 1}],
        }
    )


def test_a_run_stops_early_and_can_be_gone_on_with(tmp_path: Path, stopping: Path) -> None:
    folder = tmp_path / "run"
    text = run(tmp_path / "run.txt", "-opt", stopping, "--work-dir", folder)
    assert "did not improve in the last 1 records" in text
    found = records(folder)
    assert [record["iteration"] for record in found if "loss" in record] == [1, 2, 3, 4]
    assert [record["iteration"] for record in found if "val/pairs/psnr" in record] == [2, 4]
    state = checkpoint_of(folder, 4)
    assert not state["validation_due"]
    assert len(state["validations"]) == 2
    assert (folder / "checkpoints" / "last").read_text() == "iter_00000004.pth\n"
    assert (folder / "log.txt").read_text().endswith("ended: a hook stopped it at iteration 4 of 40\n")

    train(load_options(stopping, ["hooks=[]", "train.iters=6"]), folder, resume=True, device="cpu")
    assert [record["iteration"] for record in records(folder) if "loss" in record] == [1, 2, 3, 4, 5, 6]
    assert (folder / "log.txt").read_text().endswith("ended: all iterations are done\n")


def test_a_score_that_no_validation_gives_is_refused(tmp_path: Path, stopping: Path) -> None:
    options = load_options(stopping, ["hooks.0.monitor=val/pairs/psrn"])
    with pytest.raises(UserError, match=r"hooks.0: monitor: no validation gives 'val/pairs/psrn' \(did you mean 'val/"):
        train(options, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
