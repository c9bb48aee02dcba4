from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deblurkit.data.blur.pair_folder import in_words
from deblurkit.data.blur.photos import blur_photos
from deblurkit.data.images import read_image, write_image
from deblurkit.errors import UserError
from deblurkit.metrics.functional import psnr

SETTINGS: dict[str, Any] = {
    "blur": [{"type": "Shake", "margin": 40, "share": 2}, "ObjectMotion"],
    "noise": {"full_well": 10_000, "read_noise": 3},
    "gain": [1, 1.5],
    "jpeg": [70, 95],
    "count": 2,
    "seed": 4,
}
SCRIPT = """
import json, sys
from pathlib import Path
from deblurkit import cli
from deblurkit.data.blur.photos import blur_photos

def main():
    if sys.argv[4]:
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]),) * 2)
    settings = json.loads(sys.argv[3])
    count, seed = settings.pop("count"), settings.pop("seed")
    component = {"type": "SynthesizedBlur", "sharp": sys.argv[1], **settings}
    blur_photos(component, Path(sys.argv[2]), count, seed, lambda *done: print(*done, flush=True))

cli.run(main)
"""


def make(sharp: str, out: Path, count: int = 1, seed: int = 0, progress: Any = lambda *_: None, **settings: Any) -> Any:
    return blur_photos({"type": "SynthesizedBlur", "sharp": sharp, **settings}, out, count, seed, progress)


@pytest.fixture
def sharp(tmp_path: Path, photograph: np.ndarray) -> Path:
    for number, name in enumerate(("a", "b", "sub/a")):
        path = tmp_path / "sharp" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, np.roll(photograph, 9 * number, axis=0))
    return tmp_path / "sharp"


def _hashes(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _start(sharp: Path, out: Path, limit: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(sharp), str(out), json.dumps(SETTINGS), limit]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_what_is_written(sharp: Path, tmp_path: Path, photograph: np.ndarray) -> None:
    shown: list[tuple[str, int, int]] = []
    out = tmp_path / "out"
    manifest = make(str(sharp), out, progress=lambda *done: shown.append(done), **SETTINGS)
    assert shown[-1] == ("photographs", 6, 6)
    assert manifest == json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert [pair["key"] for pair in manifest["pairs"]] == ["a_0", "a_1", "b_0", "b_1", "sub/a_0", "sub/a_1"]
    assert manifest["settings"]["noise"] == {"full_well": 10_000, "read_noise": 3}
    for pair in manifest["pairs"]:
        blurred, truth = (read_image(out / side / f"{pair['key']}.png") for side in ("blurred", "sharp"))
        assert blurred.shape == truth.shape == photograph.shape
        assert pair["psnr"] == pytest.approx(psnr(blurred, truth), abs=1e-4)
        assert 1 <= pair["parameters"]["gain"] <= 1.5
        assert 70 <= pair["parameters"]["quality"] <= 95
        assert pair["parameters"]["homographies"]["shape"][1:] == [3, 3]
    assert manifest["psnr"]["mean"] == pytest.approx(np.mean([pair["psnr"] for pair in manifest["pairs"]]), abs=1e-4)
    assert len({pair["psnr"] for pair in manifest["pairs"]}) == 6
    assert "6 pairs, in here; blurred PSNR" in in_words(manifest, "here")
    again = make(str(sharp), tmp_path / "again", **SETTINGS)
    assert again == manifest
    assert _hashes(tmp_path / "again") == _hashes(out)


@pytest.mark.parametrize("done", [0, 2])
def test_killed_and_started_again(sharp: Path, tmp_path: Path, done: int) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    make(str(sharp), whole, **SETTINGS)
    process = _start(sharp, out)
    assert process.stdout is not None
    if done:
        for _ in range(done):
            process.stdout.readline()
    else:
        while not (out / "settings.json").exists():
            time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (out / "manifest.json").exists()
    (out / "sharp").mkdir(exist_ok=True)
    (out / "sharp" / ".b_0.png.x1y2.tmp").write_bytes(b"half")  # as a run leaves it that is killed while it writes
    (out / "blurred").mkdir(exist_ok=True)
    (out / "blurred" / "sub").mkdir(exist_ok=True)
    (out / "blurred" / "sub" / "a_1.png").write_bytes(b"damaged since")
    make(str(sharp), out, **SETTINGS)
    assert _hashes(out) == _hashes(whole)


def test_a_full_disk(sharp: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = _start(sharp, out, limit="20000")  # bytes a file: as far as a write is concerned, the disk is full there
    _, errors = process.communicate()
    assert process.returncode == 2, errors
    assert "it cannot be written" in errors
    assert "Traceback" not in errors
    left = [path.name for path in out.rglob("*") if path.is_file()]
    assert left == ["settings.json"]
    make(str(sharp), out, **SETTINGS)
    assert len(_hashes(out)) == 2 + 2 * 6


def test_folders_that_are_not_ours(sharp: Path, tmp_path: Path, photograph: np.ndarray) -> None:
    out = tmp_path / "out"
    make(str(sharp), out, blur=["Shake"])
    before = _hashes(out)
    with pytest.raises(UserError, match="other settings: seed is 0 there, 1 now"):
        make(str(sharp), out, blur=["Shake"], seed=1)
    with pytest.raises(UserError, match="other settings: blur is"):
        make(str(sharp), out, blur=["ObjectMotion"])
    write_image(sharp / "new.png", photograph)
    with pytest.raises(UserError, match="other settings: photographs is"):
        make(str(sharp), out, blur=["Shake"])
    assert _hashes(out) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match=r"it holds something else \(thesis.txt\)"):
        make(str(sharp), tmp_path / "mine", blur=["Shake"])
    with pytest.raises(UserError, match="cannot be made a folder"):
        make(str(sharp), tmp_path / "mine" / "thesis.txt" / "out", blur=["Shake"])
    assert _hashes(tmp_path / "mine").keys() == {"thesis.txt"}


def test_results_among_the_photographs(sharp: Path) -> None:
    for pattern in (str(sharp), f"{sharp}/**/*.png", f"{sharp}/*"):
        with pytest.raises(UserError, match="it lies among the photographs"):
            make(pattern, sharp / "out", blur=["Shake"])
    manifest = make(f"{sharp}/*.png", sharp / "out", blur=["Shake"])
    assert len(manifest["pairs"]) == 2


def test_mistakes_and_no_blur(sharp: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="photos: SynthesizedBlur: gain: came"):
        make(str(sharp), tmp_path / "out", blur=["Shake"], gain=[2, 1])
    with pytest.raises(UserError, match="count and seed"):
        make(str(sharp), tmp_path / "out", blur=["Shake"], count=0)
    assert not (tmp_path / "out").exists()
    (tmp_path / "point.txt").write_text("1")
    still = make(str(sharp), tmp_path / "out", blur=[{"type": "Kernels", "kernels": f"{tmp_path}/point.txt"}])
    assert still["psnr"] == {"mean": None, "least": None, "greatest": None}
    assert still["pairs"][0]["parameters"] == {"kernel": [[1.0]], "gain": 1.0}
    assert "no blur in any of them" in in_words(still, "here")
