"""File systems that cannot do everything, and work dirs with something in the way: one line, and nothing lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runs import ROOT, TRAIN, checkpoint_of, run, timeless
from small_disk import small_disk_at

REFUSING = ROOT / "tests" / "refusing.py"
ITERS = 4


@pytest.fixture(scope="module")
def options(module_option_file: Callable[..., Path], pairs: dict[str, Any]) -> Path:
    """A checkpoint each iteration, and a validation."""
    val = {"type": "PairedImages", "blurred": pairs["blurred"], "sharp": pairs["sharp"], "limit": 1}
    return module_option_file(
        {
            "datasets": {"val": {"pairs": val}, "test": {"pairs": val}},
            "train": {"iters": ITERS, "checkpoint_every": 1, "keep": 9},
            "val": {"every": ITERS},
            "logging": {"samples": 1},
        }
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, options: Path) -> Path:
    """The work dir of a finished run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(folder.with_suffix(".txt"), "-opt", options, "--work-dir", folder)
    return folder


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("flock=ENOLCK", ".lock: cannot be locked: No locks available"),
        ("flock=ENOSYS", ".lock: cannot be locked: Function not implemented"),
        ("fsync_folder=EINVAL", "checkpoints: cannot be flushed to the disk: Invalid argument"),
        ("fsync=EOPNOTSUPP", "cannot be flushed to the disk: Operation not supported"),
    ],
)
def test_what_a_run_does_without(tmp_path: Path, options: Path, whole: Path, call: str, told: str):
    folder = tmp_path / "run"
    text = run(tmp_path / "run.txt", call, TRAIN, "-opt", options, "--work-dir", folder, script=REFUSING)
    (line,) = [line for line in text.splitlines() if " INFO " not in line and not line.startswith("ScalarsHook")]
    assert line.endswith(f"{told}; goes on without")
    assert timeless(folder) == timeless(whole)
    assert not (folder / ".lock.pid").exists()


def test_a_report_does_without(tmp_path: Path, whole: Path):
    weights, out = whole / "checkpoints" / "iter_00000004.pth", tmp_path / "report"
    script = ROOT / "tools" / "test.py"
    arguments = ("flock=ENOLCK,fsync=EINVAL", script, "--weights", weights, "--out", out, "--device", "cpu")
    text = run(tmp_path / "test.txt", *arguments, script=REFUSING)
    assert text.count("goes on without") == text.count("cannot be locked") == 1
    assert (out / "report.md").is_file()


def test_checkpoints_move_to_a_disk_that_keeps_no_rights(tmp_path: Path, options: Path, whole: Path):
    """``checkpoints`` is a link to another disk: what lies beyond an earlier checkpoint is copied to the work dir."""
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    with small_disk_at(tmp_path / "disk", 8192) as disk:
        shutil.move(folder / "checkpoints", disk.path / "checkpoints")
        (folder / "checkpoints").symlink_to(disk.path / "checkpoints")
        earlier = folder / "checkpoints" / "iter_00000002.pth"
        arguments = ("chmod=EPERM", TRAIN, "-opt", options, "--work-dir", folder, "--resume", earlier)
        text = run(tmp_path / "run.txt", *arguments, script=REFUSING)
        assert "cannot" not in text
        assert timeless(folder) == timeless(whole)
    kept = folder / "abandoned" / "after_00000002" / "checkpoints" / "iter_00000004.pth"
    assert kept.read_bytes() == (whole / "checkpoints" / "iter_00000004.pth").read_bytes()


@pytest.mark.parametrize("resumed", [False, True])
def test_a_disk_that_is_read_only(tmp_path: Path, options: Path, whole: Path, resumed: bool):
    with small_disk_at(tmp_path / "disk", 8192) as disk:
        folder = disk.path / "run"
        if resumed:
            shutil.copytree(whole, folder)
        before = sorted(disk.path.rglob("*"))
        disk.make_read_only()
        more = ("--resume", "--set", f"train.iters={ITERS + 1}") if resumed else ()
        text = run(tmp_path / "run.txt", "-opt", options, "--work-dir", folder, *more, code=2)
        (line,) = text.splitlines()
        assert str(folder) in line
        assert "Read-only file system" in line
        assert sorted(disk.path.rglob("*")) == before


def in_the_way(item: Path) -> None:
    """Put a file where a folder belongs, or the other way round."""
    if item.is_dir() or item.name == "tensorboard":
        shutil.rmtree(item, ignore_errors=True)
        item.touch()
    else:
        item.unlink(missing_ok=True)
        (item / "inside").mkdir(parents=True)


@pytest.mark.parametrize("name", ["options.yml", "log.txt", "scalars.jsonl", "samples", ".lock", ".lock.pid"])
def test_something_is_in_the_way(tmp_path: Path, options: Path, whole: Path, name: str):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    in_the_way(folder / name)
    more = ("--resume", "--set", f"train.iters={ITERS + 1}")
    text = run(tmp_path / "run.txt", "-opt", options, "--work-dir", folder, *more, code=2)
    assert "Traceback" not in text
    assert str(folder / name) in text.splitlines()[-1]
    assert (folder / name).exists()


@pytest.mark.parametrize(
    ("name", "told"),
    [("tensorboard", "File exists; the run goes on without TensorBoard"), ("curves.html", "expected a file in")],
)
def test_what_is_in_the_way_of_pictures_is_told(tmp_path: Path, options: Path, whole: Path, name: str, told: str):
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    in_the_way(folder / name)
    more = ("--resume", "--set", f"train.iters={ITERS + 1}", "logging.tensorboard=true", "logging.curves=true")
    text = run(tmp_path / "run.txt", "-opt", options, "--work-dir", folder, *more)
    (line,) = [line for line in text.splitlines() if " WARNING " in line]
    assert str(folder / name) in line
    assert told in line
    assert checkpoint_of(folder, ITERS + 1)["position"]["iteration"] == ITERS + 1
