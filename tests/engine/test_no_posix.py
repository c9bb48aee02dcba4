"""Training, testing and deblurring where there is neither ``resource`` nor anything else that Windows lacks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runs import ROOT, records


def test_all_of_it_works(tmp_path: Path, pairs: dict[str, Any], option_file: Callable[..., Path]):
    """In a process that begins anew: one that is forked has imported most of it already."""
    one = {"pairs": {"type": "PairedImages", "blurred": pairs["blurred"], "sharp": pairs["sharp"], "limit": 1}}
    options = option_file({"datasets": {"val": one, "test": one}, "train": {"iters": 2}})
    folder, report, out = tmp_path / "run", tmp_path / "report", tmp_path / "sharpened"
    weights, photo = folder / "checkpoints" / "iter_00000002.pth", Path(pairs["blurred"], "000.png")
    words = [
        *("train", "-opt", options, "--work-dir", folder, "--device", "cpu"),
        *("--", "test", "--weights", weights, "--out", report, "--device", "cpu"),
        *("--", "deblur", photo, "--weights", weights, "--out", out, "--device", "cpu"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "tests" / "no_posix.py"), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert (report / "metrics.json").is_file()
    assert [file.name for file in out.iterdir()] == ["000.png"]
    assert [record["iteration"] for record in records(folder)] == [1, 2, 2]
    assert "memory" not in records(folder)[0]
