from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deblurkit.data.blur.pair_folder import Manifest, PairFolder, keep_apart
from deblurkit.data.blur.photos import blur_photos
from deblurkit.data.blur.synthesized import SynthesizedBlur
from deblurkit.data.images import read_image, to_uint8, write_image
from deblurkit.errors import UserError
from deblurkit.metrics.psnr import psnr

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
KILLED = """
import os, signal, sys
from pathlib import Path
from deblurkit.data.blur.pair_folder import PairFolder
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
PairFolder(Path(sys.argv[1]), {"made_by": "test"})
"""


def make(
    sharp: str, out: Path, count: int = 1, seed: int = 0, progress: Any = lambda *_: None, **settings: Any
) -> Manifest:
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
    made = make(str(sharp), out, progress=lambda *done: shown.append(done), **SETTINGS)
    manifest = made.as_json()
    assert shown[-1] == ("photographs", 6, 6)
    assert manifest == json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert [pair["key"] for pair in manifest["pairs"]] == ["a_0", "a_1", "b_0", "b_1", "sub/a_0", "sub/a_1"]
    assert manifest["settings"]["noise"] == {"full_well": 10_000, "read_noise": 3}
    for pair in manifest["pairs"]:
        blurred, truth = (read_image(out / side / f"{pair['key']}.png") for side in ("blurred", "sharp"))
        assert list(pair) == ["key", "photograph", "blur", "parameters", "psnr"]
        assert blurred.shape == truth.shape == photograph.shape
        assert pair["psnr"] == pytest.approx(psnr(blurred, truth), abs=1e-4)
        assert 1 <= pair["parameters"]["gain"] <= 1.5
        assert 70 <= pair["parameters"]["quality"] <= 95
        assert pair["parameters"]["homographies"]["shape"][1:] == [3, 3]
    assert manifest["psnr"]["mean"] == pytest.approx(np.mean([pair["psnr"] for pair in manifest["pairs"]]), abs=1e-4)
    assert len({pair["psnr"] for pair in manifest["pairs"]}) == 6
    assert "6 pairs, in here; blurred PSNR" in made.in_words(Path("here"))
    again = make(str(sharp), tmp_path / "again", **SETTINGS)
    assert again == made
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
    (out / "sharp" / ".x1y2_abc.tmp").write_bytes(b"half")  # as a run leaves it that is killed while it writes
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
        with pytest.raises(UserError, match="it lies among the images of"):
            make(pattern, sharp / "out", blur=["Shake"])
    manifest = make(f"{sharp}/*.png", sharp / "out", blur=["Shake"])
    assert len(manifest.pairs) == 2


def test_mistakes_and_no_blur(sharp: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="photos: SynthesizedBlur: gain: got"):
        make(str(sharp), tmp_path / "out", blur=["Shake"], gain=[2, 1])
    with pytest.raises(UserError, match="count and seed"):
        make(str(sharp), tmp_path / "out", blur=["Shake"], count=0)
    assert not (tmp_path / "out").exists()
    (tmp_path / "point.txt").write_text("1")
    still = make(str(sharp), tmp_path / "out", blur=[{"type": "Kernels", "kernels": f"{tmp_path}/point.txt"}])
    assert still.as_json()["psnr"] == {"mean": None, "least": None, "greatest": None}
    assert still.pairs[0].made_of["parameters"] == {"kernel": [[1.0]], "gain": 1.0}
    assert "no blur in any of them" in still.in_words(Path("here"))


def test_a_setting_that_is_left_out_counts(sharp: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    noise = {"full_well": 50, "read_noise": 3}
    make(str(sharp), out, blur=["Shake"], noise=noise, jpeg=[5, 5])
    with pytest.raises(UserError) as raised:
        make(str(sharp), out, blur=["Shake"])
    told = "it holds pairs of other settings"
    assert raised.value.problems == (
        f"--out {out}: {told}: jpeg is [5, 5] there, None now; give a new folder",
        f"--out {out}: {told}: noise is {noise} there, None now; give a new folder",
    )
    PairFolder(tmp_path / "new", {"made_by": "test", "extra": 1})
    with pytest.raises(UserError, match="extra is 1 there, None now"):
        PairFolder(tmp_path / "new", {"made_by": "test"})


def test_a_default_may_be_written_or_left_out(sharp: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(str(sharp), out, blur=["Shake"])
    before = _hashes(out)
    written = {"type": "Shake", "share": 1.0, "exposure": 1.0}
    make(str(sharp), out, blur=[written], response="srgb", gain=None, crop=64, augment=["hflip"], where="worker")
    assert _hashes(out) == before


def test_files_that_decide_the_pixels_are_known_by_what_they_hold(sharp: Path, tmp_path: Path) -> None:
    curve, kernel, out = tmp_path / "curve.txt", tmp_path / "kernel.npy", tmp_path / "out"
    settings = {"blur": [{"type": "Kernels", "kernels": str(kernel)}], "response": str(curve)}
    np.savetxt(curve, np.linspace(0, 1, 256) ** 2.2)
    np.save(kernel, np.ones((9, 9)))
    make(str(sharp), out, **settings)
    before = _hashes(out)
    make(str(sharp), out, **settings)
    np.savetxt(curve, np.linspace(0, 1, 256))
    with pytest.raises(UserError, match=r"response is 'sha256:.*' there, 'sha256:.*' now"):
        make(str(sharp), out, **settings)
    np.savetxt(curve, np.linspace(0, 1, 256) ** 2.2)
    np.save(kernel, np.ones((3, 3)))
    with pytest.raises(UserError, match="other settings: blur_files is"):
        make(str(sharp), out, **settings)
    assert _hashes(out) == before


def test_masks_are_known_by_their_files(sharp: Path, tmp_path: Path, photograph: np.ndarray) -> None:
    (tmp_path / "masks").mkdir()
    write_image(tmp_path / "masks" / "one.png", photograph)
    settings = {"blur": [{"type": "ObjectMotion", "masks": str(tmp_path / "masks")}]}
    make(str(sharp), tmp_path / "out", **settings)
    write_image(tmp_path / "masks" / "two.png", photograph)
    with pytest.raises(UserError, match="other settings: blur_files is"):
        make(str(sharp), tmp_path / "out", **settings)


def test_what_is_written_is_what_training_makes(sharp: Path, tmp_path: Path) -> None:
    settings = {"blur": [{"type": "Shake", "extent": [12, 12]}], "resize": [60, 80], "jpeg": [70, 95]}
    manifest = make(str(sharp), tmp_path / "out", seed=4, **settings)
    assert manifest.settings["resize"] == [60, 80]
    training = SynthesizedBlur(str(sharp), **settings)
    for index, key in enumerate(training.keys()):
        sample = training.sample(index, np.random.default_rng([4, index, 0]))
        for side in ("blurred", "sharp"):
            written = read_image(tmp_path / "out" / side / f"{key}.png")
            assert written.shape == (60, 80, 3)
            np.testing.assert_array_equal(written, to_uint8(sample[side]))


def test_the_first_photographs_alone(sharp: Path, tmp_path: Path) -> None:
    component = {"type": "SynthesizedBlur", "sharp": str(sharp), "blur": ["Shake"]}
    manifest = blur_photos(component, tmp_path / "out", limit=2)
    assert [pair.key for pair in manifest.pairs] == ["a", "b"]
    with pytest.raises(UserError, match=r"photographs is '2 files.*' there, '3 files"):
        blur_photos(component, tmp_path / "out")


def test_hidden_files_of_others_are_kept(tmp_path: Path) -> None:
    settings = {"made_by": "test"}
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / ".notes.tmp").write_text("mine")
    with pytest.raises(UserError, match=r"it holds something else \(\.notes\.tmp\)"):
        PairFolder(theirs, settings)
    assert _hashes(theirs).keys() == {".notes.tmp"}
    (theirs / "settings.json").write_text("{}")
    (theirs / ".abcdefgh.tmp").write_text("mine")
    with pytest.raises(UserError, match="something else"):
        PairFolder(theirs, settings)
    assert _hashes(theirs).keys() == {".notes.tmp", ".abcdefgh.tmp", "settings.json"}

    ours = tmp_path / "ours"
    image = np.zeros((4, 4, 3), np.uint8)
    PairFolder(ours, settings).pair("s/k", lambda: (image, image))
    (ours / "other").mkdir()
    kept, removed = [".notes.tmp", "other/.abcdefgh.tmp"], [".abcdefgh.tmp", "blurred/s/.abcdefgh.tmp"]
    for name in (*kept, *removed):
        (ours / name).write_text("")
    PairFolder(ours, settings)
    assert _hashes(ours).keys() == {"settings.json", "blurred/s/k.png", "sharp/s/k.png", *kept}


def test_killed_while_it_writes_its_settings(tmp_path: Path) -> None:
    out = tmp_path / "out"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", KILLED, str(out)], env=environment)
    assert done.returncode == -signal.SIGKILL
    (left,) = _hashes(out)
    assert left.endswith(".tmp"), "it did not come as far as a temporary file"
    PairFolder(out, {"made_by": "test"})
    assert _hashes(out).keys() == {"settings.json"}


@pytest.mark.parametrize(
    ("source", "out", "apart"),
    [
        (".", "../z", True),
        (".", "z", False),
        (".", ".", False),
        (".", "..", False),
        ("*.png", "z", True),
        ("GOPR*", "made", True),
        ("GOPR*", "GOPR7", False),
        ("*/*.png", "z", False),
        ("*/*.png", "y/z", True),
        ("**", "z", False),
        ("clip.avi", "made", True),
        ("a[1]", "a[1]/z", False),
        ("a", "ab", True),
        ("../link", "z", False),
    ],
)
def test_which_results_a_second_run_would_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, out: str, apart: bool
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to("here")
    monkeypatch.chdir(tmp_path / "here")
    if apart:
        keep_apart(source, Path(out))
    else:
        with pytest.raises(UserError, match=re.escape(f"--out {out}: it lies among the images of {source} or")):
            keep_apart(source, Path(out))


def test_the_photographs_of_the_current_folder(sharp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sharp / "sub")
    assert [pair.key for pair in make(".", Path("../../out"), blur=["Shake"]).pairs] == ["a"]
