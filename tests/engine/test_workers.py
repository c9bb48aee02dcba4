"""``workers: auto``: what it chooses, and that the data and a resumed run are the same whatever it chooses."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import checkpoint_of, differences
from tiny import CRITIC

from deblurkit import load_options, train
from deblurkit.device import usable_cores
from deblurkit.engine.workers import _SETTLING, _TIMED, WorkerTrial

PLUGIN = """
import time

import torch
from torch.utils.data import get_worker_info

from deblurkit.registry import DATASETS


@DATASETS.register_module()
class Waits:
    def __init__(self, alone, beside):
        self.alone, self.beside = alone, beside

    def __len__(self):
        return 7

    def sample(self, index, rng):
        time.sleep(self.alone if get_worker_info() is None else self.beside)
        noise = torch.from_numpy(rng.random((3, 32, 32), dtype="float32"))
        return {"blurred": noise / 2 + index / 20, "sharp": noise, "key": str(index)}
"""
HALF, END = 15, 30  # iterations; the trial ends in the 22nd
AUTO = "datasets.train.workers=auto"


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module with the set that waits; one for all tests, as a name is registered once."""
    file = tmp_path_factory.mktemp("plugin") / "waits.py"
    file.write_text(PLUGIN, encoding="utf-8")
    return file


def run(trial: WorkerTrial, waited: float, seconds: float) -> list[int]:
    """Returns the number of workers behind each iteration, until it changes or stays."""
    seen = [trial.workers]
    while not trial.ended and len(set(seen)) == 1:
        trial.note(waited, seconds)
        seen.append(trial.workers)
    return seen


def test_reading_that_takes_next_to_nothing_needs_no_worker():
    trial = WorkerTrial(most=7, ahead=2)
    assert len(run(trial, 0.001, 0.1)) == 1 + _SETTLING + _TIMED
    assert (trial.ended, trial.workers) == (True, 0)
    assert trial.words == "0, as reading takes 1.0% of an iteration"


@pytest.mark.parametrize(("waited", "seconds", "most", "tried"), [(0.1, 0.2, 7, 1), (0.3, 0.4, 7, 3), (0.3, 0.4, 2, 2)])
def test_as_many_are_tried_as_would_keep_up_and_there_are_cores(waited: float, seconds: float, most: int, tried: int):
    trial = WorkerTrial(most, ahead=2)
    run(trial, waited, seconds)
    assert (trial.ended, trial.workers) == (False, tried)
    run(trial, 0.0, seconds - waited)
    assert (trial.ended, trial.workers) == (True, tried)


def test_workers_that_do_not_help_go_again():
    trial = WorkerTrial(most=1, ahead=2)
    run(trial, 0.02, 0.12)
    assert trial.workers == 1
    # the first iterations live on what was read while the workers started: they do not count
    for _ in range(_SETTLING + 2):
        trial.note(0.0, 0.05)
    run(trial, 0.0, 0.13)
    assert (trial.ended, trial.workers) == (True, 0)
    assert trial.words == "0: 120 ms an iteration with 0, 130 ms with 1"


def test_one_core_leaves_nothing_to_try():
    trial = WorkerTrial(most=0, ahead=2)
    assert (trial.ended, trial.workers) == (True, 0)


@pytest.mark.skipif(usable_cores() < 2, reason="without a core to spare nothing is tried")
@pytest.mark.parametrize(("alone", "beside", "chosen"), [(0.03, 0.0, 1), (0.03, 0.1, 0)])
def test_a_run_is_the_same_to_the_bit_whatever_is_chosen(
    alone: float, beside: float, chosen: int, plugin: Path, option_file: Callable[..., Path], tmp_path: Path
):
    """A worker that helps stays, one that does not goes; with critics that draw batches of their own."""
    data = {"type": "Waits", "alone": alone, "beside": beside, "batch_size": 1}
    critic = {"type": "AdversarialLoss", "mode": "lsgan", "critic": "critic", "weight": 0.1}
    file = option_file(
        {
            "plugins": [str(plugin)],
            "discriminators": {"critic": CRITIC},
            "losses": {"adversarial": critic},
            "datasets": {"train": data},
            "train": {"iters": END, "critic_batches": "own", "checkpoint_every": HALF},
        }
    )
    quick = ["datasets.train.alone=0", "datasets.train.beside=0"]
    plain = train(load_options(file, quick), tmp_path / "plain", device="cpu")
    auto = train(load_options(file, [AUTO]), tmp_path / "auto", device="cpu")
    (said,) = re.findall(r"datasets\.train\.workers: auto chose (\d)", (auto / "log.txt").read_text(encoding="utf-8"))
    assert int(said) == chosen
    wanted = checkpoint_of(plain, END)
    for part in ("generator", "critics", "optimizers"):
        assert not differences(checkpoint_of(auto, END)[part], wanted[part])
    # Taken up in the middle, the trial begins anew: in another place than in the run that was not interrupted.
    train(load_options(file, [AUTO]), auto, resume=auto / "checkpoints" / f"iter_{HALF:08d}.pth", device="cpu")
    assert not differences(checkpoint_of(auto, END)["generator"], wanted["generator"])
