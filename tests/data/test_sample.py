from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from deblurkit.data.images import read_image
from deblurkit.data.photographs import PHOTOGRAPHS, photograph_file
from deblurkit.data.sample import SAMPLE_VERSION, SamplePairs, default_root, ensure_sample_set


def _psnr(pair: dict) -> float:
    return 10 * np.log10(255**2 / np.mean((pair["blurred"].astype(float) - pair["sharp"]) ** 2))


def test_the_frozen_set(sample_root: Path) -> None:
    """Pins version 1: a change of these numbers needs a new SAMPLE_VERSION."""
    assert SAMPLE_VERSION == 1
    train, test = (SamplePairs(split, root=str(sample_root)) for split in ("train", "test"))
    assert (len(train), len(test)) == (128, 18)
    test_psnr = [_psnr(test.read(index)) for index in range(len(test))]
    train_psnr = [_psnr(train.read(index)) for index in range(len(train))]
    assert np.mean(test_psnr) == pytest.approx(26.645, abs=0.02)
    assert np.mean(train_psnr) == pytest.approx(23.332, abs=0.02)
    assert sum(file.stat().st_size for file in sample_root.rglob("*.png")) < 60e6
    test.verify()
    sample = test.sample(0, np.random.default_rng(0))
    assert sample["blurred"].shape == sample["sharp"].shape == (3, 256, 256)
    assert sample["key"] == "chelsea_00"


def test_photographs_are_in_one_split(sample_root: Path) -> None:
    manifest = json.loads((sample_root / "manifest.json").read_text(encoding="utf-8"))
    photographs = {
        split: {image["photograph"] for image in manifest["images"] if image["split"] == split}
        for split in ("train", "test")
    }
    assert not photographs["train"] & photographs["test"]
    assert len(photographs["test"]) == 3
    assert all("CC0" in p.licence or "public domain" in p.licence or "no known" in p.licence for p in PHOTOGRAPHS)
    assert all(5 <= image["extent"] <= 13 for image in manifest["images"])


def test_sharp_images_are_regions_of_the_photographs(sample_root: Path) -> None:
    manifest = json.loads((sample_root / "manifest.json").read_text(encoding="utf-8"))
    for image in manifest["images"]:
        if image["scale"] == 1 and image["key"].endswith("_02"):
            photograph = next(p for p in PHOTOGRAPHS if p.file == image["photograph"])
            original = read_image(photograph_file(photograph))
            region = original[image["top"] : image["top"] + 256, image["left"] : image["left"] + 256]
            sharp = read_image(sample_root / image["split"] / "sharp" / f"{image['key']}.png")
            np.testing.assert_array_equal(sharp, region)


def test_a_whole_set_is_left_alone_and_a_damaged_one_is_made_again(sample_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "mit Leerzeichen und Ä" / "sample"
    shutil.copytree(sample_root, root)
    damaged, other = root / "test" / "blurred" / "coffee_00.png", root / "test" / "sharp" / "coffee_01.png"
    whole, stamp = damaged.read_bytes(), other.stat().st_mtime_ns
    ensure_sample_set(root)
    assert other.stat().st_mtime_ns == stamp
    damaged.write_bytes(whole[:100])
    ensure_sample_set(root)
    assert damaged.read_bytes() == whole
    assert sorted(entry.name for entry in root.parent.iterdir()) == [".sample.lock", "sample"]


def test_made_again_it_is_the_same_and_a_users_files_are_put_aside(sample_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "sample"
    root.mkdir()
    (root / "mine.txt").write_text("keep")
    with pytest.warns(UserWarning, match=r"sample\.old1"):
        manifest = ensure_sample_set(root)
    assert (tmp_path / "sample.old1" / "mine.txt").read_text() == "keep"
    first = json.loads((sample_root / "manifest.json").read_text(encoding="utf-8"))
    for again, image in zip(manifest["images"], first["images"], strict=True):
        assert again["blurred"]["sha256"] == image["blurred"]["sha256"]
        assert again["sharp"]["sha256"] == image["sharp"]["sha256"]


def test_where_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBLURKIT_DATA", str(tmp_path))
    assert default_root() == tmp_path / "sample"
    with pytest.raises(ValueError, match="split: got 'val'"):
        SamplePairs("val")  # type: ignore[arg-type]


_MAKE = "import sys, pathlib; from deblurkit.data.sample import ensure_sample_set as e; e(pathlib.Path(sys.argv[1]))"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_killed_in_the_middle_it_leaves_nothing_under_the_name(tmp_path: Path) -> None:
    root = tmp_path / "sample"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    first = subprocess.Popen([sys.executable, "-c", _MAKE, str(root)], env=environment)
    limit = time.monotonic() + 60
    while len(list(tmp_path.glob(".sample.*.making/*/*/*.png"))) < 20 and time.monotonic() < limit:
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert not root.exists()
    assert len(list(tmp_path.glob(".sample.*.making"))) == 1
    second = subprocess.Popen([sys.executable, "-c", _MAKE, str(root)], env=environment)
    while not list(tmp_path.glob(".sample.*.making/*/*/*.png")) and second.poll() is None:
        time.sleep(0.02)
    ensure_sample_set(root)  # at the same time: waits for the other's
    assert second.wait(timeout=60) == 0
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".sample.lock", "sample"]
    assert len(SamplePairs("test", root=str(root))) == 18
