from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from unreadable import shut

from deblurkit.data.checking.discover import from_component, from_folder, from_options, from_source
from deblurkit.data.checking.sets import assess
from deblurkit.errors import UserError
from deblurkit.options.load import load_options


def _names(folder: Path) -> dict[str, int]:
    found = from_folder(folder)
    assert not [one.faults for one in found if one.faults]
    return {one.name: len(one.dataset) for one in found}


def _move(root: Path, moves: dict[str, str]) -> None:
    for source, target in moves.items():
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(root / source, root / target)


def test_gopros_layout(clean: Path) -> None:
    assert _names(clean) == {"train": 7, "test.Bilder_für_Müller": 3}
    train = from_folder(clean)[1]
    assert train.component is not None
    assert train.component["blurred"] == f"{clean}/train/*/blur"
    assert train.split == "train"


@pytest.mark.parametrize(("blurred", "sharp"), [("input", "target"), ("lq", "gt"), ("Blurred", "GT"), ("LQ", "HQ")])
def test_names_of_folders(clean: Path, blurred: str, sharp: str) -> None:
    _move(clean, {"train/sequence 0/blur": f"flat/{blurred}", "train/sequence 0/sharp": f"flat/{sharp}"})
    assert _names(clean / "flat") == {"train": len(list((clean / "flat" / sharp).iterdir()))}


def test_both_variants_of_gopro_are_sets_of_their_own(clean: Path) -> None:
    for blur in list(clean.glob("*/*/blur")):
        shutil.copytree(blur, blur.with_name("blur_gamma"))
    sizes = _names(clean)
    assert len(sizes) == 4
    assert sizes["train.Bilder_für_Müller_blur_gamma"] == sizes["train.Bilder_für_Müller_blur"] == 7


def test_several_data_sets_and_any_depth(clean: Path, tmp_path: Path) -> None:
    root = tmp_path / "all"
    shutil.copytree(clean, root / "GoPro")
    shutil.copytree(clean / "test", root / "HIDE" / "testing")
    shutil.copytree(clean / "test" / "sequence 0", root / "GoPro" / "train" / "deep" / "er")
    sizes = _names(root)
    assert set(sizes) == {"train", "test.GoPro", "test.HIDE"}
    assert sizes["train"] == 7 + len(list((clean / "test" / "sequence 0" / "blur").iterdir()))


def test_a_missing_side_is_a_fault(clean: Path) -> None:
    for sharp in list((clean / "test").glob("*/sharp")):
        shutil.rmtree(sharp)
    faults = [line for one in from_folder(clean) for line in one.faults]
    assert faults == [
        f"{clean}/test: no folder of sharp images in it; known names: sharp, gt, target, hq",
    ]


def test_orphans_leave_the_rest_to_be_looked_at(clean: Path) -> None:
    lonely = sorted(clean.glob("train/*/sharp/*.png"))[:2]
    for file in lonely:
        file.unlink()
    found = from_component(
        "train",
        "train",
        {"type": "PairedImages", "blurred": f"{clean}/train/*/blur", "sharp": f"{clean}/train/*/sharp"},
    )
    assert len(found.dataset.keys()) == 5
    assert found.orphans["blurred"] == [str(file.parents[1] / "blur" / file.name) for file in lonely]
    assert found.orphans["sharp"] == []
    assert len(found.faults) == 2
    assert all("has no sharp image" in line for line in found.faults)


@pytest.mark.parametrize(
    ("changed", "fault", "looked_at"),
    [
        ({"crop": -3}, "crop: got -3", 7),
        ({"augment": ["hflop"]}, "hflop", 7),
        ({"sharp": None}, "sharp: got None", 0),
        ({"blurred": 5}, "blurred: got 5", 0),
        ({"blurred": "train/*\0/blur"}, "blurred", 0),
    ],
)
def test_a_component_that_cannot_be_built_is_a_fault(
    clean: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], fault: str, looked_at: int
) -> None:
    monkeypatch.chdir(clean)
    component = {"type": "PairedImages", "blurred": "train/*/blur", "sharp": "train/*/sharp"}
    found = from_component("train", "train", {**component, **changed})
    assert any(fault in line for line in found.faults)
    assert (0 if found.dataset is None else len(found.dataset)) == looked_at


def test_a_side_that_is_not_given_is_a_fault() -> None:
    found = from_component("train", "train", {"type": "PairedImages", "blurred": "blur"})
    assert found.dataset is None
    assert "'sharp'" in found.faults[0]


def test_a_folder_that_cannot_be_looked_into_is_a_fault(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clean)
    folder = Path("train", "sequence 0", "blur")
    component = {"type": "PairedImages", "blurred": "train/*/blur", "sharp": "train/*/sharp"}
    with shut(folder):
        found = from_component("train", "train", component)
    assert found.dataset is None
    assert found.faults == [f"blurred: {folder}: it cannot be looked into: Permission denied"]


def test_links_that_go_round_end(clean: Path) -> None:
    os.symlink(clean, clean / "train" / "again", target_is_directory=True)
    os.symlink(clean / "train", clean / "test" / "other", target_is_directory=True)
    os.symlink(clean / "train", clean / "train" / "sequence 0" / "blur" / "up", target_is_directory=True)
    assert from_folder(clean)


def test_nothing_to_find(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no folder in it is named as blurred \(blur, .* --blurred and --sharp"):
        from_folder(tmp_path)
    with pytest.raises(UserError, match="there is no such folder"):
        from_folder(tmp_path / "nowhere")


def test_an_experiments_sets_and_a_named_one(checkout: Path) -> None:
    found = from_options(load_options(str(checkout / "options" / "quickstart.yml")))
    assert [(one.name, one.split) for one in found] == [("train", "train"), ("val.sample, test.sample", "val")]
    assert [len(one.dataset) for one in found] == [128, 18]
    named = from_source(f"{checkout}/options/quickstart.yml:test.sample")
    assert (named.name, named.split, len(named.dataset)) == ("test.sample", "test", 18)
    assert from_source("{type: SamplePairs, split: test}", name="against").name == "against"


def test_each_of_several_training_sets_is_checked(checkout: Path, tmp_path: Path) -> None:
    """Sets of the same images are one; those of a test set stay apart, to be compared."""
    file = tmp_path / "several.yml"
    sets = ["{type: SamplePairs, split: train, limit: 9}", "{type: SamplePairs, split: test, crop: 32}"]
    sets.append("{type: SamplePairs, split: train, repeat: 2}")
    file.write_text(f"_base_: {checkout}/options/quickstart.yml\ndatasets: {{train: [{', '.join(sets)}]}}\n")
    found = from_options(load_options(str(file)))
    assert [one.name for one in found] == ["train.0, train.2", "train.1", "val.sample, test.sample"]
    assert [one.split for one in found] == ["train", "train", "val"]
    named = from_source(f"{file}:train.1")
    assert (named.name, named.split) == ("train.1", "train")


def test_a_published_test_set_that_is_not_here_is_no_fault(tmp_path: Path) -> None:
    """Testing leaves it out; a training without its set is refused."""
    component = {"type": "Kohler", "root": str(tmp_path / "Kohler")}
    found = from_component("test.kohler", "test", component)
    assert (found.faults, found.dataset) == ([], None)
    assert found.missing.startswith(f"there is no folder {tmp_path / 'Kohler'}")
    (finding,) = assess(found, []).findings
    assert (finding.kind, finding.fault) == ("missing", False)
    assert from_component("train", "train", component).faults
    (tmp_path / "Kohler").mkdir()
    assert from_component("test.kohler", "test", component).faults, "it is here and not as it should be"
