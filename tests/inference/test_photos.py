"""Restoring files and folders: planning, and ``deblurkit deblur`` as a real process."""

from __future__ import annotations

import gc
import hashlib
import os
import subprocess
import sys
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from torch import Tensor, nn

from deblurkit import Deblurrer
from deblurkit.data.images import read_image, write_image
from deblurkit.errors import UserError
from deblurkit.images import reading
from deblurkit.images.image import Image
from deblurkit.inference.photos import deblur_photos, plan

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "deblur.py"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of photographs of several kinds, with names that need Unicode."""
    folder = tmp_path / "Föhn und Süden"
    (folder / "été 夏").mkdir(parents=True)
    write_image(folder / "astronaut.png", skimage.data.astronaut()[:50, :61])
    write_image(folder / "astronaut.jpg", skimage.data.astronaut()[:50, :61])
    write_image(folder / "été 夏" / "猫 (1).png", skimage.data.chelsea()[:40, :44].astype(np.uint16) * 257)
    (folder / "notes.txt").write_text("no image", encoding="utf-8")
    return folder


def deblur(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(TOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", cwd=cwd, env=environment)


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_folder_as_a_process(photos: Path, weights: Path, plugin: str, tmp_path: Path) -> None:
    before = contents(photos)
    arguments = (photos, "--weights", weights, "--plugin", plugin, "--out", "Ergebnis ü", "--compare")
    done = deblur(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "inference whole: 3 photographs\n" in done.stdout
    assert done.stdout.endswith("3 of 3 photographs restored, in Ergebnis ü\n")
    out = tmp_path / "Ergebnis ü"
    names = {"astronaut.png", "astronaut.jpg", "été 夏/猫 (1).png"}
    assert set(contents(out)) == {str(Path(name)) for name in names | {f"compare/{name}" for name in names}}
    assert contents(photos) == before

    deblurrer = Deblurrer(weights, [plugin], "cpu")
    for name in ("astronaut.png", "été 夏/猫 (1).png"):
        blurred, restored = read_image(photos / name), read_image(out / name)
        assert np.array_equal(restored, deblurrer(blurred))
        compared = read_image(out / "compare" / name)
        assert np.array_equal(compared[:, : blurred.shape[1]], blurred)
        assert np.array_equal(compared[:, -blurred.shape[1] :], restored)
    assert read_image(out / "été 夏/猫 (1).png").dtype == np.uint16

    again = deblur(*arguments, cwd=tmp_path)
    assert again.returncode == 2
    assert again.stderr.splitlines()[0].endswith("exists already; choose another --out or say --overwrite")


def test_the_way_that_was_taken_is_told(photos: Path, weights: Path, plugin: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "astronaut.png").write_bytes(b"of an earlier run")
    arguments = (photos, "--weights", weights, "--plugin", plugin, "--out", "out", "--overwrite")
    done = deblur(*arguments, "--inference", "x8+tile:30,14", "--memory", "0.5", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-4:] == [
        "inference tile:32,16+x8: 3 photographs",
        "tile:30,14+x8 was done as tile:32,16+x8: inputs of InferenceSharpener have sides that divide by 4",
        "not read: 1 file: .txt, no known kind of image",
        "3 of 3 photographs restored, in out",
    ]
    assert read_image(tmp_path / "out" / "astronaut.png").shape == (50, 61, 3)


def test_unreadable_files_do_not_stop_the_others(photos: Path, weights: Path, plugin: str, tmp_path: Path) -> None:
    (photos / "aaa.png").write_bytes(b"no image at all")
    whole = (photos / "astronaut.png").read_bytes()
    (photos / "cut.png").write_bytes(whole[: len(whole) // 2])
    done = deblur(photos, "--weights", weights, "--plugin", plugin, "--out", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert [Path(line.split(": ")[0]).name for line in done.stderr.splitlines()] == ["aaa.png", "cut.png"]
    assert "3 of 5 photographs restored" in done.stdout
    assert (tmp_path / "out" / "astronaut.png").is_file()


def test_all_is_told_in_the_order_of_the_photographs(weights: Path, plugin: str, tmp_path: Path) -> None:
    """One fails at reading, one at writing, one in the network, while others are read and written beside it."""
    folder, out = tmp_path / "in", tmp_path / "out"
    for name in "abcdef":
        (folder / name).mkdir(parents=True)
        write_image(folder / name / "photo.png", skimage.data.astronaut()[:40, :40])
    (folder / "a" / "photo.png").write_bytes(b"no image")
    (out / "b" / "photo.png").mkdir(parents=True)  # a folder where the file is to be
    write_image(folder / "d" / "photo.png", skimage.data.astronaut()[:41, :41])
    (folder / "f" / "photo.png").write_bytes(b"no image")
    deblurrer = Deblurrer(weights, [plugin], "cpu")
    deblurrer.generator.register_forward_pre_hook(_refuses_44)
    told: list[tuple[int, int]] = []
    done = deblur_photos(
        deblurrer, plan([folder], out, overwrite=True).jobs, lambda done, total: told.append((done, total))
    )
    assert told == [(count, 6) for count in range(1, 7)]
    assert [line.split(": ")[0] for line in done.failures] == [
        str(folder / "a" / "photo.png"),
        str(out / "b" / "photo.png"),
        str(folder / "d" / "photo.png"),
        str(folder / "f" / "photo.png"),
    ]
    assert "refused" in done.failures[2]
    assert sorted(contents(out)) == [str(Path(name, "photo.png")) for name in "ce"]


def _refuses_44(network: nn.Module, arguments: tuple[Tensor]) -> None:
    if arguments[0].shape[-1] == 44:  # 41, padded
        raise ValueError("refused")


def test_no_more_photographs_are_held_than_one_that_is_restored_and_its_neighbours(
    weights: Path, plugin: str, tmp_path: Path
) -> None:
    for index in range(8):
        (tmp_path / "in").mkdir(exist_ok=True)
        write_image(tmp_path / "in" / f"{index}.png", skimage.data.astronaut()[:40, :40])
    held: weakref.WeakSet[Image] = weakref.WeakSet()
    most = 0
    read = reading.read

    def counted(*arguments: Any) -> Image:
        nonlocal most
        image = read(*arguments)
        held.add(image)
        gc.collect()
        most = max(most, len(held))
        return image

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "read", counted)
        done = deblur_photos(Deblurrer(weights, [plugin], "cpu"), plan([tmp_path / "in"], tmp_path / "out").jobs)
    assert not done.failures
    assert 2 <= most <= 3


def test_a_plugin_in_the_checkpoint_is_not_imported(photos: Path, weights: Path, tmp_path: Path) -> None:
    done = deblur(photos, "--weights", weights, "--out", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "sharpener.py: name them with --plugin" in done.stderr
    assert not (tmp_path / "out").exists()


def test_help_is_fast(tmp_path: Path) -> None:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        assert deblur("--help", cwd=tmp_path).returncode == 0
        times.append(time.perf_counter() - start)
    assert min(times) < 0.5


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [("--quality", "101", "a number from 1 to 100"), ("--max-megapixels", "nan", "a number above 0")],
)
def test_numbers_out_of_range_are_named(photos: Path, tmp_path: Path, option: str, value: str, expected: str) -> None:
    done = deblur(photos, "--out", "out", option, value, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{option}: got {value}, expected {expected}\n"


def test_inputs_are_never_replaced(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="would replace an input"):
        plan([photos], photos, overwrite=True)
    with pytest.raises(UserError, match="would replace an input"):
        plan([photos / "astronaut.png"], photos, overwrite=True)
    out = tmp_path / "out"
    out.mkdir()
    os.symlink(photos / "astronaut.png", out / "astronaut.png")
    with pytest.raises(UserError, match="would replace an input"):
        plan([photos], out, overwrite=True)
    os.unlink(out / "astronaut.png")
    os.link(photos / "astronaut.png", out / "astronaut.png")
    with pytest.raises(UserError, match="would replace an input"):
        plan([photos], out, overwrite=True)


def test_two_results_of_one_name(photos: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_image(other / "astronaut.png", skimage.data.coffee()[:20, :20])
    with pytest.raises(UserError, match=r"would hold the results of both .*Föhn.* and .*other"):
        plan([photos, other], tmp_path / "out")


def test_results_inside_the_input_folder_are_no_inputs(photos: Path) -> None:
    out = photos / "restored"
    first = plan([photos], out)
    for job in first.jobs:
        job.target.parent.mkdir(parents=True, exist_ok=True)
        write_image(job.target, read_image(job.source))
    assert plan([photos], out, overwrite=True) == first
    assert first.passed_over == {".txt, no known kind of image": 1}


def test_every_wrong_input_is_named(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "clip.mp4").write_bytes(b"")
    wrong = [tmp_path / "clip.mp4", tmp_path / "none.png", tmp_path / "empty", photos / "notes.txt"]
    with pytest.raises(UserError) as caught:
        plan([photos, *wrong], tmp_path / "out")
    expected = ["videos are not supported yet", "there is no such file", "no images in this folder", "no image by its"]
    assert len(caught.value.problems) == len(expected)
    assert all(text in problem for text, problem in zip(expected, caught.value.problems, strict=True))
