"""``tools/blur.py`` as a process: what it writes, how it ends, and that a killed run can be taken up again."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from deblurkit.data.images import read_image, write_image
from deblurkit.data.paired import PairedImages
from deblurkit.data.photographs import PHOTOGRAPHS, photograph_file

ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, str(ROOT / "tools" / "blur.py"), "frames"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
FRAMES = 20


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photograph panned over 20 frames: as a folder and as a video."""
    coffee = next(photo for photo in PHOTOGRAPHS if photo.name == "coffee")
    photograph = read_image(photograph_file(coffee))
    folder = tmp_path_factory.mktemp("footage")
    (folder / "pan").mkdir()
    video = cv2.VideoWriter(str(folder / "video.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 240, (240, 160))
    for number in range(FRAMES):
        frame = np.ascontiguousarray(photograph[40:200, 4 * number : 4 * number + 240])
        write_image(folder / "pan" / f"{number + 1:06d}.png", frame)
        video.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    video.release()
    return folder


def blur(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, env=ENVIRONMENT)


def hashes(folder: Path) -> dict[str, str]:
    """Every file's hash, hidden ones too."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_it_writes_pairs_and_says_what_was_averaged(footage: Path, tmp_path: Path):
    done = blur(footage / "pan", "--out", "made", "--average", "3", "5", "--response", "gamma", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    manifest = json.loads((tmp_path / "made" / "manifest.json").read_text(encoding="utf-8"))
    pairs = manifest["pairs"]
    mean = np.mean([pair["psnr"] for pair in pairs])
    assert f"{len(pairs)} pairs, in made; blurred PSNR {mean:.2f} dB on average" in done.stdout
    assert manifest["psnr"]["mean"] == pytest.approx(mean, abs=1e-3)
    assert manifest["settings"]["average"] == [3, 5]
    assert manifest["settings"]["sequences"] == [{"name": "pan", "frames": FRAMES}]
    assert pairs[0]["first"] == "000001"
    assert all(3 <= int(pair["last"]) - int(pair["first"]) + 1 <= 5 for pair in pairs)
    assert all(15 < pair["psnr"] < 40 for pair in pairs)
    files = PairedImages(str(tmp_path / "made" / "blurred"), str(tmp_path / "made" / "sharp"))
    files.verify()
    assert files.keys() == [pair["key"] for pair in pairs]
    assert not (files.read(0)["sharp"] != read_image(footage / f"{files.keys()[0]}.png")).any()


def test_a_killed_run_goes_on_to_the_same_files(footage: Path, tmp_path: Path):
    arguments = [footage / "video.avi", footage / "pan", "--average", "4", "6", "--stride", "2", "--response", "srgb"]
    arguments += ["--noise", "--interpolate", "2", "--seed", "7"]
    whole = blur(*arguments, "--out", "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    expected = hashes(tmp_path / "whole")

    process = subprocess.Popen([*COMMAND, *map(str, arguments), "--out", "killed"], cwd=tmp_path, env=ENVIRONMENT)
    killed = tmp_path / "killed"
    deadline = time.monotonic() + 100
    while len(list((killed / "sharp" / "video").glob("*.png"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    left = hashes(killed)
    assert "manifest.json" not in left
    assert 5 < len(left) < len(expected)
    final = {name: digest for name, digest in left.items() if not name.endswith(".tmp")}
    assert final.items() <= expected.items(), "something half-written bears a final name"
    (killed / "blurred" / "video" / ".000009.png.abc.tmp").write_bytes(b"half an image")
    kept = next((killed / "blurred" / "video").glob("0*.png"))
    written = kept.stat().st_mtime_ns

    again = blur(*arguments, "--out", "killed", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert hashes(killed) == expected
    assert kept.stat().st_mtime_ns == written, "what was there is kept"
    assert again.stdout.replace("killed", "whole") == whole.stdout


def test_mistakes_end_with_exit_code_2_and_write_nothing(tmp_path: Path):
    (tmp_path / "text.mp4").write_text("not a video", encoding="utf-8")
    done = blur("text.mp4", "nowhere", "--out", "new", "--response", "gamma", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "text.mp4: it cannot be decoded" in done.stderr
    assert "nowhere: no frames found" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["text.mp4"]
