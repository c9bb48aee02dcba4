"""``deblurkit blur`` and ``benchmarks/blur_level.py`` as processes: what they write, how they end, how they go on."""

from __future__ import annotations

import contextlib
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
from in_process import run_here

from deblurkit.data.images import read_image, write_image
from deblurkit.data.paired import PairedImages
from deblurkit.data.photographs import PHOTOGRAPHS, photograph_file

ROOT = Path(__file__).resolve().parents[1]
TOOL = [sys.executable, str(ROOT / "tools" / "blur.py")]
COMMAND = [*TOOL, "frames"]
LEVEL = [sys.executable, str(ROOT / "benchmarks" / "blur_level.py")]
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
    return run(*COMMAND, *arguments, cwd=cwd)


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=120, env=ENVIRONMENT)


def hashes(folder: Path) -> dict[str, str]:
    """Every file's hash, hidden ones too."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_it_writes_pairs_and_says_what_was_averaged(footage: Path, tmp_path: Path):
    done = blur(footage / "pan", "--out", "made", "--average", "3", "5", "--response", "gamma", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    manifest = json.loads((tmp_path / "made" / "manifest.json").read_text(encoding="utf-8"))
    pairs = manifest["pairs"]
    size = sum(frame.stat().st_size for frame in (footage / "pan").iterdir())
    mean = np.mean([pair["psnr"] for pair in pairs])
    assert f"{len(pairs)} pairs, in made; blurred PSNR {mean:.2f} dB on average" in done.stdout
    assert manifest["psnr"]["mean"] == pytest.approx(mean, abs=1e-3)
    assert manifest["settings"]["average"] == [3, 5]
    assert manifest["settings"]["sequences"] == [{"name": "pan", "frames": FRAMES, "bytes": size}]
    assert list(pairs[0]) == ["key", "first", "last", "psnr"]
    assert pairs[0]["first"] == "000001"
    assert all(3 <= int(pair["last"]) - int(pair["first"]) + 1 <= 5 for pair in pairs)
    assert all(15 < pair["psnr"] < 40 for pair in pairs)
    files = PairedImages(str(tmp_path / "made" / "blurred"), str(tmp_path / "made" / "sharp"))
    files.verify()
    assert files.keys() == [pair["key"] for pair in pairs]
    assert not (files.read(0)["sharp"] != read_image(footage / f"{files.keys()[0]}.png")).any()


@pytest.mark.slow
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
    (killed / "blurred" / "video" / ".abc_1234.tmp").write_bytes(b"half an image")
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


def test_photographs_of_an_option_file_by_any_ending(footage: Path, tmp_path: Path):
    bases = [f"{ROOT}/options/{name}.yml" for name in ("quickstart", "_base_/sharp_photos")]
    train = f"{{sharp: '{footage / 'pan'}', crop: 64, limit: 2}}"
    (tmp_path / "mine.yaml").write_text(f"_base_: {bases}\ndatasets: {{train: {train}}}\n", encoding="utf-8")
    done = run(*TOOL, "photos", "mine.yaml:train", "--out", "made", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    manifest = json.loads((tmp_path / "made" / "manifest.json").read_text(encoding="utf-8"))
    assert [pair["key"] for pair in manifest["pairs"]] == ["000001", "000002"], "limit counts"
    (tmp_path / "a.yml:b").mkdir()
    write_image(tmp_path / "a.yml:b" / "1.png", read_image(footage / "pan" / "000001.png"))
    done = run(*TOOL, "photos", "a.yml:b", "--out", "folder", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, ""), "a folder's name may hold anything"


def test_the_level_of_a_folders_blur(footage: Path, tmp_path: Path):
    command = [*LEVEL, footage / "pan", "--limit", "2", "--extents", "4", "6:8", "--out", tmp_path / "new" / "level"]
    done = run(*command, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads((tmp_path / "new" / "level.json").read_text(encoding="utf-8"))["blurred_psnr_db"]
    assert [(row["extent_px"], row["images"]) for row in rows] == [([4, 4], 2), ([6, 8], 2)]
    assert read_image(tmp_path / "new" / "level.jpg").shape == (3 * 178, 2 * 160, 3)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["level.jpg", "level.json"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--draws", "0"], "--draws: came '0'"),
        (["--limit", "-1"], "--limit: came '-1'"),
        (["--extents", "12:4"], "--extents: came '12:4'"),
        (["--extents", "4:nan"], "--extents: came '4:nan'"),
        (["--extents", "wide"], "--extents: came 'wide'"),
        (["--out", "file/level"], "file: it cannot be made a folder"),
    ],
)
def test_mistakes_are_told_before_anything_is_blurred(footage: Path, tmp_path: Path, arguments: list[str], told: str):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with contextlib.chdir(tmp_path):
        done = run_here("../benchmarks/blur_level.py", footage / "pan", "--limit", "1", "--out", "level", *arguments)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
