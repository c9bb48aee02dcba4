"""``deblurkit check-data`` as users run it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deblurkit.data.sample import default_root, ensure_sample_set


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    root = default_root()
    ensure_sample_set(root)
    for split, key in (("train", "astronaut_03"), ("train", "coins_04"), ("test", "coffee_02"), ("test", "rocket_03")):
        for source, side in (("blurred", "input"), ("sharp", "target")):
            target = tmp_path / "mine" / split / side / f"{key}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / split / source / f"{key}.png", target)
    return tmp_path / "mine"


def _run(checkout: Path, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(checkout / "tools" / "check_data.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"},
    )


def test_a_folder_in_order(checkout: Path, pairs: Path) -> None:
    done = _run(checkout, "mine", "--out", "out", "--jobs", "2", cwd=pairs.parent)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "train: 2 pairs" in done.stdout
    assert "test.mine and train: no image is in both" in done.stdout
    assert "no faults (training would refuse these sets), no warnings" in done.stdout
    report = json.loads((pairs.parent / "out" / "check.json").read_text(encoding="utf-8"))
    assert report["sets"][1]["component"]["blurred"] == "mine/train/input"
    assert 'blurred: "mine/test/input"' in (pairs.parent / "out" / "datasets.yml").read_text(encoding="utf-8")


def test_faults_end_with_exit_code_2_and_their_lines(checkout: Path, pairs: Path) -> None:
    (pairs / "train" / "target" / "coins_04.png").write_bytes(b"\x89PNG")
    (pairs / "test" / "input" / "rocket_03.png").unlink()
    done = _run(checkout, pairs)
    assert done.returncode == 2
    orphan, damaged = done.stderr.splitlines()
    assert orphan == f"test.mine: sharp: {pairs}/test/target/rocket_03.png has no blurred image (key 'rocket_03')"
    assert damaged.startswith(f"train: {pairs}/train/target/coins_04.png: it cannot be decoded")
    assert "2 faults" in done.stdout


def test_warnings_end_with_exit_code_0(checkout: Path, pairs: Path) -> None:
    against = f"{{type: PairedImages, blurred: '{pairs}/train/target', sharp: '{pairs}/train/target'}}"
    done = _run(
        checkout, "--blurred", pairs / "train" / "target", "--sharp", pairs / "train" / "input", "--against", against
    )
    assert done.returncode == 0, done.stderr
    assert "2 of 2 pairs: the sharp image is the softer one: blurred and sharp are swapped" in done.stdout
    assert "against: 2 pairs" in done.stdout
    assert "2 pairs: blurred and sharp are the same, pixel for pixel" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give one of FOLDER, -opt, --data, and --blurred with --sharp"),
        (["a", "--data", "b"], "give one of FOLDER"),
        (["--blurred", "a"], "give both --blurred and --sharp"),
        (["nowhere"], "nowhere: there is no such folder"),
    ],
)
def test_mistakes_on_the_command_line(checkout: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    done = _run(checkout, *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
