"""``deblurkit score`` as a process: what it prints and writes, and how it ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import skimage.data
from in_process import run_here

from deblurkit.data.images import write_image
from deblurkit.metrics.psnr import psnr

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Sharp, blurred and restored photographs."""
    image = skimage.data.coffee()[100:260, 200:420]
    for name, sigma in (("sharp", 0.0), ("blurred", 3.0), ("restored", 1.0)):
        (tmp_path / name).mkdir()
        write_image(tmp_path / name / "coffee.png", cv2.GaussianBlur(image, (0, 0), sigma) if sigma else image)
    return tmp_path


def score(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "tools" / "score.py"), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"},
    )


def test_prints_and_writes_the_report(folders: Path) -> None:
    flags = ["--restored", "restored", "--sharp", "sharp", "--blurred", "blurred", "--protocol", "gopro-basicsr-v1"]
    done = score(*flags, "--single", "--device", "cpu", cwd=folders)
    assert (done.returncode, done.stderr) == (0, "")
    image = skimage.data.coffee()[100:260, 200:420]
    expected = [psnr(cv2.GaussianBlur(image, (0, 0), sigma), image) for sigma in (3.0, 1.0)]
    line = next(line for line in done.stdout.splitlines() if "psnr" in line)
    assert re.search(" +".join(rf"{value:.2f}" for value in expected), line)
    assert "single precision" in done.stdout
    assert done.stdout.splitlines()[-1] == "report: report"
    metrics = json.loads((folders / "report" / "metrics.json").read_text(encoding="utf-8"))
    entry = metrics["datasets"]["images"]
    assert [entry[side]["psnr"] for side in ("blurred", "restored")] == pytest.approx(expected, abs=1e-5)
    page = (folders / "report" / "report.md").read_text(encoding="utf-8")
    assert f"deblurkit score {' '.join(flags[:6])} --protocol gopro-basicsr-v1 --single --device cpu" in page
    assert not (folders / "report" / "unfinished").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--sharp", "sharp", "--protocol", "gopro"], "--protocol: no protocol is named 'gopro'"),
        (["--data", "{type: PairedImages}", "--blurred", "b", "--protocol", "reds-val300-v1"], "goes with --sharp"),
        (["--sharp", "sharp", "--protocol", "perceptual-v1", "--backbone", "alex"], "expected NET=FILE or NET=random"),
    ],
)
def test_mistakes_end_with_2(folders: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], message: str) -> None:
    monkeypatch.chdir(folders)
    done = run_here("score.py", "--restored", "restored", *flags)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folders / "report").exists()


def test_an_out_that_is_a_file_is_refused(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folders)
    Path("report").write_text("a file", encoding="utf-8")
    flags = ["--restored", "A=restored", "B=blurred", "--sharp", "sharp", "--protocol", "gopro-basicsr-v1"]
    done = run_here("score.py", *flags, "--device", "cpu")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"--out report.A: Not a directory\n", done.stderr)
