"""``benchmarks/rivals.py``: classical deblurring works where it can, says where it cannot, and meets a network."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from states import whole_state

from deblurkit import checkpoint
from deblurkit.data.blur.kernels import convolve
from deblurkit.data.images import read_image, write_image
from deblurkit.metrics.psnr import psnr
from deblurkit.options.load import options_from_dict

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import classical  # noqa: E402
import rival_cases  # noqa: E402
import rival_page  # noqa: E402
import rivals  # noqa: E402

LINE = np.eye(9, dtype=np.float32) / 9
"""A diagonal blur, whose mirror image is another one."""


@pytest.fixture(scope="module")
def coffee() -> np.ndarray:
    return np.ascontiguousarray(skimage.data.coffee()[100:260, 200:400])


@pytest.fixture(scope="module")
def blurred(coffee: np.ndarray) -> np.ndarray:
    """Coffee blurred together with what lies beyond the border, and rounded to 8 bits."""
    whole = np.ascontiguousarray(skimage.data.coffee()).astype(np.float32) / 255
    return np.round(convolve(whole, LINE)[100:260, 200:400] * 255) / 255


def levels(image: np.ndarray) -> np.ndarray:
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def test_the_true_kernel_brings_many_decibels_and_its_mirror_image_none(coffee: np.ndarray, blurred: np.ndarray):
    before = psnr(levels(blurred), coffee)
    turned = np.ascontiguousarray(LINE[:, ::-1])
    for restore, setting in ((classical.richardson_lucy, 20), (classical.wiener, 0.003)):
        restored = levels(restore(blurred, LINE, setting))
        assert psnr(restored, coffee) > before + 4
        assert psnr(levels(restore(blurred, turned, setting)), coffee) < before
        # As well in the outermost pixels, of which half the light is not in the picture.
        edge = np.concatenate([restored[:8], restored[-8:]]), np.concatenate([coffee[:8], coffee[-8:]])
        assert psnr(*edge) > before + 2


def test_the_blind_kernel_is_like_the_true_one(tmp_path: Path):
    write_image(tmp_path / "coffee.png", np.ascontiguousarray(skimage.data.coffee()))
    case = rival_cases.Shaken([tmp_path / "coffee.png"], (10.0, 10.0), "linear", False, (300, 400)).case(0)
    assert case.kernel is not None
    light = case.response.decode(case.blurred)
    kernel = classical.blind_kernel(light, 15)
    assert kernel.shape == (15, 15)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert classical.similarity(kernel, case.kernel) > 0.7
    before = psnr(case.blurred, case.sharp)
    assert psnr(levels(classical.wiener(light, kernel, 0.1)), case.sharp) > before + 1
    assert psnr(levels(classical.wiener(light, case.kernel, 0.01)), case.sharp) > before + 3


def test_an_image_without_edges_has_no_blur():
    kernel = classical.blind_kernel(np.full((64, 64, 3), 0.5, np.float32), 7)
    assert kernel[3, 3] == 1
    assert np.isfinite(classical.richardson_lucy(np.zeros((32, 32, 3), np.float32), kernel, 3)).all()


def test_similarity_does_not_see_shifts():
    assert classical.similarity(LINE, np.pad(LINE, ((0, 6), (4, 2)))) == pytest.approx(1)
    assert classical.similarity(LINE, np.ascontiguousarray(LINE[:, ::-1])) == pytest.approx(1 / 9, abs=1e-6)


def test_a_shaken_case_is_blurred_by_its_kernel(tmp_path: Path):
    photograph = np.ascontiguousarray(skimage.data.coffee())
    write_image(tmp_path / "coffee.png", photograph)
    shaken = rival_cases.Shaken([tmp_path / "coffee.png"], (8.0, 8.0), "srgb", False, (160, 200))
    case = shaken.case(0)
    assert case.kernel is not None
    assert case.sharp.shape == (160, 200, 3)
    again = case.response.encode(convolve(case.response.decode(case.sharp), case.kernel))
    reach = len(case.kernel) // 2
    inside = slice(reach, -reach)
    assert psnr(levels(again)[inside, inside], case.blurred[inside, inside]) > 38
    assert np.array_equal(shaken.case(0).blurred, case.blurred)
    varying = rival_cases.Shaken([tmp_path / "coffee.png"], (8.0, 8.0), "srgb", True, (160, 200))
    assert varying.case(0).kernel is None


def test_it_all_runs_with_a_network_and_pairs(
    tmp_path: Path, coffee: np.ndarray, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for side, pixels in (("sharp", coffee), ("blurred", cv2.blur(coffee, (9, 1)))):
        (tmp_path / side).mkdir()
        write_image(tmp_path / side / "coffee.png", pixels)
    small = {"type": "FilterBankUNet", "channels": [8, 12], "blocks": 1, "filters": 4, "taps": 7}
    options = options_from_dict({"name": "small", "generator": small}, "test")
    torch.manual_seed(0)
    weights = checkpoint.build_generator(options).state_dict()
    state = whole_state(generator=weights, ema=None, options=options.to_dict())
    checkpoint.save(state, tmp_path / "small.pth")
    call = ["rivals.py", "--tiny", "--out", str(tmp_path / "out")]
    call += ["--quickstart", str(tmp_path / "small.pth"), "--weights", f"other={tmp_path / 'small.pth'}"]
    call += ["--pairs", f"two folders={tmp_path / 'blurred'},{tmp_path / 'sharp'}"]
    monkeypatch.setattr(sys, "argv", call)
    rivals.main()
    page = (tmp_path / "out" / "rivals.md").read_text(encoding="utf-8")
    assert page.strip() == capsys.readouterr().out.strip()
    assert page.count("| Wiener, true kernel | n/a: each pixel has its own kernel |") == 1
    assert page.count("| Wiener, true kernel | n/a: not known |") == 1
    sets = json.loads((tmp_path / "out" / "rivals.json").read_text(encoding="utf-8"))["sets"]
    assert len(sets) == 4
    for uniform in sets[:2]:
        rows = {row["rival"]: row for row in uniform["rows"]}
        assert rows["input as it is"]["gain"] == 0
        assert rows["Wiener, true kernel"]["gain"] > 1
        assert rows["Richardson-Lucy, true kernel"]["gain"] > 1
        assert rows["quickstart network"]["psnr"] == rows["other"]["psnr"]
    assert read_image(tmp_path / "out" / "rivals.png").shape[1] > 9 * rival_page.WINDOW


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--weights", "starter.pth"], "--weights: got 'starter.pth', expected NAME=FILE"),
        (["--pairs", "gopro=blur"], "expected NAME=BLURRED,SHARP: two folders or globs"),
        (["--extent", "24:4"], "expected LEAST:GREATEST in pixels"),
    ],
)
def test_a_users_mistake_is_told(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["rivals.py", "--out", "out", *arguments])
    with pytest.raises(SystemExit) as ended:
        rivals.parse()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
