"""``benchmarks/gpu.sh`` is proved here from end to end, without a GPU, so that nothing goes wrong on a GPU's time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from gpu.__main__ import PARTS, TINY_S, Measurement  # noqa: E402
from gpu.recipes import Training, fitting  # noqa: E402
from gpu.training import FP32  # noqa: E402

pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs bash and process groups")
ROW = re.compile(r"^\| (\w+) \| ([^|]+) \| [\d.]+ \| ([^|]+) \|$", re.MULTILINE)


def measured(out: Path, *words: str) -> tuple[int, str]:
    """The exit code of the script on the CPU, and all that it printed."""
    command = ["bash", str(ROOT / "benchmarks" / "gpu.sh"), "--out", str(out), "--device", "cpu", "--tiny", *words]
    environment = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=590)
    return done.returncode, done.stdout + done.stderr


def verdicts(out: Path) -> dict[str, str]:
    """What the summary says of each part, once every file is there that it names."""
    found = {}
    table, _, _ = (out / "summary.md").read_text(encoding="utf-8").partition("\n# The machine")
    for part, verdict, files in ROW.findall(table):
        named = re.findall(r"`([^`]+)`", files)
        assert all((out / file).is_file() for file in named)
        assert f"{part}.log" in named
        found[part] = verdict
        if verdict == "passed":
            assert {f"{part}.json", f"{part}.md"} <= {*named}
            assert json.loads((out / f"{part}.json").read_text(encoding="utf-8"))["failures"] == []
    return found


def test_every_part_runs_without_a_gpu(tmp_path: Path) -> None:
    code, told = measured(tmp_path)
    assert code == 0, told
    assert verdicts(tmp_path) == dict.fromkeys(["machine", *(part.name for part in PARTS)], "passed")
    assert list((tmp_path / "starter" / "starter_1" / "checkpoints").glob("iter_*.pth"))
    modes = {unit["mode"] for unit in json.loads((tmp_path / "training.json").read_text())["curves"]}
    assert {"fp32", "tf32", "bf16", "bf16, channels_last", "bf16, compile"} <= modes
    ratios = json.loads((tmp_path / "summary.json").read_text())["ratios"]
    assert all(each.keys() == {"ratio", "limit", "better"} and each["ratio"] >= 0 for each in ratios.values())
    assert "quickstart: images a second in training, bf16 against fp32" in ratios


def test_a_part_that_fails_is_told_and_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "latency.json").mkdir()  # where it wants to write
    code, told = measured(tmp_path, "--only", "latency", "blurring")
    assert code == 1, told
    assert "latency.json" in told
    assert verdicts(tmp_path) == {"machine": "passed", "latency": "FAILED with exit code 2", "blurring": "passed"}


def test_without_the_device_nothing_begins(tmp_path: Path) -> None:
    measurement = Measurement(tmp_path, "meta", tiny=True, minutes=10)
    assert not measurement.run(PARTS)
    assert verdicts(tmp_path) == {"machine": "FAILED with exit code 1"}


def test_a_part_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    measurement = Measurement(tmp_path, "cpu", tiny=True, minutes=10, grace=1 - TINY_S)  # after a second
    assert not measurement.run_part(PARTS[-1])
    assert verdicts(tmp_path) == {"starting": "ended: it took longer than its time"}


def test_a_batch_that_does_not_fit_is_halved() -> None:
    def work(training: Training) -> int:
        if training.batch > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return next(training.steps(FP32))["loss"].numel()

    fitted, found = fitting(Training("quickstart", torch.device("cpu"), tiny=True, batch=4), work)
    assert (fitted.batch, found) == (1, 1)


def test_their_times_fit_into_ten_minutes() -> None:
    assert sum(part.seconds for part in PARTS) + len(PARTS) * 6 + 30 <= 600
