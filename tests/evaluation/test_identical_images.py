"""Images that are the sharp ones, bit for bit: counted, named, and told beside what the others' mean is."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data

from deblurkit.data.images import write_image
from deblurkit.evaluation.evaluate import Report, Settings, score_folders

BLURRED_IS_SHARP, RESTORED_IS_SHARP = {"a", "c"}, {"b", "c"}


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    """Five images: one was sharp before, one is sharp after, one is both, two are neither."""
    monkeypatch.chdir(tmp_path)
    photograph = skimage.data.astronaut()
    for number, key in enumerate("abcde"):
        sharp = np.ascontiguousarray(photograph[64 * number : 64 * number + 48, 100:148])
        blurred, restored = cv2.GaussianBlur(sharp, (0, 0), 2), cv2.GaussianBlur(sharp, (0, 0), 1)
        for folder in ("sharp", "blurred", "restored"):
            Path(folder).mkdir(exist_ok=True)
        write_image(Path(f"sharp/{key}.png"), sharp)
        write_image(Path(f"blurred/{key}.png"), sharp if key in BLURRED_IS_SHARP else blurred)
        write_image(Path(f"restored/{key}.png"), sharp if key in RESTORED_IS_SHARP else restored)
    settings = Settings(protocol="gopro-basicsr-v1", device="cpu", out="out")
    return score_folders(["restored"], settings, sharp="sharp", blurred="blurred")


def test_infinite_means_come_with_those_of_the_other_images(report: Report) -> None:
    rows = {row.key: row for row in report.candidates[0].rows["images"]}
    found = json.loads(Path("out/metrics.json").read_text(encoding="utf-8"))["datasets"]["images"]
    assert (found["blurred"]["psnr"], found["restored"]["psnr"]) == ("inf", "inf")
    infinite = found["infinite"]
    assert [list(infinite[side]) for side in ("blurred", "restored", "gain")] == [["psnr"]] * 3, "SSIM is 1 at most"
    for side, kept in (("blurred", "bde"), ("restored", "ade")):
        scores = [getattr(rows[key], side)["psnr"] for key in kept]
        told = infinite[side]["psnr"]
        assert told["left_out"] == 2
        assert told["mean"] == pytest.approx(sum(scores) / 3)
        low, high = told["interval"]
        assert min(scores) - 1e-9 <= low < told["mean"] < high <= max(scores) + 1e-9
    gains = [rows[key].gain("psnr") for key in "de"]
    assert infinite["gain"]["psnr"]["left_out"] == 3
    assert infinite["gain"]["psnr"]["mean"] == pytest.approx(sum(gains) / 2)
    assert all(math.isfinite(gain) for gain in gains)


def test_identical_images_are_counted_and_named_where_people_look(report: Report) -> None:
    found = report.candidates[0].datasets["images"].infinite
    assert found is not None
    said = [
        f"images, blurred: psnr is infinite, as of identical images, for 2 of 5 images (a, c), and so is its mean; "
        f"without them {found.blurred['psnr'].mean:.2f} [",
        f"images, restored: psnr is infinite, as of identical images, for 2 of 5 images (b, c), and so is its mean; "
        f"without them {found.restored['psnr'].mean:.2f} [",
        f"images, gain: psnr is infinite before or after for 3 of 5 images; without them "
        f"{found.gain['psnr'].mean:+.2f} [",
    ]
    pages = [Path(f"out/report.{kind}").read_text(encoding="utf-8").replace("\\[", "[") for kind in ("md", "html")]
    for text in (report.text(), *pages, Path("out/tables.tex").read_text(encoding="utf-8")):
        assert [line for line in said if line not in text] == []


def test_finite_scores_say_nothing_of_it(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(protocol="gopro-basicsr-v1", device="cpu", out="other")
    for key in BLURRED_IS_SHARP | RESTORED_IS_SHARP:
        for folder in ("sharp", "blurred", "restored"):
            Path(folder, f"{key}.png").unlink()
    finite = score_folders(["restored"], settings, sharp="sharp", blurred="blurred")
    assert "infinite" not in finite.text()
    assert "infinite" not in json.loads(Path("other/metrics.json").read_text(encoding="utf-8"))["datasets"]["images"]


def test_where_every_image_is_sharp_nothing_is_left(report: Report) -> None:
    settings = Settings(protocol="gopro-basicsr-v1", device="cpu", out="all")
    same = score_folders(["sharp"], settings, sharp="sharp", blurred="sharp")
    assert same.candidates[0].to_json()["datasets"]["images"]["infinite"]["restored"]["psnr"] == {
        "left_out": 5,
        "mean": None,
        "interval": None,
    }
    assert "restored: psnr is infinite, as of identical images, for 5 of 5 images (a, b, c, ...)" in same.text()
    assert "gain: psnr is infinite before or after for 5 of 5 images; no other image has a score" in same.text()
