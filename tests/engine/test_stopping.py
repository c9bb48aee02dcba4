"""Signals, and whatever else ends a run: what is saved, how soon, and what the log says of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import Run, checkpoint_of, differences, run, timeless

from deblurkit import checkpoint, load_options, train

PLUGIN = """
import time

import torch
from torch import nn

from deblurkit.registry import ARCHS, DATASETS, LOSSES


@ARCHS.register_module()
class StoppingNet(nn.Module):
    '''Takes its time to restore, and its random numbers to train.'''

    def __init__(self, seconds=0.0):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.seconds = seconds

    def forward(self, blurred):
        if not self.training:
            time.sleep(self.seconds)
        return blurred + nn.functional.dropout(self.conv(blurred), 0.2, self.training)


@DATASETS.register_module()
class StoppingSet:
    '''Eight images; a few of them cannot be read.'''

    def __init__(self, broken=()):
        self.broken = broken

    def __len__(self):
        return 8

    def sample(self, index, rng):
        if index in self.broken:
            from deblurkit.errors import UserError
            raise UserError(f"image {index}: cannot be read")
        sharp = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(index))
        return {"blurred": 0.9 * sharp, "sharp": sharp, "key": str(index)}


@LOSSES.register_module()
class StoppingLoss(nn.Module):
    def __init__(self, at):
        super().__init__()
        self.at, self.calls = at, 0

    def forward(self, pred, target):
        self.calls += 1
        if self.calls == self.at:
            raise ZeroDivisionError("a bug of ours")
        return (pred - target).abs().mean()
"""
ITERS = 6


@pytest.fixture
def slow_validation(tmp_path: Path, option_file: Callable[..., Path]) -> Callable[..., Path]:
    (tmp_path / "plugin.py").write_text(PLUGIN, encoding="utf-8")

    def write(name: str = "options.yml", seconds: float = 0.0, **val: object) -> Path:
        return option_file(
            {
                "plugins": [str(tmp_path / "plugin.py")],
                "generator": {"type": "StoppingNet", "seconds": seconds},
                "datasets": {
                    "train": {"type": "StoppingSet", "batch_size": 2},
                    "val": {"slow": {"type": "StoppingSet", **val}},
                },
                "train": {"iters": ITERS, "checkpoint_every": 4, "ema": {"decay": 0.9}},
                "val": {"every": 3},
            },
            name,
        )

    return write


def last_line(folder: Path) -> str:
    return (folder / "log.txt").read_text(encoding="utf-8").splitlines()[-1]


def wait_for(process: Run, what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert process.process.is_alive(), process.text
        assert time.monotonic() < deadline, process.text
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_validation_gives_way_and_is_made_up(
    tmp_path: Path, slow_validation: Callable[..., Path], number: signal.Signals
):
    """Eight images of 1.5 s: today's 12 s of validation do not stand between the signal and the end."""
    slow, quick = slow_validation("slow.yml", 1.5), slow_validation("quick.yml")
    folder, whole = tmp_path / "run", tmp_path / "whole"
    saved = folder / "checkpoints" / "iter_00000003.pth"
    process = Run(tmp_path / "run.txt", "-opt", slow, "--work-dir", folder)
    wait_for(process, saved.is_file)
    time.sleep(2)  # well into the validation
    start = time.monotonic()
    os.kill(process.process.pid, number)
    assert process.wait() == 128 + number, process.text
    assert time.monotonic() - start < 5
    state = checkpoint.load(saved)
    assert state["validation_due"] is True
    assert state["validations"] == []
    assert "validation of slow at iteration 3 gives way to a signal" in process.text
    assert last_line(folder).endswith(f"ended at iteration 3: stopped by {number.name}")
    assert not (folder / "checkpoints" / "best_psnr.pth").exists()

    run(tmp_path / "whole.txt", "-opt", quick, "--work-dir", whole)
    text = run(tmp_path / "more.txt", "-opt", quick, "--work-dir", folder, "--resume")
    assert text.index("resumed iter_00000003.pth") < text.index("iteration 3 validation slow, 8 images")
    assert text.index("iteration 3 validation slow, 8 images") < text.index("iteration 4/6")
    one, other = checkpoint_of(folder, ITERS), checkpoint_of(whole, ITERS)
    for state in (one, other):
        state["options"]["generator"].pop("seconds")
    assert not differences(one, other)
    assert timeless(folder) == timeless(whole)


@pytest.mark.slow
def test_finished_but_for_its_validation(tmp_path: Path, slow_validation: Callable[..., Path]):
    slow, quick = slow_validation("slow.yml", 1.5), slow_validation("quick.yml")
    folder = tmp_path / "run"
    process = Run(tmp_path / "run.txt", "-opt", slow, "--work-dir", folder, "--set", "train.iters=2")
    wait_for(process, (folder / "checkpoints" / "iter_00000002.pth").is_file)
    os.kill(process.process.pid, signal.SIGTERM)
    assert process.wait() == 143
    text = run(tmp_path / "more.txt", "-opt", quick, "--work-dir", folder, "--resume", "--set", "train.iters=2")
    assert "iteration 2 validation slow" in text
    assert checkpoint_of(folder, 2)["best"]["iteration"] == 2
    text = run(tmp_path / "again.txt", "-opt", quick, "--work-dir", folder, "--resume", "--set", "train.iters=2")
    assert "already finished" in text


def test_validation_that_fails_costs_no_training(tmp_path: Path, slow_validation: Callable[..., Path]):
    folder = tmp_path / "run"
    text = run(tmp_path / "run.txt", "-opt", slow_validation(broken=[5]), "--work-dir", folder, code=2)
    assert text.splitlines()[-1] == "image 5: cannot be read"
    assert "Traceback" not in text
    assert checkpoint_of(folder, 3)["validation_due"] is True
    assert last_line(folder).endswith("ended at iteration 3: image 5: cannot be read")
    text = run(tmp_path / "more.txt", "-opt", slow_validation(), "--work-dir", folder, "--resume")
    assert "resumed iter_00000003.pth at iteration 3" in text
    assert checkpoint_of(folder, ITERS)["best"]


def test_second_signal_ends_at_once(tmp_path: Path, slow_validation: Callable[..., Path]):
    folder = tmp_path / "run"
    process = Run(tmp_path / "run.txt", "-opt", slow_validation(seconds=8.0), "--work-dir", folder)
    wait_for(process, (folder / "checkpoints" / "iter_00000003.pth").is_file)
    time.sleep(1)
    for _ in range(2):
        os.kill(process.process.pid, signal.SIGTERM)
        time.sleep(0.3)
    assert process.wait(5) == 143
    assert last_line(folder).endswith("ended at once by a second signal, SIGTERM")


def test_log_says_why(tmp_path: Path, slow_validation: Callable[..., Path]):
    options = slow_validation()
    folder = train(load_options(options), tmp_path / "run", device="cpu")
    assert [line for line in (folder / "log.txt").read_text().splitlines() if line.endswith("all iterations are done")]
    text = run(
        tmp_path / "bug.txt",
        *("-opt", options, "--work-dir", tmp_path / "bug", "--set", "losses.image={type: StoppingLoss, at: 2}"),
        code=1,
    )
    assert "ZeroDivisionError: a bug of ours" in text
    log = (tmp_path / "bug" / "log.txt").read_text(encoding="utf-8")
    assert "ended at iteration 1: Traceback (most recent call last):" in log
    assert log.endswith("ZeroDivisionError: a bug of ours\n")
