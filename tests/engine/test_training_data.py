"""What a training says of its data: which they are, what is to be said of them, and whether they come too slowly."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runs import checkpoint_of, differences

from deblurkit import checkpoint, load_options, train
from deblurkit.engine.data_record import DataRecord

PLUGIN = """
import time

import torch
from deblurkit.registry import DATASETS


@DATASETS.register_module()
class Slow:
    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.notes = ["every second image is a copy"]

    def __len__(self):
        return 8

    def describe(self):
        return {"set": "Slow", "variant": "linear"}

    def sample(self, index, rng):
        time.sleep(self.seconds)
        return {"blurred": torch.full((3, 16, 16), index / 10), "drawn": torch.tensor(0.5), "key": str(index)}

    def finish(self, batch):
        return {"blurred": batch["blurred"] * batch["drawn"].view(-1, 1, 1, 1), "sharp": batch["blurred"],
                "key": batch["key"]}
"""
LINE = re.compile(r"iteration (\d+)/\d+ .* s/it \((\d+)% waiting for data\)")


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("plugin") / "slow.py"
    file.write_text(PLUGIN, encoding="utf-8")
    return file


@pytest.fixture
def start(tmp_path: Path, plugin: Path, option_file: Callable[..., Path]) -> Callable[..., Path]:
    def run(name: str, iters: int, resume: bool = False, **data: object) -> Path:
        entry = {"type": "Slow", "batch_size": 2, **data}
        change = {
            "plugins": [str(plugin)],
            "datasets": {"train": entry, "val": {"again": {"type": "Slow", "limit": 2}}},
            "train": {"iters": iters, "checkpoint_every": 2},
            "val": {"every": 100},
        }
        return train(load_options(option_file(change)), tmp_path / name, resume=resume, device="cpu")

    return run


def test_sets_and_their_notes_are_logged_and_kept(start: Callable[..., Path]):
    folder = start("run", 2)
    log = (folder / "log.txt").read_text(encoding="utf-8")
    for name in ("train", "val.again"):
        limit = "" if name == "train" else ", limit 2"
        assert f"INFO datasets.{name}: set Slow, variant linear{limit}\n" in log
        assert f"WARNING datasets.{name}: every second image is a copy\n" in log
    assert checkpoint_of(folder, 2)["data_notes"] == ["every second image is a copy"]


def test_a_checkpoint_without_notes_is_taken_up(start: Callable[..., Path]):
    """As they were written before there were notes."""
    whole = checkpoint_of(start("whole", 4), 4)
    folder = start("run", 2)
    state = checkpoint_of(folder, 2)
    del state["data_notes"]
    checkpoint.save(state, folder / "checkpoints" / "iter_00000002.pth")
    resumed = checkpoint_of(start("run", 4, resume=True), 4)
    assert not differences(resumed["generator"], whole["generator"])
    assert resumed["data_notes"] == whole["data_notes"]


@pytest.mark.parametrize("workers", [0, 1])
def test_waiting_for_data_is_shown_and_advice_is_given_once(start: Callable[..., Path], workers: int):
    log = (start("run", 25, seconds=0.1, workers=workers) / "log.txt").read_text(encoding="utf-8")
    shares = {int(iteration): int(share) for iteration, share in LINE.findall(log)}
    assert list(shares) == list(range(1, 26))
    assert sum(shares.values()) / 25 > 20
    (advice,) = re.findall(r"(\d+)% of the time is spent waiting for data. What helps: (.*)\n", log)
    assert int(advice[0]) > 20
    assert advice[1].startswith("more datasets.train.workers (now 1," if workers else "datasets.train.workers (now 0:")
    assert "cache: true" in advice[1]
    assert "deblurkit prepare-data" in advice[1]


def test_no_advice_where_data_come_in_time(start: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    from deblurkit.engine.hooks import scalars

    monkeypatch.setattr(scalars, "_WAITING", 0.9)
    assert "What helps" not in (start("run", 15) / "log.txt").read_text(encoding="utf-8")


def test_what_the_weights_have_seen_before_is_not_forgotten(
    start: Callable[..., Path], option_file: Callable[..., Path], pairs: dict[str, Any]
):
    """Initial weights, and a run that goes on with other data: both stand in every later checkpoint."""
    weights = start("first", 2) / "checkpoints" / "iter_00000002.pth"
    folder = weights.parents[2] / "second"
    train(load_options(option_file({"train": {"iters": 2}})), folder, device="cpu", init_from=weights)
    own = {
        "set": "PairedImages",
        "measured": "linear",
        "crop": "32 x 32 pixels (h x w)",
        "blurred": pairs["blurred"],
        "sharp": pairs["sharp"],
    }
    said = ["trained on set Slow, variant linear", "every second image is a copy"]
    inherited = [f"initial weights iter_00000002.pth: {note}" for note in said]
    assert checkpoint_of(folder, 2)["trained_on"] == own
    assert checkpoint_of(folder, 2)["data_notes"] == inherited
    assert start("second", 4, resume=True) == folder
    earlier = "until iteration 2 trained on " + ", ".join(f"{key} {value}" for key, value in own.items())
    assert checkpoint_of(folder, 4)["trained_on"] == {"set": "Slow", "variant": "linear"}
    assert checkpoint_of(folder, 4)["data_notes"] == [*inherited, earlier, said[1]]


def test_weights_that_do_not_say_what_they_have_seen() -> None:
    note = "weights of DeblurGAN, trained elsewhere"
    for state, said in (({"note": note}, note), ({}, "they do not say what they have seen")):
        record = DataRecord(object())
        record.start_from({"options": {"generator": {}}, **state}, Path("latest_net_G.pth"))
        assert record.notes == [f"initial weights latest_net_G.pth: {said}"]


def test_a_checkpoint_of_an_earlier_version_names_its_data_in_its_options() -> None:
    class GoPro:
        def describe(self) -> dict[str, str]:
            return {"set": "GoPro", "variant": "linear", "split": "train"}

    for variant, notes in (
        ("linear", []),
        ("gamma", ["until iteration 7 trained on set GoPro, split train, variant gamma"]),
    ):
        component = {"type": "GoPro", "split": "train", "variant": variant}
        record = DataRecord(GoPro())
        record.go_on_from({"options": {"datasets": {"train": component}}, "position": {"iteration": 7}})
        assert record.notes == notes
