"""A disk that is full when a training writes: one line, nothing half-written, and ``--resume`` once there is space."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filler
import pytest
from processes import start
from runs import TRAIN
from same_training import compare_runs, timeless
from small_disk import small_disk_at
from tiny import TINY, merged

from deblurkit import checkpoint

ITERS, EVERY, VALIDATED = 12, 4, 6  # checkpoints at 4, 6, 8 and 12; at 6 and 12 one before and one after validation
WANTED: dict[str, Any] = {
    "plugins": [filler.__file__],
    "hooks": [{"type": "Fill"}],
    "train": {"iters": ITERS, "checkpoint_every": EVERY, "ema": {"decay": 0.9}},
    "val": {"every": VALIDATED},
    "logging": {"every": 1, "tensorboard": False, "samples": 1, "curves": False},
}
REASON = "No space left on device"


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int
    output: str
    errors: list[str]

    def told(self) -> str:
        """Return what a failed test shows."""
        return "\n".join([f"exit code {self.code}", *self.output.splitlines()[-8:], "on standard error:", *self.errors])


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory, pairs: dict[str, Any]) -> Path:
    """A training that writes everything that one can write."""
    val = {"type": "PairedImages", "blurred": pairs["blurred"], "sharp": pairs["sharp"], "limit": 1}
    file = tmp_path_factory.mktemp("options") / "options.yml"
    data = {"train": pairs, "val": {"pairs": val}}
    file.write_text(json.dumps(merged(TINY, {**WANTED, "datasets": data})), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, options: Path) -> Path:
    """The work dir of a run that always had space."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    ended = trained(options, folder)
    assert (ended.code, ended.errors) == (0, []), ended.told()
    return folder


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB, where one can be mounted."""
    with small_disk_at(tmp_path / "disk", 8192) as disk:
        yield disk.path


def trained(options: Path, work_dir: Path, *more: str, moment: filler.Moment | None = None) -> Ended:
    """Train in a process of its own, which fills the disk at a moment."""
    logs = [options.parent / f"{name}.txt" for name in ("output", "errors")]
    for log in logs:
        log.unlink(missing_ok=True)
    arguments = ["-opt", options, "--work-dir", work_dir, "--device", "cpu", *more]
    process = start(str(TRAIN), arguments, logs[0], moment.environment() if moment else {}, logs[1])
    process.join(60)
    assert process.exitcode is not None, logs[0].read_text(encoding="utf-8")
    output, errors = (log.read_text(encoding="utf-8") for log in logs)
    return Ended(process.exitcode, output, errors.splitlines())


def check_refusal(ended: Ended, named: str) -> None:
    """Assert that a process ended with one line that names the file and the reason."""
    assert ended.code == 2, ended.told()
    assert len(ended.errors) == 1, ended.told()
    assert named in ended.errors[0]
    assert REASON in ended.errors[0]
    assert "Traceback" not in ended.output, ended.told()


def check_warning(ended: Ended, named: str) -> None:
    """Assert that one line, in the log or beside it, names what the run went on without."""
    lines = [*ended.output.splitlines(), *ended.errors]
    warnings = [line for line in lines if REASON in line]
    assert len(warnings) == 1, ended.told()
    assert named in warnings[0]
    assert not [line for line in lines if "Traceback" in line], ended.told()
    assert len(ended.errors) <= 1, ended.told()


def check_intact(work_dir: Path, newest: int) -> None:
    """Assert that what has a final name is whole, and that nothing else is there."""
    assert not [file for file in work_dir.rglob("*") if file.name.endswith(".tmp")]
    for file in work_dir.glob("checkpoints/*.pth"):
        checkpoint.load(file)
    saved = sorted(work_dir.glob("checkpoints/iter_*.pth"))
    assert [file.name for file in saved[-1:]] == ([f"iter_{newest:08d}.pth"] if newest else [])
    timeless(work_dir)


def check_same(options: Path, work_dir: Path, whole: Path) -> None:
    """Assert that a run taken up on a disk with space ends as one that always had it."""
    ended = trained(options, work_dir, "--resume")
    assert ended.code == 0, ended.told()
    assert compare_runs(work_dir, whole) == []


CASES = {
    "scalars.jsonl": ("before_train_iter", 5, {"room": ("log.txt",), "no_room": "scalars.jsonl"}, 4),
    "checkpoints/iter_00000012.pth": ("on_save", 12, {"skipped": 2}, 12),
    "checkpoints/best_psnr.pth": ("on_save", 6, {"skipped": 1}, 6),
    "checkpoints/last": ("on_save", 8, {"spare": "checkpoints/iter_00000004.pth"}, 8),
    "samples/pairs/iter_00000006.jpg": ("before_val", 6, {}, 6),
}
"""What cannot be written: when the disk fills up and how, and the iteration of the newest checkpoint then."""


_OFTEN = ("scalars.jsonl", "checkpoints/iter_00000012.pth")


@pytest.mark.parametrize(
    "named", [name if name in _OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
def test_what_a_run_cannot_do_without(options: Path, whole: Path, disk: Path, named: str):
    event, iteration, how, newest = CASES[named]
    work_dir = disk / "run"
    moment = filler.Moment(str(disk), str(work_dir), event, iteration, **how)
    check_refusal(trained(options, work_dir, moment=moment), named)
    check_intact(work_dir, newest)
    filler.filler(disk).unlink()
    check_same(options, work_dir, whole)


def test_a_disk_that_is_still_full(options: Path, whole: Path, disk: Path):
    work_dir = disk / "run"
    ended = trained(options, work_dir, moment=filler.Moment(str(disk), str(work_dir), "on_save", 8))
    check_refusal(ended, "checkpoints/iter_00000008.pth")
    check_refusal(trained(options, work_dir, "--resume"), str(work_dir))
    check_intact(work_dir, 6)
    filler.filler(disk).unlink()
    check_same(options, work_dir, whole)


@pytest.mark.parametrize(("pages", "named"), [(0, ""), (1, "options.yml")])
def test_nothing_can_be_begun(options: Path, whole: Path, disk: Path, pages: int, named: str):
    work_dir = disk / "run"
    filler.fill(disk, pages)
    check_refusal(trained(options, work_dir), str(work_dir / named))
    assert not work_dir.exists(), "a run that was refused leaves no trace"
    filler.filler(disk).unlink()
    check_same(options, work_dir, whole)


def test_a_log_that_cannot_be_written_is_missed(options: Path, whole: Path, disk: Path):
    work_dir = disk / "run"
    how = {"room": ("scalars.jsonl",), "no_room": "log.txt", "until": 5}
    ended = trained(options, work_dir, moment=filler.Moment(str(disk), str(work_dir), "before_train_iter", 4, **how))
    assert ended.code == 0, ended.told()
    check_warning(ended, str(work_dir / "log.txt"))
    assert "iteration 5/12 " in ended.output, "the terminal shows all"
    assert "iteration 12/12 " in (work_dir / "log.txt").read_text(encoding="utf-8"), "the log goes on after it"
    check_intact(work_dir, ITERS)
    assert compare_runs(work_dir, whole) == []


def test_tensorboard_that_cannot_write_is_missed(options: Path, disk: Path):
    """Its file grows by a page in some iterations, and has space again before the first checkpoint."""
    work_dir, iters = disk / "run", 30
    longer = [f"train.iters={iters}", f"train.checkpoint_every={iters}", f"val.every={iters}"]
    moment = filler.Moment(str(disk), str(work_dir), "before_train_iter", 1, until=iters - 2)
    ended = trained(options, work_dir, "--set", "logging.tensorboard=true", *longer, moment=moment)
    assert ended.code == 0, ended.told()
    check_warning(ended, "TensorBoard")
    check_intact(work_dir, iters)
    assert len(timeless(work_dir)) == iters + 1, "each iteration and the validation"


@pytest.mark.slow
def test_curves_that_cannot_be_written_are_missed(options: Path, disk: Path):
    work_dir = disk / "run"
    curves = ("--set", "logging.curves=true")
    moment = filler.Moment(str(disk), str(work_dir), "after_train", ITERS, room=("log.txt",))
    ended = trained(options, work_dir, *curves, moment=moment)
    assert ended.code == 0, ended.told()
    check_warning(ended, "curves")
    check_intact(work_dir, ITERS)
    assert not (work_dir / "curves.html").exists()
    filler.filler(disk).unlink()
    ended = trained(options, work_dir, "--resume", *curves)
    assert ended.code == 0, ended.told()
    assert "already finished" in ended.output
