"""Where a run goes on when an epoch has become longer or shorter."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import checkpoint_of, differences, records
from tiny import CRITIC

from deblurkit import checkpoint, load_options, train
from deblurkit.checkpoint import CheckpointError
from deblurkit.engine.position import Length, Position

PLUGIN = '''
import json
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class PositionKeys(Hook):
    """Writes down which images each iteration saw, and in which epoch."""

    def __init__(self, file):
        self.file = Path(file)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        keys = [key for batch in data_batch for key in batch["key"]]
        with self.file.open("a") as file:
            file.write(json.dumps([runner.epoch, keys]) + "\\n")
'''


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("plugin") / "keys.py"
    file.write_text(PLUGIN, encoding="utf-8")
    return file


@pytest.fixture
def start(tmp_path: Path, plugin: Path, option_file: Callable[..., Path]) -> Callable[..., Path]:
    hooks = [{"type": "PositionKeys", "file": str(tmp_path / "seen.jsonl")}]
    options = option_file(
        {
            "plugins": [str(plugin)],
            "hooks": hooks,
            "train": {"iters": None},
            "schedulers": [{"type": "PolyLR", "eta_min": 1e-5}],
        }
    )

    def run(*overrides: str, resume: bool = False) -> Path:
        return train(load_options(options, overrides), tmp_path / "run", resume=resume, device="cpu")

    return run


def seen(tmp_path: Path) -> dict[int, list[str]]:
    epochs: dict[int, list[str]] = {}
    for line in (tmp_path / "seen.jsonl").read_text().splitlines():
        epoch, keys = json.loads(line)
        epochs.setdefault(epoch, []).extend(keys)
    return epochs


@pytest.mark.parametrize(
    ("stop", "change", "ends"),
    [
        (8, "datasets.train.batch_size=1", 24),  # two epochs of 4 iterations, then two of 8
        (8, "datasets.train.batch_size=4", 12),
        (6, "datasets.train.batch_size=1", 26),  # in the middle of the second epoch
        (6, "train.accumulate=2", 11),
    ],
)
def test_batch_size_changed_on_the_way(tmp_path: Path, start: Callable[..., Path], stop: int, change: str, ends: int):
    start("train.epochs=4", f"train.iters={stop}")
    folder = start("train.epochs=4", change, resume=True)
    state = checkpoint_of(folder, ends)
    assert state["position"]["epoch"] == 4
    assert state["position"]["into_epoch"] == 0
    epochs = seen(tmp_path)
    assert sorted(epochs) == [0, 1, 2, 3]
    for epoch, keys in epochs.items():
        assert sorted(keys) == [f"{n:03}" for n in range(8)], f"each image once in epoch {epoch}"
    by_epoch: dict[int, set[float]] = {}
    for record in records(folder):
        by_epoch.setdefault(record["epoch"], set()).add(record["lr/generator"])
    assert [len(rates) for rates in by_epoch.values()] == [1] * 4
    assert by_epoch[3] == {1e-5}, "the schedule ends with the epochs"
    log = (folder / "log.txt").read_text(encoding="utf-8")
    assert f"iterations instead of 4: goes on after {stop / 4:.2f} epochs" in log


def test_end_in_iterations_stays(start: Callable[..., Path]):
    start("train.iters=6")
    folder = start("train.iters=12", "datasets.train.batch_size=4", resume=True)
    position = checkpoint_of(folder, 12)["position"]
    assert position == {"iteration": 12, "epoch": 4, "into_epoch": 1, "epoch_length": 2, "epoch_of": "generator"}


def test_finished_only_where_the_epochs_are(start: Callable[..., Path], capsys: pytest.CaptureFixture):
    start("train.epochs=2", "datasets.train.batch_size=1")  # 16 iterations
    folder = start("train.epochs=4", "datasets.train.batch_size=4", resume=True)  # 4 epochs of 2: not finished
    assert "already finished" not in capsys.readouterr().out
    assert checkpoint_of(folder, 20)["position"]["epoch"] == 4
    start("train.epochs=4", "datasets.train.batch_size=1", resume=True)
    assert "already finished" in capsys.readouterr().out


OWN = ("train.critic_batches=own", "train.critic_steps=3")


@pytest.fixture
def playing(start: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    game = "losses.game={type: AdversarialLoss, mode: wgan, critic: critic, gradient_penalty: {weight: 1.0}}"
    critic = f"discriminators.critic={json.dumps(CRITIC)}"
    crops = "datasets.train.crop=40"
    return lambda *overrides, resume=False: start(critic, game, crops, "schedulers=[]", *OWN, *overrides, resume=resume)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_own_critic_batches_leave_an_epoch_one_pass_of_the_generator(
    tmp_path: Path, playing: Callable[..., Path], accumulate: int
):
    folder = playing("train.epochs=2", f"train.accumulate={accumulate}")
    state = checkpoint_of(folder, 8 // accumulate)
    assert state["position"]["epoch_length"] == 4 // accumulate
    lines = [json.loads(line) for line in (tmp_path / "seen.jsonl").read_text().splitlines()]
    everything = [f"{n:03}" for n in range(8)]
    of_generator = [key for epoch, keys in lines if epoch == 1 for key in keys[-2 * accumulate :]]
    assert sorted(of_generator) == everything
    of_critics = [key for _, keys in lines for key in keys[: -2 * accumulate]]
    passes = [of_critics[start : start + 8] for start in range(0, len(of_critics), 8)]
    assert len(passes) == 6
    assert all(sorted(images) == everything for images in passes)
    log = (folder / "log.txt").read_text(encoding="utf-8")
    assert "they see the set 6.0 times by the end, the generator 2.0 times" in log


def test_own_critic_batches_are_the_same_after_a_resume(tmp_path: Path, playing: Callable[..., Path]):
    whole = playing("train.iters=7").rename(tmp_path / "whole")
    playing("train.iters=3")
    broken = playing("train.iters=7", resume=True)
    assert not differences(checkpoint_of(broken, 7), checkpoint_of(whole, 7))
    lines = (tmp_path / "seen.jsonl").read_text().splitlines()
    assert lines[:7] == lines[7:]


def test_epochs_that_counted_the_critics_batches_are_refused(playing: Callable[..., Path]):
    folder = playing("train.iters=2")
    file = folder / "checkpoints" / "iter_00000002.pth"
    state = checkpoint.load(file)
    del state["position"]["epoch_of"]
    checkpoint.save(state, file)
    with pytest.raises(CheckpointError, match=r"were passes of critics and generator together; .* --init-from"):
        playing("train.iters=4", resume=True)


LENGTH = Length(epoch=4, epochs=None, iters=100)


def test_older_checkpoints():
    """They say iteration and epoch alone."""
    assert LENGTH.taken_up({"iteration": 14, "epoch": 3}, "a.pth") == Position(14, 3, 2)
    with pytest.raises(CheckpointError, match=r"a\.pth: written by an older version .* --init-from"):
        LENGTH.taken_up({"iteration": 14, "epoch": 1}, "a.pth")


@pytest.mark.parametrize(("epochs", "iters", "end"), [(5, None, 21), (None, 30, 30), (5, 30, 21), (5, 19, 19)])
def test_the_earlier_end_counts(epochs: int | None, iters: int | None, end: int):
    """After 11 iterations, of which some belonged to longer epochs: one whole epoch and two iterations are done."""
    length = Length(epoch=3, epochs=epochs, iters=iters)
    position = Position(11, 1, 2)
    assert length.end(position) == end
    for _ in range(end - 11):
        assert not length.finished(position)
        position = length.after(position)
    assert length.finished(position)
    assert position.iteration == end
