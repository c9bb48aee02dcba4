"""The tool as users run it."""

from __future__ import annotations

import json
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from ruamel.yaml import YAML
from small_disk import SmallDisk, small_disk_at

from deblurkit.data.images import read_image, write_image
from deblurkit.data.loader import build_dataset
from deblurkit.data.packing.packed import PackedPairs
from deblurkit.data.photographs import PHOTOGRAPHS, photograph_file
from deblurkit.data.source import find_entry

ROOT = Path(__file__).resolve().parents[1]
TOOL = str(ROOT / "tools" / "prepare_data.py")
SOURCE = "{type: PairedImages, blurred: photos/blur, sharp: photos/sharp, crop: 32, augment: [hflip]}"


def start(*arguments: str) -> multiprocessing.Process:
    """Run the tool in a process of its own, forked from this one, which has torch imported already."""

    def body() -> None:
        cv2.setNumThreads(0)  # its threads do not survive a fork
        for stream, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        sys.argv = [TOOL, *arguments]
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        runpy.run_path(TOOL, run_name="__main__")

    process = multiprocessing.get_context("fork").Process(target=body)
    process.start()
    return process


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    process = start(*arguments)
    process.join(60)
    assert process.exitcode is not None
    return subprocess.CompletedProcess(
        arguments, process.exitcode, Path("stdout").read_text("utf-8"), Path("stderr").read_text("utf-8")
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six pairs of 120 x 160 pixels, the last five of them with 16 bits."""
    coffee = next(photograph for photograph in PHOTOGRAPHS if photograph.name == "coffee")
    photograph = read_image(photograph_file(coffee))
    for number in range(6):
        sharp = np.ascontiguousarray(photograph[20 * number :, 30 * number :][:120, :160])
        sharp = sharp.astype(np.uint16) * 257 if number else sharp
        for side, image in (("blur", cv2.blur(sharp, (9, 1))), ("sharp", sharp)):
            (tmp_path / "photos" / side).mkdir(parents=True, exist_ok=True)
            write_image(tmp_path / "photos" / side / f"{number}.png", image)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_pack_there_and_back(folder: Path) -> None:
    done = run("pack", "--data", SOURCE, "--out", "sets/crops", "--crop", "64", "--step", "48")
    assert (done.returncode, done.stderr) == (0, "")
    first, line = done.stdout.splitlines()
    assert first == "sets/crops: 54 pairs, 0.002 GB"
    component = YAML(typ="safe").load(line)["datasets"]["train"]
    assert component == {"type": "PackedPairs", "path": "sets/crops", "crop": 32, "augment": ["hflip"]}
    (folder / "options.yml").write_text(
        "\n".join([f"_base_: [{ROOT}/options/quickstart.yml]", "name: packed", line]), encoding="utf-8"
    )
    assert len(build_dataset(find_entry("options.yml:train"), "--data")) == 54

    done = run("lmdb", "--data", "{type: PackedPairs, path: sets/crops}", "--out", "sets/lmdb")
    assert (done.returncode, done.stderr) == (0, "")
    component = YAML(typ="safe").load(done.stdout.splitlines()[-1])["datasets"]["train"]
    assert component["blurred"] == "sets/lmdb/blurred.lmdb"
    done = run("pack", "--data", json.dumps(component), "--out", "sets/back")
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "sets/back/pixels.bin").read_bytes() == (folder / "sets/crops/pixels.bin").read_bytes()

    assert "54 pairs, all as they were packed" in run("verify", "sets/back").stdout


def test_one_of_several_training_sets(folder: Path) -> None:
    sets = f"[{SOURCE}, {SOURCE[:-1]}, limit: 2, repeat: 5}}]"
    options = f"_base_: {ROOT}/options/quickstart.yml\ndatasets: {{train: {sets}}}\n"
    (folder / "several.yml").write_text(options, encoding="utf-8")
    done = run("pack", "--data", "several.yml:train.1", "--out", "second")
    assert (done.returncode, done.stderr) == (0, "")
    first, line = done.stdout.splitlines()
    assert first == "second: 2 pairs, 0.000 GB"
    place, _, component = line.partition(": ")
    assert place == "datasets.train.1"
    kept = {"crop": 32, "augment": ["hflip"], "repeat": 5}
    assert json.loads(component) == {"type": "PackedPairs", "path": "second", **kept}


def test_limit_and_mistakes(folder: Path) -> None:
    limited = SOURCE.replace("crop: 32", "limit: 2")
    first = run("pack", "--data", limited, "--out", "two").stdout.splitlines()
    assert first[0] == "two: 2 pairs, 0.000 GB"
    again = run("pack", "--data", limited, "--out", "two").stdout.splitlines()
    assert again == ["two: already there: 2 pairs, 0.000 GB", *first[1:]]
    for arguments, problem in [
        (["--data", limited, "--out", "two", "--crop", "64"], "holds another set: crop was none, now 64"),
        (["--data", "{type: PairedImage}", "--out", "x"], "did you mean 'PairedImages'"),
        (["--data", SOURCE, "--out", "photos/blur/0.png/x"], "0.png: File exists"),
    ]:
        done = run("pack", *arguments)
        assert done.returncode == 2
        assert problem in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["pack", "lmdb"])
def test_crops_of_resized_images_are_refused(folder: Path, command: str) -> None:
    resized = SOURCE.replace("crop: 32", "resize: [36, 72]")
    done = run(command, "--data", resized, "--out", "crops", "--crop", "64")
    expected = "--crop: the source is resized before it is cropped; pack whole images, without --crop\n"
    assert (done.returncode, done.stderr) == (2, expected)
    assert not (folder / "crops").exists()
    done = run(command, "--data", resized, "--out", "whole")
    assert YAML(typ="safe").load(done.stdout.splitlines()[-1])["datasets"]["train"]["resize"] == [36, 72]


def test_help_needs_no_torch(tmp_path: Path) -> None:
    code = f"import sys, runpy; sys.argv = ['x', '--help']\ntry:\n    runpy.run_path({TOOL!r}, run_name='__main__')\n"
    code += "except SystemExit:\n    sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_killed_and_started_again(folder: Path) -> None:
    arguments = ["pack", "--data", SOURCE, "--crop", "32", "--step", "4", "--out"]
    assert run(*arguments, "whole").returncode == 0
    process = start(*arguments, "out")
    pixels = folder / "out.partial" / "pixels.bin"
    while process.is_alive() and not (pixels.exists() and pixels.stat().st_size):
        time.sleep(0.001)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not (folder / "out").exists()
    assert run(*arguments, "out").returncode == 0
    for name in ("index.json", "pixels.bin"):
        assert (folder / "out" / name).read_bytes() == (folder / "whole" / name).read_bytes()


@pytest.fixture
def disk(folder: Path) -> Iterator[SmallDisk]:
    """A file system of 1100 KiB, where one can be mounted."""
    with small_disk_at(folder / "disk", 1100) as disk:
        yield disk


def test_a_full_disk(folder: Path, disk: SmallDisk) -> None:
    # The first pair has 8 bits, and what is needed is estimated from it: the disk fills up on the way.
    done = run("pack", "--data", SOURCE, "--out", "disk/set")
    assert done.returncode == 2
    assert "disk/set.partial: cannot be written: No space left on device; " in done.stderr
    assert "the same command goes on from there" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (disk.path / "set").exists()
    disk.resize(4096)
    assert run("pack", "--data", SOURCE, "--out", "disk/set").returncode == 0
    assert run("verify", "disk/set").returncode == 0
    assert len(PackedPairs(str(disk.path / "set"))) == 6
