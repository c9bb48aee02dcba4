"""The files that a check writes: the contact sheet and the ``datasets:`` section."""

from __future__ import annotations

import io
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from deblurkit.data.checking import check
from deblurkit.data.checking.check import check_sets
from deblurkit.data.checking.contact_sheet import chosen, contact_sheet
from deblurkit.data.checking.discover import FoundSet, from_folder
from deblurkit.data.checking.pairs import MeasuredPair, Problem, to_8_bits
from deblurkit.data.checking.results import Finding, SetResult
from deblurkit.data.checking.section import datasets_section
from deblurkit.data.checking.sets import assess
from deblurkit.data.images import read_image, write_image
from deblurkit.options.load import load_options


def test_the_section_can_be_trained_with(clean: Path, checkout: Path) -> None:
    shutil.copytree(clean / "test" / "sequence 0", clean / "valid" / "s")
    check_sets(from_folder(clean), out=clean / "out")
    (clean / "mine.yml").write_text(f"_base_: [{checkout}/options/quickstart.yml, out/datasets.yml]\nname: mine\n")
    sets = load_options(str(clean / "mine.yml")).datasets
    (train,) = sets.train
    assert train.component == {
        "type": "PairedImages",
        "blurred": f"{clean}/train/*/blur",
        "sharp": f"{clean}/train/*/sharp",
        "crop": 256,
        "augment": ["hflip"],
    }
    assert train.loader.batch_size == 4
    assert sets.val["Bilder_für_Müller"].component["sharp"] == f"{clean}/valid/*/sharp"
    assert sets.test["Bilder_für_Müller"].component["sharp"] == f"{clean}/test/*/sharp"


def _result(name: str, split: str, size: tuple[int, int] = (720, 1280), pairs: int = 1) -> SetResult:
    component = {"type": "PairedImages", "blurred": f"{name}/blur", "sharp": f"{name}/sharp"}
    return assess(FoundSet(name, split, component, None), [MeasuredPair(str(i), size=size) for i in range(pairs)])


def test_crops_fit_and_further_training_sets_are_comments() -> None:
    section = datasets_section([_result("a", "train", (100, 300)), _result("b", "train")])
    assert section is not None
    first, second = [line for line in section.decode().splitlines() if "train:" in line]
    assert first.startswith("  train: {")
    assert "crop: 96" in first
    assert second.startswith("  # or train: {")
    assert "crop: 256" in second
    assert datasets_section([_result("a", "train", pairs=0)]) is None


def test_a_set_of_which_nothing_can_be_read_is_told(tmp_path: Path) -> None:
    for side in ("blur", "sharp"):
        (tmp_path / "train" / side).mkdir(parents=True)
        (tmp_path / "train" / side / "1.png").write_bytes(b"no image")
    (result,) = check_sets(from_folder(tmp_path), out=tmp_path / "out").sets
    assert [pair.problem.kind for pair in result.pairs if pair.problem] == ["unreadable"]
    assert "crop:" not in (tmp_path / "out" / "datasets.yml").read_text(encoding="utf-8")


def _images(psnrs: list[float], findings: dict[str, list[int]]) -> SetResult:
    pairs = [MeasuredPair(str(i), size=(720, 1280), psnr=value) for i, value in enumerate(psnrs)]
    found = [Finding(kind, kind, keys=[str(i) for i in keys]) for kind, keys in findings.items()]
    return replace(assess(FoundSet("train", "train", None, None), pairs), findings=found)


def test_findings_take_turns_before_the_worst_middle_and_best() -> None:
    figures = _images([20 + i for i in range(40)], {"swapped": [30, 31, 32], "misaligned": [9, *range(10, 30)]})
    assert chosen(figures) == [30, 9, 31, 10, 32, 11, 12, 13, 0, 1, 2, 19, 20, 37, 38, 39]
    damaged = [
        replace(pair, problem=Problem("unreadable", "damaged")) if pair.key == "30" else pair for pair in figures.pairs
    ]
    assert 30 not in chosen(replace(figures, pairs=damaged))
    assert chosen(_images([30.0, 20.0], {})) == [1, 0]


def test_the_sheet_shows_blurred_sharp_and_difference(clean: Path) -> None:
    for side, level in (("blur", 50), ("sharp", 90)):
        for file in clean.glob(f"test/*/{side}/*.png"):
            write_image(file, np.full((100, 160, 3), level, np.uint8))
    sets = from_folder(clean)[:1]
    report = check_sets(sets)
    data = contact_sheet(report.sets)
    assert data is not None
    sheet = np.asarray(Image.open(io.BytesIO(data)))
    row = sheet[sheet.shape[0] - 100]
    assert [int(np.round(row[column].mean())) for column in (160, 490, 810)] == [50, 90, 120]
    assert sheet.shape[1] == 3 * 324 + 4


def test_the_sheet_of_faulty_sets(clean: Path) -> None:
    for file in clean.glob("test/*/sharp/*.png"):
        file.write_bytes(b"")
    sets = from_folder(clean)
    report = check_sets(sets, out=clean / "out")
    assert report.files == [f"{clean}/out/{name}" for name in ("check.json", "contact_sheet.jpg", "datasets.yml")]
    assert read_image(clean / "out" / "contact_sheet.jpg").shape[1] >= 640
    assert contact_sheet(report.sets[:1]) is None


@pytest.mark.parametrize(("count", "pairs"), [(60, 120), (130, 128)])
def test_the_sheet_of_many_sets_can_be_written(
    clean: Path, monkeypatch: pytest.MonkeyPatch, count: int, pairs: int
) -> None:
    drawn: list[str] = []
    draw = ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        ImageDraw.ImageDraw, "text", lambda self, at, text, **how: (drawn.append(text), draw(self, at, text, **how))
    )
    train = from_folder(clean)[1]
    result = check_sets([train]).sets[0]
    data = contact_sheet([result] * count)
    assert data is not None
    assert Image.open(io.BytesIO(data)).height < 33_000
    assert sum(" dB " in label for label in drawn) == pairs
    assert (
        drawn[0]
        == f"train: 7 pairs, {pairs // min(count, 128)} of the 7 to look at: " + "blurred | sharp | difference x 3"
    )
    assert (drawn[-1] == "2 more sets have no room here") == (count > 128)


def test_sixteen_bits_are_shown_as_they_are_measured() -> None:
    assert to_8_bits(np.array([0, 128, 129, 65407, 65535], np.uint16)).tolist() == [0, 0, 1, 255, 255]
    eight = np.arange(256, dtype=np.uint8)
    assert to_8_bits(eight) is eight
    assert np.array_equal(to_8_bits(eight.astype(np.uint16) * 257), eight)


def test_a_thread_for_each_core_that_may_be_used(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(check, "usable_cores", lambda: 3)
    monkeypatch.setattr(check, "ThreadPoolExecutor", lambda jobs: (asked.append(jobs), ThreadPoolExecutor(jobs))[1])
    check_sets(from_folder(clean)[:1])
    assert asked == [3]


def test_the_figures_are_kept_where_the_sheet_fails(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(check, "contact_sheet", fail)
    with pytest.raises(MemoryError):
        check_sets(from_folder(clean), out=clean / "out")
    assert len(json.loads((clean / "out" / "check.json").read_text(encoding="utf-8"))["sets"]) == 2


@pytest.mark.parametrize("jobs", [1, 3])
def test_progress_reaches_the_end_whatever_the_number_of_threads(clean: Path, jobs: int) -> None:
    seen: list[tuple[str, int, int]] = []
    check_sets(from_folder(clean), jobs=jobs, progress=lambda *step: seen.append(step))
    assert [step for step in seen if step[0] == "train"] == [("train", done, 7) for done in range(1, 8)]
