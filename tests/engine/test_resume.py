"""Interrupted and resumed equals uninterrupted, bit for bit; and who may take a work dir up."""

from __future__ import annotations

import json
import random
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import Run, checkpoint_of, differences, last_iteration, records, run, timeless
from tiny import WGAN_GP

from deblurkit.engine.work_dir import WorkDir

ITERS, EVERY = 24, 4
STOCHASTIC = {
    **WGAN_GP,
    "schedulers": [{"type": "PolyLR", "eta_min": 1e-5}],
    "train": {
        "iters": ITERS,
        "critic_steps": 2,
        "ema": {"decay": 0.9, "warmup": True},
        "checkpoint_every": EVERY,
        "clip_grad_norm": 1.0,
    },
    "val": {"every": 6},
}


@pytest.fixture
def stochastic(option_file: Callable[..., Path], pairs: dict) -> Callable[..., Path]:
    """An experiment with dropout, a gradient penalty, validation: one where every random number matters."""

    def write(workers: int = 0, **change: object) -> Path:
        val = {"type": "PairedImages", "blurred": pairs["blurred"], "sharp": pairs["sharp"], "limit": 2}
        data = {"train": {**pairs, "workers": workers}, "val": {"pairs": val}}
        return option_file({**STOCHASTIC, "datasets": data, **change})

    return write


@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_killed_three_times_equals_uninterrupted(tmp_path: Path, stochastic: Callable[..., Path], workers: int):
    options = stochastic(workers)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(tmp_path / "whole.txt", "-opt", options, "--work-dir", whole)
    assert [record["iteration"] for record in timeless(whole) if "loss" in record] == list(range(1, ITERS + 1))

    moments = sorted(random.SystemRandom().sample(range(1, ITERS - 7), 3))
    resume: list[str] = []
    for number, moment in enumerate(moments):
        process = Run(tmp_path / f"broken{number}.txt", "-opt", options, "--work-dir", broken, *resume)
        process.signal_at(broken, moment, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        resume = ["--resume"]
        saved = WorkDir(broken).saved()
        start = int(re.findall(r"\d{8}", saved[0].name)[0]) if saved else 0
        assert start >= moment - EVERY - 1, (moments, saved)
        assert start % EVERY == 0 or start % 6 == 0, "one at each interval, and one before each validation"
    text = run(tmp_path / "last.txt", "-opt", options, "--work-dir", broken, "--resume")
    assert (f"resumed iter_{start:08d}.pth at iteration {start}" in text) == (start > 0), text
    assert start == 0 or f"iteration {start + 1}/{ITERS} " in text
    assert f"iteration {start}/{ITERS} " not in text

    found = differences(checkpoint_of(broken, ITERS), checkpoint_of(whole, ITERS))
    assert not found, (moments, found)
    assert timeless(broken) == timeless(whole), moments
    best = [json.dumps(checkpoint_of(folder, ITERS)["best"]) for folder in (broken, whole)]
    assert best[0] == best[1]
    assert (broken / "checkpoints" / "best_psnr.pth").is_file()


def test_final_state_holds_everything(tmp_path: Path, stochastic: Callable[..., Path]):
    run(tmp_path / "run.txt", "-opt", stochastic(), "--work-dir", tmp_path / "run", "--set", "train.iters=6")
    state = checkpoint_of(tmp_path / "run", 6)
    assert state["position"] == {
        "iteration": 6,
        "epoch": 1,
        "into_epoch": 2,
        "epoch_length": 4,
        "epoch_of": "generator",
    }
    assert state["validation_due"] is False
    assert [epoch for epoch, _ in state["validations"]] == [1]
    assert state["best"]["iteration"] == 6
    assert set(state["optimizers"]) == set(state["scalers"]) == {"generator", "critic"}
    assert state["optimizers"]["critic"]["state"][0]["step"].item() == 12, "two critic steps an iteration"
    assert state["losses"] == [{"image": {}, "adversarial": {}}]
    assert differences(state["generator"], state["ema"])
    assert len(state["rng"]) == 1
    for file in ("options.yml", "log.txt", "scalars.jsonl", "checkpoints/last", "checkpoints/best_psnr.pth"):
        assert (tmp_path / "run" / file).is_file()
    assert sorted(item.name for item in (tmp_path / "run").iterdir() if not item.name.startswith(".")) == [
        "checkpoints",
        "log.txt",
        "options.yml",
        "scalars.jsonl",
    ], "MMEngine's own layout does not show"


def test_killed_before_the_first_checkpoint(tmp_path: Path, option_file: Callable[..., Path]):
    options = option_file({"train": {"iters": 2000, "checkpoint_every": 5000}})
    process = Run(tmp_path / "killed.txt", "-opt", options, "--work-dir", tmp_path / "run")
    process.signal_at(tmp_path / "run", 3, signal.SIGKILL)
    process.wait()
    text = run(
        tmp_path / "resumed.txt", "-opt", options, "--work-dir", tmp_path / "run", "--resume", "--set", "train.iters=4"
    )
    assert "no checkpoint to resume, starting from the beginning" in text
    assert [record["iteration"] for record in records(tmp_path / "run")] == [1, 2, 3, 4]


def test_truncated_newest_checkpoint(tmp_path: Path, option_file: Callable[..., Path]):
    options, folder = option_file({"train": {"iters": 9, "checkpoint_every": 3, "keep": 2}}), tmp_path / "run"
    run(tmp_path / "one.txt", "-opt", options, "--work-dir", folder)
    newest = folder / "checkpoints" / "iter_00000009.pth"
    newest.write_bytes(newest.read_bytes()[:-500])
    longer = ("--set", "train.iters=8", "train.keep=1")
    text = run(tmp_path / "two.txt", "-opt", options, "--work-dir", folder, "--resume", *longer)
    assert "iter_00000009.pth: not a whole checkpoint" in text
    assert "resumed iter_00000006.pth at iteration 6" in text
    assert (folder / "checkpoints" / "iter_00000008.pth").is_file(), "the one just written is not the one to remove"
    assert (folder / "checkpoints" / "last").read_text() == "iter_00000008.pth\n"


def test_second_process_is_refused(tmp_path: Path, option_file: Callable[..., Path]):
    options, folder = option_file({"train": {"iters": 5000}}), tmp_path / "run"
    process = Run(tmp_path / "one.txt", "-opt", options, "--work-dir", folder)
    process.signal_at(folder, 1, signal.SIGCONT)  # does nothing
    for flag in ("--resume", "--overwrite"):
        text = run(tmp_path / "two.txt", "-opt", options, "--work-dir", folder, flag, code=2)
        assert text == f"{folder}: another process (pid {process.process.pid}) is training in this folder\n"
    assert process.process.is_alive()
    process.process.kill()
    process.wait()


def test_folder_that_is_in_use(tmp_path: Path, option_file: Callable[..., Path]):
    options, folder = option_file(), tmp_path / "run"
    text = run(tmp_path / "none.txt", "-opt", options, "--work-dir", folder, "--resume")
    assert "no checkpoint to resume, starting from the beginning" in text
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.name[0] != "."}
    text = run(tmp_path / "again.txt", "-opt", options, "--work-dir", folder, code=2)
    assert "not empty; --resume goes on with it, --overwrite starts anew" in text
    assert "Traceback" not in text
    text = run(tmp_path / "finished.txt", "-opt", options, "--work-dir", folder, "--resume")
    assert "already finished" in text
    assert before == {file: file.read_bytes() for file in before}
    (folder / "notes.md").write_text("mine")
    run(tmp_path / "anew.txt", "-opt", options, "--work-dir", folder, "--overwrite", "--set", "train.iters=2")
    assert last_iteration(folder) == 2
    assert not (folder / "checkpoints" / "iter_00000004.pth").exists()
    assert (folder / "notes.md").read_text() == "mine"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_leave_a_checkpoint(
    tmp_path: Path, option_file: Callable[..., Path], pairs: dict, number: int, code: int
):
    options, folder = (
        option_file({"train": {"iters": 5000}, "datasets": {"train": {**pairs, "workers": 1}}}),
        tmp_path / "run",
    )
    process = Run(tmp_path / "run.txt", "-opt", options, "--work-dir", folder)
    process.signal_at(folder, 3, number)
    assert process.wait() == code, process.text
    assert f"stopped by {signal.Signals(number).name} after iteration {last_iteration(folder)}" in process.text
    assert "Traceback" not in process.text
    saved = [file.name for file in (folder / "checkpoints").iterdir()]
    assert sorted(saved) == [f"iter_{last_iteration(folder):08d}.pth", "last"]
    more = last_iteration(folder) + 2
    text = run(tmp_path / "more.txt", "-opt", options, "--work-dir", folder, "--resume", "--set", f"train.iters={more}")
    assert f"at iteration {more - 2}" in text
    assert "changed since the checkpoint: train.iters: 5000" in text
