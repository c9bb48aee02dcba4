"""The structure of a checkpoint is checked whole: one line names what is wrong, and what older versions wrote loads."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from states import whole_state

from deblurkit import checkpoint
from deblurkit.checkpoint import CheckpointError
from deblurkit.checkpoint_format import checked
from deblurkit.engine.work_dir import WorkDir
from deblurkit.interop.foreign import read_weights

FIXTURE = Path(__file__).parent / "files" / "format1_tiny.pth"
GONE = object()


def with_change(path: str, value: Any) -> dict[str, Any]:
    """A whole state but for one place."""
    state: Any = whole_state()
    *above, last = path.split("/")
    place = state
    for part in above:
        place = place[int(part) if isinstance(place, list) else part]
    if value is GONE:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return dict(state)


def test_what_the_version_before_wrote_loads():
    state = checkpoint.load(FIXTURE)
    assert FIXTURE.stat().st_size < 100_000
    assert state["position"] == {"iteration": 2, "epoch": 1}
    generator = checkpoint.load_generator(state, FIXTURE)
    assert generator(torch.zeros(1, 3, 8, 8)).shape == (1, 3, 8, 8)


@pytest.mark.parametrize("key", ["schedulers", "trained_on", "data_notes"])
def test_what_older_and_newer_versions_leave_out(tmp_path: Path, key: str):
    checkpoint.save(with_change(key, GONE), tmp_path / "a.pth")
    assert key not in checkpoint.load(tmp_path / "a.pth")


def test_what_newer_versions_add():
    position = {"iteration": 3, "epoch": 0, "into_epoch": 3, "epoch_length": 4}
    losses = [{"pixel": {}, "game": {"pool._extra_state": {0: torch.zeros(2)}, "mean": torch.zeros(1)}}]
    validations = [[1, {"psnr": 30.0}], (2, {"psnr": math.inf})]
    best = {"psnr": 31.5, "iteration": 2}
    state = whole_state(position=position, losses=losses, validation_due=True, validations=validations, best=best)
    assert checked(state, "a.pth", to_resume=True) == state


WRONG = [
    ("generator", None, "generator: should be a valid dictionary, not None"),
    ("generator/weight", [1.0], "generator.weight: should be an instance of Tensor, not a list"),
    ("generator/a\nb", torch.ones(1), "generator.a\\nb: holds a name that cannot be shown"),
    ("ema", {"weight": "x"}, "ema.weight: should be an instance of Tensor, not 'x'"),
    ("ema", GONE, "ema: missing"),
    ("critics", {"critic": []}, "critics.critic: should be a valid dictionary, not a list"),
    ("losses/pixel", 3, "losses.pixel: should be a valid dictionary, not 3"),
    ("losses", {"pixel": {"mean": 3}}, "losses.pixel: mean: should be a tensor, not 3"),
    ("optimizers", {"generator": {"state": {}}}, "optimizers.generator.param_groups: missing"),
    ("optimizers/generator/state", {"a": {}}, "optimizers.generator.state.a"),
    ("scalers/generator", None, "scalers.generator: should be a valid dictionary, not None"),
    ("scalers", {3: {}}, "scalers.3: should be a valid string, not "),
    ("schedulers", [], "schedulers: should be a valid dictionary, not a list"),
    ("position", GONE, "position: missing"),
    ("position/iteration", -1, "position.iteration: should be greater than or equal to 0, not -1"),
    ("position/iteration", True, "position.iteration: should be a valid integer, not True"),
    ("position/iteration", 3.0, "position.iteration: should be a valid integer, not 3.0"),
    ("position/iteration", 10**100, "position.iteration: should be less than 9007199254740992"),
    ("position/epoch", None, "position.epoch: should be a valid integer, not None"),
    ("position/into_epoch", -1, "position.into_epoch: should be greater than or equal to 0"),
    ("position/into_epoch", 2, "position: should say epoch_length beside into_epoch"),
    ("position/epoch_length", 0, "position.epoch_length: should be greater than or equal to 1"),
    ("best", None, "best: should be"),
    ("best", {"psnr": math.nan, "iteration": 1}, "best.psnr: should be a number, not nan"),
    ("best", {"psnr": 30.0}, "best.iteration: missing"),
    ("rng", {}, "rng: should be a valid list, not a dict"),
    ("rng/0", None, "rng.0: should be a valid dictionary, not None"),
    ("rng/0/python", [3, [1, 2], None], "rng.0: is no state of random numbers: ValueError"),
    ("rng/0/python/2", "x", "rng.0: is no state of random numbers"),
    ("rng/0/numpy/0", "PCG64", "rng.0: is no state of random numbers: ValueError"),
    ("rng/0/torch", torch.zeros(3, dtype=torch.uint8), "rng.0: is no state of random numbers: RuntimeError"),
    ("rng/0/torch", None, "rng.0: is no state of random numbers: TypeError"),
    ("rng/0/cuda", [torch.zeros(3)], "rng.0: is no state of random numbers"),
    ("rng/0/cuda", GONE, "rng.0: is no state of random numbers: KeyError"),
    ("validation_due", 1, "validation_due: should be a valid boolean, not 1"),
    ("validations", [[-1, {}]], "validations.0.0: should be greater than or equal to 0"),
    ("trained_on", {"set": True}, "trained_on.set"),
    ("data_notes", ["x", 1], "data_notes.1: should be a valid string, not 1"),
    ("options", GONE, "options: missing"),
    ("options", [], "options: should be a valid dictionary"),
    ("options/name", "../../pwned", "options.name: names a folder, so it may not hold '/'"),
    ("options/name", GONE, "options.name: missing"),
    ("options/generator", {"type": 3}, "options.generator: names no type: 3"),
    ("options/generator/channels", torch.ones(1), "options: these are no plain options: it holds a Tensor"),
    ("options/plugins", "x.py", "options.plugins: should be a valid list, not 'x.py'"),
    ("options/paper", {"title": 3}, "options.paper.title: should be a valid string, not 3"),
    ("options/losses", {"pixel": 3}, "options.losses.pixel: should be a valid dictionary, not 3"),
    ("options/datasets", {"train": {"type": None}}, "options.datasets.train: names no type: None"),
    ("options/datasets", {"train": [{"type": "A"}, {}]}, "options.datasets.train.1: names no type: None"),
    ("versions", {"torch": 2}, "versions.torch: should be a valid string, not 2"),
    ("generator_package", ["my-blur"], "generator_package: should be a valid string, not a list"),
    ("generator_package", "a\nb", "generator_package: holds a name that cannot be shown: 'a\\nb'"),
]


@pytest.mark.parametrize(("path", "value", "words"), WRONG)
def test_one_line_names_the_key(tmp_path: Path, path: str, value: Any, words: str):
    file = tmp_path / "a.pth"
    checkpoint.save(with_change(path, value), file)
    for reader in (checkpoint.load, read_weights):
        with pytest.raises(CheckpointError) as caught:
            reader(file)
        assert str(caught.value).startswith(f"{file}: this checkpoint is damaged: {words}")
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "key", ["critics", "losses", "optimizers", "scalers", "rng", "best", "versions", "position/epoch"]
)
def test_what_only_a_training_needs(tmp_path: Path, key: str):
    file = tmp_path / "a.pth"
    checkpoint.save(with_change(key, GONE), file)
    with pytest.raises(
        CheckpointError, match=f"cannot be resumed, it lacks {key.replace('/', '.')}; take its weights alone"
    ):
        checkpoint.load(file)
    assert read_weights(file)["critics"] == {}


@pytest.mark.parametrize(("path", "value", "words"), WRONG[::4])
def test_a_run_falls_back_to_the_checkpoint_before(tmp_path: Path, path: str, value: Any, words: str):
    folder = WorkDir(tmp_path)
    folder.checkpoints.mkdir()
    checkpoint.save(whole_state(), folder.iteration_file(2))
    checkpoint.save(with_change(path, value), folder.iteration_file(3))
    told: list[str] = []
    found = folder.newest(told.append)
    assert found is not None
    assert found[0] == folder.iteration_file(2)
    assert words in told[0]


@pytest.mark.parametrize("number", [True, 1.0, "1", torch.ones(3), torch.ones(1), None])
def test_a_format_that_is_no_number(tmp_path: Path, number: Any):
    checkpoint.save(whole_state(format=number), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="not a checkpoint of deblurkit"):
        checkpoint.load(tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="this looks like a checkpoint of another version") as caught:
        read_weights(tmp_path / "a.pth")
    assert str(caught.value).isprintable()
