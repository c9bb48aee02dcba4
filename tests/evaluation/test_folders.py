"""Images that were restored by other code: found by name, and scored as a network's are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data

from deblurkit import evaluate
from deblurkit.data.images import read_image, write_image
from deblurkit.data.source import open_source
from deblurkit.errors import UserError
from deblurkit.evaluation.evaluate import Settings, score_folders
from deblurkit.evaluation.folders import match, open_folder
from deblurkit.options.load import load_options


@pytest.fixture
def saved(experiment: Any) -> tuple[Path, dict[str, Any]]:
    """A report with saved images, and its ``metrics.json``."""
    out = Path("report")
    metrics = evaluate(
        weights=experiment.best,
        plugins=[experiment.plugin],
        datasets=["pairs"],
        out=out,
        save_images=True,
        device="cpu",
    )
    return out, metrics


def settings(**changed: Any) -> Settings:
    return Settings(**{"protocol": "gopro-basicsr-v1", "device": "cpu", **changed})


def test_crops_of_a_test_set_are_scored_as_saved(experiment: Any, rewrite: Callable[[str, str], None]) -> None:
    """The windows that testing cuts are those that scoring saved images cuts."""
    end = f'sharp: "{experiment.data}/*/sharp"'
    rewrite(f"{end}}}\n    blind", f"{end}, crop: 48}}\n    blind")
    options = load_options(experiment.options)
    metrics = evaluate(options, experiment.best, datasets=["pairs"], out="cropped", save_images=True, device="cpu")
    assert metrics["datasets"]["pairs"]["data"]["crop"] == "48 x 48 pixels (h x w)"
    report = score_folders(["cropped"], settings(out="scored"), data=f"{experiment.options}:test.pairs")
    scored = report.candidates[0].to_json()["datasets"]["pairs"]
    assert scored["restored"] == metrics["datasets"]["pairs"]["restored"]


def data_of(experiment: Any) -> str:
    return f'{{type: PairedImages, blurred: "{experiment.data}/*/blur", sharp: "{experiment.data}/*/sharp"}}'


@pytest.mark.parametrize("place", ["images/pairs", "."])
def test_saved_images_score_as_the_network_did(experiment: Any, saved: tuple[Path, dict[str, Any]], place: str) -> None:
    out, metrics = saved
    report = score_folders([out / place], settings(out="scored"), data=f"{experiment.options}:test.pairs")
    (candidate,) = report.candidates
    (scored,) = candidate.to_json()["datasets"].values()
    for side in ("blurred", "restored", "gain", "intervals"):
        assert scored[side] == metrics["datasets"]["pairs"][side]
    assert scored["seconds_per_image"] is None
    assert candidate.to_json()["weights"] is None
    assert candidate.to_json()["restored"] == {"folder": str(out / place)}
    assert json.loads(Path("scored/metrics.json").read_text(encoding="utf-8")) == candidate.to_json()
    assert sorted(path.name for path in Path("scored").iterdir() if path.is_file()) == [
        *("metrics.json", "per_image.csv", "report.html", "report.md", "tables.csv", "tables.tex")
    ]
    assert "deblurkit score --restored" in Path("scored/report.md").read_text(encoding="utf-8")


def folder_with(experiment: Any, name: Callable[[str, str], str], ending: str = ".png") -> Path:
    """Restored images, each named from its scene and its number."""
    out = Path("restored")
    for sharp in sorted(experiment.data.glob("*/sharp/*.png")):
        file = out / (name(sharp.parts[-3], sharp.stem) + ending)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_image(file, np.clip(read_image(sharp).astype(int) + 1, 0, 255).astype(np.uint8))
    return out


@pytest.mark.parametrize(
    ("name", "ending", "note"),
    [
        (lambda scene, number: f"{scene}/{number}", ".png", ""),
        (lambda scene, number: f"{scene}/{number}", ".webp", ""),
        (lambda scene, number: f"{scene}/{number}_restored", ".png", "named <image>_restored"),
        (lambda scene, number: f"{scene}/out_{number}.x2", ".png", "named out_<image>.x2"),
        (lambda scene, number: f"{scene}-{number}", ".png", "folders joined to the name by -"),
        (
            lambda scene, number: f"deblurred_{scene}_{number}",
            ".png",
            "folders joined to the name by _, named deblurred_<image>",
        ),
    ],
)
def test_names_of_other_code(experiment: Any, name: Callable[[str, str], str], ending: str, note: str) -> None:
    folder = folder_with(experiment, name, ending)
    data = open_source(data_of(experiment))
    source, notes = open_folder(folder, "pairs", data, range(6))
    assert notes == ([f"restored: {note}"] if note else [])
    assert list(source.files) == data.keys()
    for key, file in source.files.items():
        assert file.name == name(*key.split("/")).rpartition("/")[2] + ending


def test_everything_wrong_is_told_at_once(experiment: Any) -> None:
    folder = folder_with(experiment, lambda scene, number: f"{scene}/{number}")
    (folder / "chelsea" / "000001.png").unlink()
    shutil.move(folder / "astronaut" / "000002.png", folder / "another.png")
    with pytest.raises(UserError) as caught:
        score_folders([folder], settings(), data=data_of(experiment))
    assert list(caught.value.problems) == [
        "restored: 2 of 6 images are missing: astronaut/000002, chelsea/000001",
        "restored: 1 images belong to no image of the data set: another",
    ]
    folder = folder_with(experiment, lambda scene, number: f"{scene}/{number}")
    (folder / "another.png").unlink()
    for name in ("000000", "000001"):
        file = folder / "chelsea" / f"{name}.png"
        write_image(file, read_image(file)[:50])
    with pytest.raises(UserError) as caught:
        score_folders([folder], settings(), data=data_of(experiment))
    wrong = "50 x 90 pixels (h x w), but image chelsea/{} has 61 x 90 pixels (h x w)".format
    assert list(caught.value.problems) == [
        f"{folder / 'chelsea' / name}.png: {wrong(name)}" for name in ("000000", "000001")
    ]
    with pytest.raises(UserError, match="there is no folder nowhere"):
        score_folders(["nowhere"], settings(), data=data_of(experiment))
    with pytest.raises(UserError, match="deblurgan-v1-legacy has a network restore in training mode"):
        score_folders([folder], settings(protocol="deblurgan-v1-legacy"), data=data_of(experiment))
    assert not Path("report").exists()


def test_one_name_inside_another_is_not_taken_for_it() -> None:
    keys = ["1", "11"]
    files = {name: Path(f"{name}.png") for name in ("1_x", "11_x")}
    assert match("out", files, keys).files == {"1": Path("1_x.png"), "11": Path("11_x.png")}
    with pytest.raises(UserError, match="1 of 2 images are missing: 11"):
        match("out", {"1": Path("1.png"), "11_x": Path("11_x.png")}, keys)


def test_a_limited_set_may_have_more_restored_images(experiment: Any) -> None:
    folder = folder_with(experiment, lambda scene, number: f"{scene}/{number}")
    limited = data_of(experiment)[:-1] + ", limit: 2}"
    report = score_folders([folder], settings(), data=limited)
    assert report.candidates[0].to_json()["datasets"]["PairedImages"]["images"] == 2


def flat(folder: Path, blur: float, shift: int = 0) -> Path:
    folder.mkdir(parents=True)
    for name in ("astronaut", "coffee"):
        image = np.ascontiguousarray(getattr(skimage.data, name)()[40:200, 100 + shift : 260 + shift])
        write_image(folder / f"{name}.png", cv2.GaussianBlur(image, (0, 0), blur) if blur else image)
    return folder


@pytest.fixture
def flat_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, blur in (("sharp", 0.0), ("blurred", 3.0), ("good", 1.0), ("bad", 2.0)):
        flat(tmp_path / name, blur)
    return tmp_path


def test_several_candidates(flat_folders: Path) -> None:
    report = score_folders(["A=good", "bad"], settings(out="out"), sharp="sharp", blurred="blurred")
    assert [candidate.name for candidate in report.candidates] == ["A", "bad"]
    good, bad = (candidate.to_json()["datasets"]["images"] for candidate in report.candidates)
    assert good["restored"]["psnr"] > bad["restored"]["psnr"] > good["blurred"]["psnr"]
    compared = json.loads(Path("out/comparison.json").read_text(encoding="utf-8"))
    assert [pair["difference"] > 0 for pair in compared["datasets"]["images"]["pairs"]] == [True, True]
    assert Path("out/bad/report.html").is_file()
    assert Path("out/report.html").is_file()


def test_without_blurred_images_their_columns_are_empty(flat_folders: Path) -> None:
    report = score_folders(["good"], settings(out="out"), sharp="sharp")
    entry = report.candidates[0].to_json()["datasets"]["images"]
    assert (entry["blurred"], entry["gain"], entry["scored"]) == (None, None, 2)
    header, *rows = Path("out/per_image.csv").read_text(encoding="utf-8").splitlines()
    assert header.startswith("dataset,image,psnr_blurred,psnr_restored")
    assert all(row.split(",")[2] == "" for row in rows)
    assert Path("out/report.html").is_file()


def test_unrounded_protocols_say_what_files_have_lost(flat_folders: Path) -> None:
    report = score_folders(["good"], settings(protocol="gopro-float-v1"), sharp="sharp", blurred="blurred")
    assert any("before they are rounded" in note for note in report.candidates[0].to_json()["notes"])


def test_how_restored_images_were_stored_is_said(flat_folders: Path) -> None:
    image = read_image("good/coffee.png")
    write_image(Path("good/coffee.jpg"), image)
    Path("good/coffee.png").unlink()
    other = read_image("good/astronaut.png")
    cv2.imwrite("good/astronaut.png", np.dstack([other[..., ::-1], np.full(other.shape[:2], 90, np.uint8)]))
    report = score_folders(["good"], settings(out="out"), sharp="sharp")
    stored = [note for note in report.candidates[0].to_json()["notes"] if "restored images" in note]
    assert stored == [
        "good: 1 of 2 restored images have an alpha channel, which is left out",
        "good: 1 of 2 restored images are JPEG: the scores are also those of its losses",
    ]
    cv2.imwrite("good/astronaut.png", other[..., 0])
    Path("good/coffee.jpg").unlink()
    write_image(Path("good/coffee.png"), image)
    report = score_folders(["good"], settings(out="out"), sharp="sharp")
    stored = [note for note in report.candidates[0].to_json()["notes"] if "restored images" in note]
    assert stored == ["good: 1 of 2 restored images are grey: scored as three equal channels"]


def test_many_true_images_of_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve frames of a camera that moves: the one that the restored image is equal to counts."""
    monkeypatch.chdir(tmp_path)
    image = skimage.data.astronaut()
    for shot, best in (("Blurry1_1", 9), ("Blurry1_2", 10)):
        frames = [np.ascontiguousarray(image[100:292, 100 + 2 * step : 292 + 2 * step]) for step in range(12)]
        for number, frame in enumerate(frames, start=1):
            file = tmp_path / "sharp" / shot / f"frame_{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_image(file, np.clip(frame.astype(int) + number, 0, 255).astype(np.uint8))
        (tmp_path / "restored").mkdir(exist_ok=True)
        write_image(tmp_path / "restored" / f"{shot}.png", read_image(tmp_path / "sharp" / shot / f"frame_{best}.png"))
    report = score_folders(["restored"], settings(protocol="kohler-official-v1", out="out"), sharp="sharp")
    rows = report.candidates[0].rows["images"]
    assert [(row.key, row.restored_facts["best_frame"]) for row in rows] == [("Blurry1_1", 9), ("Blurry1_2", 10)]
    groups = report.candidates[0].to_json()["datasets"]["images"]["groups"]
    assert sorted(groups["trajectory"]) == ["1", "2"]
    with pytest.raises(UserError, match="against many true images: expected a folder of them for each image"):
        score_folders(["restored"], settings(protocol="kohler-official-v1"), sharp="restored")
