"""Training, testing and deblurring where there is neither ``resource`` nor anything else that Windows lacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import skimage.data

from deblurkit.data.images import write_image

SCRIPT = Path(__file__).with_name("no_posix.py")


def test_all_of_it_works(tmp_path: Path, checkout: Path):
    for side in ("blurred", "sharp"):
        (tmp_path / side).mkdir()
        for number in range(2):
            write_image(tmp_path / side / f"{number}.png", skimage.data.astronaut()[40 * number :, :48][:40])
    pairs = {"type": "PairedImages", "blurred": str(tmp_path / "blurred"), "sharp": str(tmp_path / "sharp")}
    options = {
        "name": "tiny",
        "generator": {"type": "FilterBankUNet", "channels": [4, 4], "blocks": 1, "filters": 2, "taps": 5},
        "losses": {"image": {"type": "L1Loss"}},
        "datasets": {"train": {**pairs, "crop": 32, "batch_size": 1}, "val": {"ours": pairs}, "test": {"ours": pairs}},
        "train": {"iters": 2},
        "logging": {"every": 1, "tensorboard": False, "samples": 0, "curves": False},
    }
    file, folder, out = tmp_path / "options.yml", tmp_path / "run", tmp_path / "sharpened"
    file.write_text(json.dumps(options), encoding="utf-8")
    weights = folder / "checkpoints" / "iter_00000002.pth"
    lines = [
        ("train", "-opt", file, "--work-dir", folder, "--device", "cpu"),
        ("test", "--weights", weights, "--out", tmp_path / "report", "--device", "cpu"),
        ("deblur", tmp_path / "blurred" / "0.png", "--weights", weights, "--out", out, "--device", "cpu"),
    ]
    words: list[object] = []
    for line in lines:
        words += ["--", *line] if words else line
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "report" / "report.md").is_file()
    assert [path.name for path in out.iterdir()] == ["0.png"]
    records = [json.loads(line) for line in (folder / "scalars.jsonl").read_text(encoding="utf-8").splitlines()]
    assert records[0]["time"] > 0
    assert "memory" not in records[0]
