"""What lies beyond the iteration that a run goes on from; files of a work dir that are not what they should be."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runs import checkpoint_of, records, run

from deblurkit import checkpoint, load_options, train
from deblurkit.engine.work_dir import WorkDir
from deblurkit.errors import UserError
from deblurkit.evaluation.candidates import find_weights

Start = Callable[..., Path]


@pytest.fixture
def start(tmp_path: Path, option_file: Callable[..., Path], pairs: dict) -> Start:
    val = {"type": "PairedImages", "blurred": pairs["blurred"], "sharp": pairs["sharp"], "limit": 1}
    change: dict[str, Any] = {
        "datasets": {"train": pairs, "val": {"pairs": val}},
        "train": {"iters": 8, "checkpoint_every": 2, "keep": 9, "ema": {"decay": 0.5}},
        "val": {"every": 2},
        "logging": {"samples": 1},
    }

    def go(name: str, *overrides: str, **arguments: Any) -> Path:
        options = load_options(option_file(change), overrides)
        return train(options, tmp_path / name, device="cpu", **arguments)

    return go


def files(folder: Path) -> list[str]:
    found = [str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()]
    return sorted(name for name in found if not name.startswith("."))


def iterations(folder: Path) -> list[int]:
    return sorted(WorkDir(folder).iterations().values())


def test_abandoned_branch_is_set_aside(start: Start):
    folder = start("run", "logging.curves=true")
    best = checkpoint.load(folder / "checkpoints" / "best_psnr.pth")["position"]["iteration"]
    assert best == 8, "the branch that is left has the best weights"
    newest = (folder / "checkpoints" / "iter_00000008.pth").read_bytes()
    start("run", "optimizers.generator.lr=1e-5", "train.iters=6", resume=folder / "checkpoints" / "iter_00000004.pth")

    aside = folder / "abandoned" / "after_00000004"
    assert files(aside) == [
        "checkpoints/best_psnr.pth",
        "checkpoints/iter_00000006.pth",
        "checkpoints/iter_00000008.pth",
        "curves.html",
        "samples/pairs/iter_00000006.jpg",
        "samples/pairs/iter_00000008.jpg",
        "scalars.jsonl",
    ]
    assert (aside / "checkpoints" / "iter_00000008.pth").read_bytes() == newest
    assert {record["iteration"] for record in records(aside)} == {5, 6, 7, 8}
    assert iterations(folder) == [2, 4, 6]
    found = [record["iteration"] for record in records(folder) if "loss" in record]
    assert found == [1, 2, 3, 4, 5, 6]
    assert not (folder / "samples" / "pairs" / "iter_00000008.jpg").exists()
    used = checkpoint.load(find_weights(folder))
    assert used["position"]["iteration"] == 6, "the best of what is left, whatever the other branch reached"
    assert used["options"]["optimizers"]["generator"]["lr"] == 1e-5
    log = (folder / "log.txt").read_text(encoding="utf-8")
    assert f"what this run had done beyond this checkpoint now lies in {aside}" in log
    assert "the best score so far, of iteration 4, no longer counts: its weights are not in" in log


def test_a_second_branch_has_a_folder_of_its_own(start: Start):
    folder = start("run", "train.iters=6")
    for _ in range(2):
        start("run", "train.iters=6", resume=folder / "checkpoints" / "iter_00000002.pth")
    assert sorted(item.name for item in (folder / "abandoned").iterdir()) == ["after_00000002", "after_00000002-2"]
    start("run", "train.iters=2", overwrite=True)
    assert not (folder / "abandoned").exists()


def test_tensorboard_forgets_the_branch(start: Start):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tensorboard = "logging.tensorboard=true"
    folder = start("run", tensorboard)
    start("run", tensorboard, "optimizers.generator.lr=1e-5", resume=folder / "checkpoints" / "iter_00000004.pth")
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    steps = [event.step for event in events.Scalars("loss")]
    assert steps == list(range(1, 9)), "each iteration once"
    wanted = [record["loss"] for record in records(folder) if "loss" in record]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(wanted, rel=1e-5)


def test_refused_resume_changes_nothing(start: Start):
    folder = start("run", "train.iters=4")
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.name != ".lock"}
    with pytest.raises(UserError, match="seed: 3 -> 5: refused"):
        start("run", "seed=5", "train.iters=6", resume=folder / "checkpoints" / "iter_00000002.pth")
    assert before == {file: file.read_bytes() for file in before}


def test_checkpoint_of_another_run(start: Start, tmp_path: Path):
    other = start("other", "train.iters=4")
    taken = other / "checkpoints" / "iter_00000002.pth"
    mine = start("mine", "train.iters=2")
    before = files(mine)
    with pytest.raises(UserError, match="holds a run of its own: name an empty --work-dir, or --overwrite"):
        start("mine", resume=taken)
    assert files(mine) == before

    fresh = start("fresh", "train.iters=4", resume=taken)
    assert [record["iteration"] for record in records(fresh) if "loss" in record] == [3, 4]
    assert checkpoint_of(fresh, 4)["best"]["iteration"] == 4, "the best of the other run lies in the other folder"
    start("mine", "train.iters=4", resume=taken, overwrite=True)
    assert [record["iteration"] for record in records(mine) if "loss" in record] == [3, 4]
    for resume in (True, mine / "checkpoints" / "iter_00000004.pth"):
        with pytest.raises(UserError, match="give one of them"):
            start("mine", resume=resume, overwrite=True)


def test_what_a_killed_run_recorded_is_recorded_again(start: Start):
    """Nothing lies beyond but records and samples: no branch was left."""
    folder = start("run", "train.iters=8")
    whole = records(folder)
    for name in ("iter_00000006.pth", "iter_00000008.pth", "best_psnr.pth"):
        (folder / "checkpoints" / name).unlink()
    start("run", resume=True)
    assert not (folder / "abandoned").exists()
    assert [record["iteration"] for record in records(folder)] == [record["iteration"] for record in whole]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"../../pwned.pth\n", b"iter_00000099.pth", b"", b"\x00" * 9])
def test_last_is_no_text_or_no_checkpoint(start: Start, content: bytes):
    folder = start("run", "train.iters=4")
    (folder / "checkpoints" / "last").write_bytes(content)
    start("run", "train.iters=6", resume=True)
    assert checkpoint_of(folder, 6)
    assert (folder / "checkpoints" / "last").read_text() == "iter_00000006.pth\n"


@pytest.mark.parametrize(
    "line", [b"\xff\xfe broken\n", b'{"iteration": "2"}\n', b"[1]\n", b"{}\n", b'{"iteration": 3, "lo']
)
def test_scalars_that_are_no_records(start: Start, line: bytes):
    folder = start("run", "train.iters=4")
    scalars = folder / "scalars.jsonl"
    whole = scalars.read_bytes().splitlines(keepends=True)
    scalars.write_bytes(b"".join(whole[:2]) + line + b"\n" + b"".join(whole[2:]) + line)
    start("run", "train.iters=6", resume=True)
    assert [record["iteration"] for record in records(folder) if "loss" in record] == [1, 2, 3, 4, 5, 6]


def test_overwrite_where_checkpoints_is_a_link(start: Start, tmp_path: Path):
    folder = start("run", "train.iters=4")
    elsewhere = tmp_path / "large disk"
    shutil.move(folder / "checkpoints", elsewhere)
    (folder / "checkpoints").symlink_to(elsewhere)
    (elsewhere / "of another run.pth").write_text("not ours")
    (folder / "log.txt").rename(tmp_path / "log.txt")
    (folder / "log.txt").symlink_to(tmp_path / "log.txt")
    start("run", "train.iters=2", overwrite=True)
    assert (folder / "checkpoints").is_symlink(), "it stays where the user put it"
    assert sorted(file.name for file in elsewhere.iterdir()) == [
        "best_psnr.pth",
        "iter_00000002.pth",
        "last",
        "of another run.pth",
    ]
    assert [record["iteration"] for record in records(folder) if "loss" in record] == [1, 2]
    assert (tmp_path / "log.txt").is_file(), "what a link to a file leads to is not ours"


def test_keep_counts_what_is_written_at_intervals(start: Start):
    """Those before validations are only for the case that these fail."""
    folder = start("run", "train.checkpoint_every=3", "train.keep=1", "val.every=1")
    assert iterations(folder) == [6, 8]
    folder = start("more", "train.checkpoint_every=2", "train.keep=2", "val.every=3")
    assert iterations(folder) == [6, 8]


def test_folder_of_a_version_that_left_branches_where_they_were(start: Start):
    folder = start("run", "train.iters=4")
    last = folder / "checkpoints" / "last"
    last.unlink()
    last.write_text("iter_00000002.pth\n")
    assert [file.name for file in WorkDir(folder).saved()] == ["iter_00000002.pth", "iter_00000004.pth"]


def test_kill_between_a_checkpoint_and_the_pointer_to_it(start: Start):
    folder = start("run", "train.iters=4")
    newest = folder / "checkpoints" / "iter_00000004.pth"
    (folder / "checkpoints" / "last").write_text("iter_00000002.pth\n")
    newest.write_bytes(newest.read_bytes())  # written after it
    assert [file.name for file in WorkDir(folder).saved()] == ["iter_00000004.pth", "iter_00000002.pth"]


@pytest.mark.slow
def test_message_on_the_command_line(tmp_path: Path, option_file: Callable[..., Path]):
    options, folder = option_file(), tmp_path / "run"
    run(tmp_path / "one.txt", "-opt", options, "--work-dir", folder)
    text = run(tmp_path / "two.txt", "-opt", options, "--work-dir", folder, "--resume", "--set", "seed=9", code=2)
    where = f"{folder}/checkpoints/iter_00000004.pth"
    assert text.splitlines() == [
        f"{where}: seed: 3 -> 9: refused, the data's order and every random number of a run follow from its one seed",
        f"{where}: give these options back their values, or take its weights alone with --init-from",
    ]
