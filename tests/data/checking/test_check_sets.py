"""Each fault is planted in a clean set of real photographs; the check names it, and only it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from gopro_tree import make_gopro, mislabel

from deblurkit.data.checking.check import check_sets
from deblurkit.data.checking.discover import FoundSet, from_component, from_folder
from deblurkit.data.checking.results import CheckReport, SharedImages
from deblurkit.data.checking.summary import summary
from deblurkit.data.dataset import PairFiles
from deblurkit.data.images import read_image, write_image
from deblurkit.data.paired import ImagePairs
from deblurkit.data.sample import SamplePairs
from deblurkit.errors import UserError
from deblurkit.metrics.psnr import psnr


def _blurred(root: Path, key: str) -> Path:
    return next(root.glob(f"*/*/blur/{key}.png"))


def _sharp(root: Path, key: str) -> Path:
    return next(root.glob(f"*/*/sharp/{key}.png"))


def _kinds(report: CheckReport) -> dict[str, list[str]]:
    """Keys by kind of finding, of all sets."""
    kinds: dict[str, list[str]] = {}
    for result in report.sets:
        for finding in result.findings:
            kinds.setdefault(finding.kind, []).extend(key.split("/")[-1] for key in finding.keys)
    return kinds


def test_shaken_photographs_raise_no_alarm(sample_root: Path) -> None:
    sets = [FoundSet(split, split, None, SamplePairs(split, root=str(sample_root))) for split in ("train", "test")]
    report = check_sets(sets, jobs=2)
    assert _kinds(report) == {}
    assert report.faults() == []
    assert report.duplicates == [SharedImages("train", "test", exact=[], near=[])]
    assert [result.response.variant for result in report.sets] == ["gamma", "gamma"]
    assert report.sets[1].psnr.mean == pytest.approx(26.64, abs=0.01)
    assert sum(report.sets[0].psnr.counts) == 128
    assert "nothing wrong was found" in summary(report)


def test_figures_are_those_of_the_images(clean: Path) -> None:
    report = check_sets(from_folder(clean))
    image = next(pair for pair in report.sets[0].pairs if pair.key.endswith("coffee_02"))
    blurred, sharp = read_image(_blurred(clean, "coffee_02")), read_image(_sharp(clean, "coffee_02"))
    assert image.psnr == pytest.approx(psnr(blurred, sharp), abs=1e-9)
    assert image.size == (256, 256)
    assert report.sets[1].as_json()["sizes"] == {"256 x 256": 7}


def _identical(root: Path) -> None:
    shutil.copyfile(_sharp(root, "coins_04"), _blurred(root, "coins_04"))


def _swapped(root: Path) -> None:
    blurred, sharp = _blurred(root, "brick_01"), _sharp(root, "brick_01")
    os.rename(blurred, root / "kept")
    os.rename(sharp, blurred)
    os.rename(root / "kept", sharp)


def _all_swapped(root: Path) -> None:
    for blur in list(root.glob("*/*/blur")):
        os.rename(blur, blur.with_name("kept"))
        os.rename(blur.with_name("sharp"), blur)
        os.rename(blur.with_name("kept"), blur.with_name("sharp"))


def _misaligned(root: Path) -> None:
    image = read_image(_blurred(root, "ihc_05"))
    write_image(_blurred(root, "ihc_05"), np.ascontiguousarray(np.roll(image, (-2, 3), (0, 1))))


def _all_shifted(root: Path) -> None:
    for file in root.glob("train/*/blur/*.png"):
        write_image(file, np.ascontiguousarray(np.roll(read_image(file), 1, 1)))


def _unlike(root: Path) -> None:
    shutil.copyfile(_blurred(root, "astronaut_03"), _blurred(root, "camera_02"))


def _cut_short(root: Path) -> None:
    data = _sharp(root, "rocket_03").read_bytes()
    _sharp(root, "rocket_03").write_bytes(data[: len(data) // 2])


def _no_bytes(root: Path) -> None:
    _blurred(root, "rocket_03").write_bytes(b"")


def _text(root: Path) -> None:
    _blurred(root, "rocket_03").write_text("this is no image")


def _unequal(root: Path) -> None:
    write_image(_sharp(root, "rocket_03"), read_image(_sharp(root, "rocket_03"))[:200])


FAULTS: dict[str, tuple[Callable[[Path], None], dict[str, list[str]]]] = {
    "identical": (_identical, {"identical": ["coins_04"]}),
    "swapped": (_swapped, {"swapped": ["brick_01"]}),
    "misaligned": (_misaligned, {"misaligned": ["ihc_05"]}),
    "all shifted": (_all_shifted, {"shifted": []}),
    "unlike": (_unlike, {"unlike": ["camera_02"], "repeated": ["astronaut_03", "camera_02"]}),
    "cut short": (_cut_short, {"unreadable": ["rocket_03"]}),
    "no bytes": (_no_bytes, {"unreadable": ["rocket_03"]}),
    "text": (_text, {"unreadable": ["rocket_03"]}),
    "unequal": (_unequal, {"unequal": ["rocket_03"]}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found_and_nothing_else(clean: Path, name: str) -> None:
    plant, expected = FAULTS[name]
    plant(clean)
    report = check_sets(from_folder(clean))
    kinds = _kinds(report)
    kinds.get("repeated", []).sort()
    if name == "all shifted":
        kinds.pop("misaligned", None)  # those that their own blur carries further still
    assert kinds == expected
    fatal = bool({"unreadable", "unequal"} & set(expected))
    assert len(report.faults()) == fatal
    text = summary(report)
    assert ("FAULT" in text) == fatal
    assert all(key in text for keys in expected.values() for key in keys)


def test_a_set_swapped_as_a_whole(clean: Path) -> None:
    _all_swapped(clean)
    report = check_sets(from_folder(clean))
    for result, count in zip(report.sets, (3, 7), strict=True):
        (finding,) = [finding for finding in result.findings if finding.kind == "swapped"]
        assert finding.text == (
            f"{count} of {count} pairs: the sharp image is the softer one: blurred and sharp are swapped"
        )


def test_orphans_are_faults_and_all_of_them_are_in_the_figures(clean: Path) -> None:
    sharp = _sharp(clean, "grass_02")
    for number in range(12):
        shutil.copyfile(sharp, sharp.with_name(f"only sharp {number:02d}.png"))
    sharp.unlink()
    report = check_sets(from_folder(clean), out=clean / "report")
    figures = report.sets[1].as_json()
    assert len(figures["orphans"]["sharp"]) == 12
    assert figures["orphans"]["blurred"] == [str(_blurred(clean, "grass_02"))]
    assert figures["pairs"] == 6
    assert (
        report.faults()[0]
        == f"train: blurred: {_blurred(clean, 'grass_02')} has no sharp image (key 'sequence 0/grass_02')"
    )
    assert report.faults()[-1] == "train: ... and 2 more of this kind"
    assert "sharp images without partner: 12" in summary(report)


def test_images_of_the_test_set_among_those_for_training(clean: Path) -> None:
    for side in (_blurred, _sharp):
        home = side(clean, "astronaut_03").parent
        shutil.copyfile(side(clean, "chelsea_01"), home / "leaked.png")
        image = read_image(side(clean, "coffee_02"))
        half = cv2.resize(image, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
        write_image(home / "nearly.png", half)
    report = check_sets(from_folder(clean))
    (compared,) = report.duplicates
    assert (compared.first, compared.second) == ("test.Bilder_für_Müller", "train")
    assert [keys[1].split("/")[-1] for keys in compared.exact] == ["leaked"]
    assert [keys[1].split("/")[-1] for keys in compared.near] == ["nearly"]
    assert "1 images of test.Bilder_für_Müller are nearly equal to 1 of train: " in summary(report)
    assert _kinds(report) == {}
    train = next(one for one in from_folder(clean) if one.split == "train")
    other = FoundSet("against", "train", None, train.dataset)
    everything = check_sets(from_folder(clean)[1:], against=other).duplicates
    assert len(everything[0].exact) == 9


def test_unusual_images_and_names(tmp_path: Path, photograph: np.ndarray) -> None:
    long = "長い名前 " + "ä" * 100
    for side, kernel in (("blur", 9), ("sharp", 1)):
        (tmp_path / side).mkdir()
        image = cv2.blur(photograph, (kernel, 1))
        write_image(tmp_path / side / f"{long}.png", image)
        write_image(tmp_path / side / "sixteen.png", image.astype(np.uint16) * 257)
        write_image(tmp_path / side / "pixel.png", image[:1, :1])
        write_image(tmp_path / side / "flat.png", np.full_like(image, 90 + kernel))
    write_image(tmp_path / "sharp" / "mixed.png", photograph)
    write_image(tmp_path / "blur" / "mixed.png", cv2.blur(photograph, (9, 1)).astype(np.uint16) * 257)
    report = check_sets(from_folder(tmp_path), out=tmp_path / "out")
    assert report.faults() == []
    images = {image["key"]: image for image in report.sets[0].as_json()["images"]}
    assert images[long]["psnr"] == pytest.approx(images["sixteen"]["psnr"], abs=1e-6)
    assert images[long]["psnr"] == pytest.approx(images["mixed"]["psnr"], abs=1e-6)
    assert images["pixel"]["shift"] is images["flat"]["shift"] is None
    assert "could not be measured" in summary(report)
    assert json.loads((tmp_path / "out" / "check.json").read_text(encoding="utf-8"))["sets"][0]["pairs"] == 5


def test_sets_without_truth_and_sets_that_cannot_be_read(clean: Path) -> None:
    component = {"type": "BlurredImages", "blurred": f"{clean}/train/*/blur"}

    class Odd:
        def __len__(self) -> int:
            return 1

    report = check_sets([from_component("real", "test", component), FoundSet("odd", "test", None, Odd())])
    assert len(report.sets[0].pairs) == 7
    assert report.sets[0].as_json()["psnr"] == {}
    assert _kinds(report) == {"unchecked": []}
    assert "a Odd has no keys() and read(index)" in summary(report)


def test_what_a_set_says_of_itself_is_a_fault_or_a_warning(clean: Path) -> None:
    class Half(ImagePairs):
        def verify(self) -> None:
            self.notes.append("half of the official set")
            raise UserError("1 of 2 images: get the other")

    files = [PairFiles("a", _blurred(clean, "ihc_05"), _sharp(clean, "ihc_05"))]
    report = check_sets([FoundSet("test.half", "test", None, Half(files)), FoundSet("none", "train", None, Half([]))])
    assert report.faults() == ["test.half: 1 of 2 images: get the other", "none: it holds no images"]
    assert "warning: half of the official set" in summary(report)


def test_blur_under_a_wrong_name_is_a_warning(tmp_path: Path) -> None:
    component = {"type": "GoPro", "split": "train", "variant": "linear", "root": str(mislabel(make_gopro(tmp_path)))}
    report = check_sets([from_component("train", "train", component)])
    text = summary(report)
    assert "  warning: says variant: linear, but its blur was averaged in light (gamma)\n" in text
    assert "nothing wrong was found" not in text
    assert report.faults() == []
    assert "note" in _kinds(report)
    assert report.sets[0].facts["measured"] == "gamma"


def test_images_smaller_than_the_crop(clean: Path) -> None:
    component = {
        "type": "PairedImages",
        "blurred": f"{clean}/test/*/blur",
        "sharp": f"{clean}/test/*/sharp",
        "crop": 300,
    }
    report = check_sets([from_component("train", "train", component)])
    assert len(report.faults()) == 3
    assert "smaller than the crop of 300 x 300" in report.faults()[0]


def test_wrong_jobs_and_folder(clean: Path) -> None:
    with pytest.raises(UserError, match="jobs: got 0"):
        check_sets([], jobs=0)
    with pytest.raises(UserError, match=r"--out .*it cannot be written"):
        check_sets([], out=_sharp(clean, "ihc_05"))
