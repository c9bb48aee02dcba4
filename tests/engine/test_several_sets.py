"""Trainings on several sets together: what they draw, what they say of it, and that a kill changes nothing."""

from __future__ import annotations

import copy
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
from gopro_tree import make_gopro
from runs import Run, checkpoint_of, run
from same_training import compare_runs
from tiny import CRITIC

from deblurkit import load_options, train
from deblurkit.data.images import write_image
from deblurkit.data.training_sets import described_sets
from deblurkit.engine.changes import Effect, changes
from deblurkit.engine.dry_run import dry_run
from deblurkit.errors import UserError

SETTINGS = {"crop": 32, "augment": ["hflip", "rot90"]}
Sets = list[dict[str, Any]]


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory, pairs: dict[str, Any]) -> Sets:
    """GoPro's tree of 6 images, HIDE's of 5, and 8 pairs of one's own."""
    root = tmp_path_factory.mktemp("trees")
    photograph = skimage.data.rocket()
    for number in range(5):
        sharp = np.ascontiguousarray(photograph[40 * number : 40 * number + 96, 200:328])
        blurred = cv2.GaussianBlur(sharp, (0, 0), 1.0 + 0.2 * number)
        for folder, pixels in (("train", blurred), ("GT", sharp)):
            (root / "HIDE" / folder).mkdir(parents=True, exist_ok=True)
            write_image(root / "HIDE" / folder / f"{number}fromGOPR0950.png", pixels)
    return [
        {
            "type": "GoPro",
            "split": "train",
            "variant": "linear",
            "root": str(make_gopro(root / "GoPro", pairs=6)),
            "batch_size": 2,
            **SETTINGS,
        },
        {"type": "HIDE", "split": "train", "root": str(root / "HIDE"), **SETTINGS},
        {"type": "PairedImages", "blurred": pairs["blurred"], "sharp": pairs["sharp"], **SETTINGS},
    ]


def of(trees: Sets, *own: dict[str, Any]) -> Sets:
    """The sets, each with keys of its own."""
    return [{**entry, **keys} for entry, keys in zip(copy.deepcopy(trees), own, strict=True)]


def options(trees: Sets, **change: Any) -> dict[str, Any]:
    game = {"type": "AdversarialLoss", "mode": "wgan", "critic": "critic", "gradient_penalty": {"weight": 10}}
    return {
        "generator": {"type": "DeblurGAN", "channels": 4, "blocks": 1},  # with dropout
        "discriminators": {"critic": CRITIC},
        "losses": {"adversarial": {**game, "weight": 0.01}},
        "datasets": {"train": trees},
        "train": {
            "iters": 30,
            "critic_steps": 2,
            "critic_batches": "own",
            "accumulate": 2,
            "ema": {"decay": 0.9},
            "checkpoint_every": 4,
            "keep": 30,
            **change,
        },
    }


@pytest.mark.parametrize(
    ("shares", "workers"),
    [([{"weight": 1}, {"weight": 3}, {"weight": 2.5}], 0), ([{"repeat": 2}, {}, {"repeat": 3}], 2)],
    ids=["weights", "repeats"],
)
def test_a_killed_training_ends_as_one_that_was_not(
    trees: Sets, option_file: Callable[..., Path], tmp_path: Path, shares: Sets, workers: int
):
    """Bit for bit: GoPro-like, HIDE-like and paired images together; in the midst of an epoch, by SIGKILL."""
    sets = of(trees, *shares)
    sets[0]["workers"] = workers
    file = option_file(options(sets))
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(tmp_path / "whole.txt", "-opt", file, "--work-dir", whole, "--device", "cpu")
    process = Run(tmp_path / "broken.txt", "-opt", file, "--work-dir", broken, "--device", "cpu")
    process.signal_at(broken, 10, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    said = run(tmp_path / "broken.txt", "-opt", file, "--work-dir", broken, "--device", "cpu", "--resume")
    assert "resumed iter_" in said
    assert compare_runs(broken, whole) == []
    assert whole.joinpath("scalars.jsonl").read_text(encoding="utf-8").count("\n") == 30


@pytest.fixture
def start(tmp_path: Path, option_file: Callable[..., Path]) -> Callable[..., Path]:
    def begin(sets: Sets | dict[str, Any], iters: int = 2, resume: bool = False) -> Path:
        change = {"datasets": {"train": sets}, "train": {"iters": iters, "checkpoint_every": 2}}
        return train(load_options(option_file(change)), tmp_path / "run", resume=resume, device="cpu")

    return begin


def test_each_set_is_on_record_with_its_share(trees: Sets, start: Callable[..., Path]):
    folder = start(of(trees, {"weight": 2}, {"weight": 1}, {"weight": 1}))
    log = (folder / "log.txt").read_text(encoding="utf-8")
    assert "19 training images, effective batch 2" in log
    assert "INFO datasets.train.0: set GoPro, share 47.4 %, images 6, " in log
    assert "INFO datasets.train.2: set PairedImages, share 26.3 %, images 8, " in log
    assert "WARNING datasets.train.1: 5 of 6397 images" in log
    state = checkpoint_of(folder, 2)
    assert state["trained_on"]["set"] == "GoPro + HIDE + PairedImages"
    known = described_sets(state["trained_on"])
    assert [facts["set"] for facts in known] == ["GoPro", "HIDE", "PairedImages"]
    assert known[0]["variant"] == "linear"
    assert any(note.startswith("datasets.train.1: 5 of 6397 images") for note in state["data_notes"])


def test_other_shares_and_sets_apply_from_the_next_batch_on(trees: Sets, start: Callable[..., Path]):
    """At the same share of the epoch; what was trained on before stays on record."""
    alone = trees[0]
    folder = start(alone)
    start(of(trees, {}, {"repeat": 2}, {}), iters=4, resume=True)
    log = (folder / "log.txt").read_text(encoding="utf-8")
    assert "changed since the checkpoint: datasets.train.1: None -> {" in log
    assert "an epoch has 12 iterations instead of 3: goes on after 0.67 epochs" in log
    start(of(trees, {"weight": 1}, {"weight": 1}, {"weight": 1}), iters=6, resume=True)
    log = (folder / "log.txt").read_text(encoding="utf-8")
    assert "datasets.train.1.weight: None -> 1.0: applied, from the next batch on" in log
    notes = [note for note in checkpoint_of(folder, 6)["data_notes"] if note.startswith("until iteration")]
    first, second = notes
    assert first.startswith("until iteration 2 trained on set GoPro, ")
    assert second.startswith("until iteration 4 trained on set GoPro + HIDE + PairedImages, 0.set GoPro, 0.share 25 %")


def test_one_set_alone_is_repeated(trees: Sets, start: Callable[..., Path]):
    log = (start({**trees[0], "repeat": 3}) / "log.txt").read_text(encoding="utf-8")
    assert "2 iterations, 9 in an epoch" in log
    assert "INFO datasets.train: set GoPro, " in log


@pytest.mark.parametrize(
    ("own", "problems"),
    [
        (
            ({}, {"root": "nowhere"}, {"blurred": "nothing"}),
            ["datasets.train.1: HIDE: no image found in any of nowhere", "datasets.train.2: "],
        ),
        (({}, {"crop": None}, {}), ["datasets.train: images of one batch differ in size (h x w): train.0/"]),
        (
            ({"weight": 1e-4}, {"weight": 1}, {"weight": 1}),
            ["datasets.train.0: weight: 0.0001 gives it none of"],
        ),
        (({"cache": True, "limit": 1}, {"limit": 1}, {"limit": 1}), []),
        (({"batch_size": 20}, {}, {}), ["datasets.train: one iteration takes 1 batch(es) of 20"]),
    ],
    ids=["folders", "sizes", "weight", "limits", "batch"],
)
def test_what_does_not_fit_is_refused_before_the_run(
    trees: Sets, start: Callable[..., Path], tmp_path: Path, own: Sets, problems: list[str]
):
    if not problems:
        assert "3 training images" in (start(of(trees, *own)) / "log.txt").read_text(encoding="utf-8")
        return
    with pytest.raises(UserError) as caught:
        start(of(trees, *own))
    for problem in problems:
        assert any(line.startswith(problem) for line in caught.value.problems), caught.value.problems
    assert not (tmp_path / "run").exists()


def test_a_dry_run_takes_the_first_size_that_is_known(
    trees: Sets, option_file: Callable[..., Path], capsys: pytest.CaptureFixture[str]
):
    sets = of(trees, {"crop": None}, {}, {})
    dry_run(load_options(option_file({"datasets": {"train": sets}})), "cpu")
    assert "synthetic batches of (2, 3, 32, 32)" in capsys.readouterr().out


def test_changes_of_several_sets_are_told_one_by_one():
    one = {"type": "GoPro", "crop": 32, "workers": 2}
    two = {"type": "HIDE", "crop": 32}

    def told(before: Any, after: Any) -> list[tuple[str, Effect, str]]:
        found = changes({"datasets": {"train": before}}, {"datasets": {"train": after}})
        return [(change.key, change.rule.effect, change.rule.words) for change in found]

    drawn = "from the next batch on, at the same share of the epoch"
    assert told(one, [one, two]) == [("datasets.train.1", Effect.APPLIED, drawn)]
    assert told([one, two], one) == [("datasets.train.1", Effect.APPLIED, drawn)]
    assert told([one, two], [{**one, "workers": 0}, {**two, "repeat": 2}]) == [
        ("datasets.train.0.workers", Effect.APPLIED, "only the speed changes"),
        ("datasets.train.1.repeat", Effect.APPLIED, drawn),
    ]
    assert told([one, two], [two, one])[0][0] == "datasets.train.0.type"
    assert told([one, two], copy.deepcopy([one, two])) == []
