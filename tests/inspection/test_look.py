"""``deblurkit look``: pictures and a page of one photograph, for every generator; and what is refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from shrunk import SHRUNK

from deblurkit import Deblurrer, checkpoint
from deblurkit.data.images import read_image, write_image
from deblurkit.errors import UserError
from deblurkit.inference.restore import restore
from deblurkit.inner_outputs import InnerOutput
from deblurkit.inspection.drawing import Frame, draw_output
from deblurkit.inspection.photo import PAGE, Settings, listing, look
from deblurkit.registry import ARCHS

ROOT = Path(__file__).resolve().parents[2]
GENERATORS = [name for name in ARCHS.names() if ARCHS.get(name).__module__.startswith("deblurkit.")]


def weights(folder: Path, name: str, **arguments: Any) -> Path:
    """A checkpoint of a small network with fresh weights."""
    torch.manual_seed(0)
    config = {"type": name, **SHRUNK.get(name, {}), **arguments}
    file = folder / f"{name}.pth"
    state = {
        "format": checkpoint.FORMAT,
        "generator": ARCHS.build(config).state_dict(),
        "ema": None,
        "position": {"iteration": 7, "epoch": 0},
        "options": {"name": "tried", "generator": config},
    }
    checkpoint.save(state, file)
    return file


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A small photograph whose sides divide by nothing, with a name that needs Unicode."""
    file = tmp_path / "süd & <b>.png"
    write_image(file, skimage.data.astronaut()[:75, 180:281])
    return file


@pytest.mark.parametrize("name", GENERATORS)
def test_every_generator_gives_pictures_and_a_page(tmp_path: Path, photo: Path, name: str):
    deblurrer = Deblurrer(weights(tmp_path, name), device="cpu")
    out = tmp_path / "inside"
    said = look(deblurrer, photo, out, Settings(), "a command")
    pictures = sorted(file.name for file in out.glob("*.png"))
    assert said == [f"{len(pictures)} pictures and the page {out / PAGE}"]
    assert sorted(file.name for file in out.iterdir()) == [*pictures, PAGE]
    assert pictures[:4] == ["00_photo.png", "01_restored.png", "02_edges_of_photo.png", "03_edges_of_restored.png"]
    assert len(pictures) >= 5
    assert read_image(out / pictures[4]).shape[1] >= 101
    shown = read_image(photo)[None].transpose(0, 3, 1, 2) / np.float32(255)
    restored = restore(deblurrer.generator, torch.from_numpy(shown))[0].numpy().transpose(1, 2, 0)
    assert np.abs(read_image(out / "01_restored.png") - 255 * restored).max() <= 0.502
    page = (out / PAGE).read_text(encoding="utf-8")
    assert page.count('src="data:image/jpeg;base64,') == len(pictures)
    assert "süd &amp; &lt;b&gt;.png" in page
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page), "nothing from outside"
    assert all(re.fullmatch(r"\d\d_[\w.-]+\.png", file) for file in pictures)


def look_as_a_process(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "tools" / "look.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", cwd=cwd, env=environment)


def test_as_a_process(tmp_path: Path, photo: Path):
    file = weights(tmp_path, "BlurAttention")
    named = ["--outputs", "A2", "blocks.0.unit", "--pixel", "10,20", "--channels", "3"]
    done = look_as_a_process(photo, "--weights", file, "--out", "in", *named, "--device", "cpu", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in (tmp_path / "in").iterdir())[4:] == [
        *("04_A2.png", "05_blocks.0.unit.png", "06_blocks.0.unit_channels.png", PAGE),
    ]
    page = (tmp_path / "in" / PAGE).read_text(encoding="utf-8")
    assert "the first 3 of 8 channels" in page
    assert "row 10, column 20" in page
    assert "deblurkit look" in page


def test_listing(tmp_path: Path):
    table = listing(Deblurrer(weights(tmp_path, "DSCNet"), device="cpu").generator)
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["M_C1"][0].endswith("from blocks.0.body.0.perceptron@1, blocks.0.body.0.perceptron@2")
    assert rows["encoder.1"] == ["Conv2d", "4x64x64", ""]
    assert rows["blocks.0.body.0.perceptron"] == ["Sequential", "16x1x1", "2"]
    assert rows["returned"] == ["DSCNet", "3x64x64", ""]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(pixel=(75, 0)), r"--pixel 75,0: outside of .*, which has 75 rows and 101 columns"),
        (Settings(crop=(0, 90, 20, 20)), r"--crop 0,90,20,20: TOP,LEFT,HEIGHT,WIDTH outside of .*, which has 75x101"),
        (Settings(crop=(0, 0, 20, 20), pixel=(30, 5)), r"--pixel 30,5: outside of --crop 0,0,20,20"),
        (Settings(outputs=["B1"]), r"--outputs: BlurAttention has no module or inner output 'B1'; it has A1, A2"),
        (Settings(memory=1e-6), r"memory: BlurAttention: .* takes .* GiB at least"),
    ],
)
def test_mistakes_write_nothing(tmp_path: Path, photo: Path, settings: Settings, message: str):
    deblurrer = Deblurrer(weights(tmp_path, "BlurAttention"), device="cpu")
    with pytest.raises(UserError, match=message):
        look(deblurrer, photo, tmp_path / "inside", settings, "")
    assert not (tmp_path / "inside").exists()


def test_files_in_the_way(tmp_path: Path, photo: Path):
    deblurrer = Deblurrer(weights(tmp_path, "BlurAttention"), device="cpu")
    out = tmp_path / "inside"
    look(deblurrer, photo, out, Settings(), "")
    with pytest.raises(UserError, match=r"00_photo.png: exists already; choose another --out or say --overwrite"):
        look(deblurrer, photo, out, Settings(), "")
    look(deblurrer, photo, out, Settings(overwrite=True), "")
    own = out / "00_photo.png"
    before = own.read_bytes()
    with pytest.raises(UserError, match="would replace the photo"):
        look(deblurrer, own, out, Settings(overwrite=True), "")
    assert own.read_bytes() == before
    with pytest.raises(UserError, match=r"inside: it cannot be written: Not a directory"):
        look(deblurrer, photo, photo / "inside", Settings(), "")


def test_of_a_large_photo_a_part_is_shown(tmp_path: Path):
    large = tmp_path / "large.png"
    write_image(large, np.ascontiguousarray(skimage.data.astronaut()[:300, :400]))
    deblurrer = Deblurrer(weights(tmp_path, "BlurAttention"), device="cpu")
    settings = Settings(memory=0.01, pixel=(290, 200), outputs=["A1"])
    note, said = look(deblurrer, large, tmp_path / "inside", settings, "")
    (place,) = re.findall(r"shown are (\d+)x(\d+) pixels from row (\d+), column (\d+)", note)
    height, width, top, left = map(int, place)
    assert note.startswith("300x400 is too large for the memory")
    assert height == width < 300
    assert (top, left) == (300 - height, 200 - width // 2), "around the pixel, inside the photo"
    assert said.startswith("5 pictures")
    part = read_image(tmp_path / "inside" / "00_photo.png")
    assert part.shape == (height, width, 3)
    assert note.split(";")[0] in (tmp_path / "inside" / PAGE).read_text(encoding="utf-8")


def test_colours_go_from_blue_to_red_and_holes_show_the_photo():
    photo = np.full((40, 200, 3), 200, np.uint8)
    values = torch.linspace(0, 1, 50)[None, None].repeat(1, 10, 1)
    values[:, 5] = torch.nan
    drawn = draw_output(InnerOutput("x", "words", (), kind="weights"), values, Frame(photo, (40, 200), (0.0, 1.0)))
    assert drawn.words == "10x50, from 0 to 1"
    assert drawn.picture.shape == (40 + 4 + 20, 200, 3), "a bar below"
    left, right = drawn.picture[0, 0].astype(int), drawn.picture[0, -1].astype(int)
    assert left[2] > left[0]
    assert right[0] > right[2] + 100
    assert (drawn.picture[21, 100] == 90).all(), "the photo, darker and grey"
    assert (drawn.picture[0, :4] == drawn.picture[0, 0]).all(), "one value is a block of equal pixels"


def test_padding_is_cut_off():
    photo = np.zeros((30, 30, 3), np.uint8)
    values = torch.zeros(2, 4, 4)
    values[:, :, 3] = 5.0
    drawn = draw_output(InnerOutput("x", "words", ()), -values, Frame(photo, (40, 40), (0.0, 1.0)))
    assert drawn.words == "2 channels of 4x4, mean of the absolute values, from 0 to 0"
