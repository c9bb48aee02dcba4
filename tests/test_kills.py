"""``benchmarks/kills.py``: killed trainings end as others do, and what differs is found."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from same_training import compare_runs  # noqa: E402

from deblurkit import checkpoint  # noqa: E402

STATE: dict[str, Any] = {
    "format": checkpoint.FORMAT,
    "generator": {"weight": torch.tensor([1.0, float("nan")])},
    "best": {"psnr": 30.0},
    "rng": [{"python": [3, [1, 2], None]}],
}


@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="needs /proc")
@pytest.mark.slow
def test_four_kills(tmp_path: Path):
    command = [sys.executable, ROOT / "benchmarks" / "kills.py", "--kills", "4", "--seed", "4"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--out", tmp_path / "kills.json"], env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    runs = json.loads((tmp_path / "kills.json").read_text(encoding="utf-8"))["runs"]
    kills = [kill for run in runs for kill in run["kills"]]
    assert len(kills) == 4
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if "identical |" in line]
    for phase in ("starting", "reading", "step", "validation", "writing"):
        count = sum(kill["phase"] == phase for kill in kills)
        assert [phase, f"{count}, {count} identical"] in [[row[0], row[-1]] for row in rows], done.stdout


def write_run(folder: Path, state: dict[str, Any]) -> Path:
    """Write what a run leaves that ``compare_runs`` reads."""
    (folder / "checkpoints").mkdir(parents=True)
    checkpoint.save(state, folder / "checkpoints" / "iter_00000003.pth")
    (folder / "checkpoints" / "last").write_text("iter_00000003.pth\n")
    lines = [json.dumps({"iteration": n, "loss": 1 / n, "time": os.getpid()}) + "\n" for n in (1, 2, 3)]
    (folder / "scalars.jsonl").write_text("".join(lines))
    return folder


def change_weight(folder: Path) -> None:
    state = copy.deepcopy(STATE)
    state["generator"]["weight"][0] = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))
    checkpoint.save(state, folder / "checkpoints" / "iter_00000003.pth")


def change_state(folder: Path) -> None:
    state = copy.deepcopy(STATE)
    state["rng"][0]["python"][1][1] = 3
    checkpoint.save(state, folder / "checkpoints" / "iter_00000003.pth")


def change_record(folder: Path) -> None:
    file = folder / "scalars.jsonl"
    file.write_text(file.read_text().replace("0.5", "0.50000001"))


def leave_half_a_file(folder: Path) -> None:
    (folder / "checkpoints" / "best_psnr.pth.tmp").write_bytes(b"half")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (change_weight, "checkpoints/iter_00000003.pth.generator.weight: tensors differ"),
        (change_state, "checkpoints/iter_00000003.pth.rng[0].python[1][1]: 3, 2"),
        (change_record, "scalars.jsonl[1].loss: 0.50000001, 0.5"),
        (leave_half_a_file, "checkpoints/best_psnr.pth.tmp: only in the interrupted run"),
    ],
)
def test_the_least_difference_is_found(tmp_path: Path, change: Callable[[Path], None], told: str):
    whole, broken = (write_run(tmp_path / name, STATE) for name in ("whole", "broken"))
    assert compare_runs(broken, whole) == []
    change(broken)
    assert compare_runs(broken, whole) == [told]
