"""Each published set in its official layout: what is found, and what is said of what is missing or wrong."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unreadable import shut

from deblurkit.data.benchmarks.hide import HIDE
from deblurkit.data.benchmarks.kohler import Kohler
from deblurkit.data.images import read_image
from deblurkit.errors import UserError
from deblurkit.registry import DATASETS

J = "RealBlur-J_ECC_IMCORR_centroid_itensity_ref"
GOPRO_TRAIN = [f"{s}/00004{n}" for s in ("GOPR0372_07_00", "GOPR0374_11_00") for n in (7, 8)]
REDS_TRAIN = [f"{s}/{n:08}" for s in ("000", "239") for n in (8, 9, 99)]
LAI = [f"{image}_{{}}_0{n}" for image in ("manmade_01", "text_05") for n in (1, 4)]

Case = tuple[dict[str, Any], list[str], int]
CASES: dict[str, Case] = {  # arguments, keys in the tree, pairs in the published set
    "gopro-train": ({"type": "GoPro", "split": "train", "variant": "linear"}, GOPRO_TRAIN, 2103),
    "gopro-test-gamma": (
        {"type": "GoPro", "split": "test", "variant": "gamma"},
        ["GOPR0384_11_00/000047", "GOPR0384_11_00/000048"],
        1111,
    ),
    "hide-train": ({"type": "HIDE", "split": "train"}, ["1fromGOPR0950", "2fromGOPR0950"], 6397),
    "hide-test": (
        {"type": "HIDE", "split": "test"},
        ["test-close-ups/108fromGOPR1096", "test-long-shot/3fromGOPR1096"],
        2025,
    ),
    "realblur-j-train": (
        {"type": "RealBlur", "split": "train", "kind": "J"},
        ["scene001/1", "scene001/10", "scene002/1", "scene002/10"],
        3758,
    ),
    "realblur-r-test": (
        {"type": "RealBlur", "split": "test", "kind": "R"},
        ["scene003/1", "scene003/10"],
        980,
    ),
    "kohler": ({"type": "Kohler"}, [f"Blurry{p}_{s}" for p in (1, 2) for s in (1, 2, 10)], 48),
    "lai-real": ({"type": "Lai", "part": "real"}, ["Pantheon", "boat1"], 100),
    "lai-uniform": ({"type": "Lai", "part": "uniform"}, [key.format("kernel") for key in LAI], 100),
    "lai-nonuniform": ({"type": "Lai", "part": "nonuniform"}, [key.format("gyro") for key in LAI], 100),
    "reds-train": ({"type": "REDS", "split": "train", "variant": "blur"}, REDS_TRAIN, 24000),
    "reds-val-comp": (
        {"type": "REDS", "split": "val", "variant": "blur_comp"},
        ["000/00000008", "000/00000009", "000/00000099"],
        3000,
    ),
    "reds-val300": (
        {"type": "REDS", "split": "val300", "variant": "blur_jpeg"},
        ["000/00000009", "000/00000099"],
        300,
    ),
}
TOPS = {"GoPro": "GOPRO_Large", "HIDE": "HIDE_dataset", "RealBlur": "RealBlur"}


def build(arguments: dict[str, Any], root: Path) -> Any:
    return DATASETS.build({**arguments, "root": str(root)}, where="data")


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def test_official_layout(case: Case, trees: Any) -> None:
    arguments, keys, published = case
    data = build(arguments, trees.make(arguments["type"]))
    assert data.keys() == keys
    data.verify()
    assert f"{len(keys)} of {published} images" in data.notes
    facts = data.describe()
    said = {"set" if key == "type" else key: value for key, value in arguments.items()}
    assert said.items() <= facts.items()
    assert facts["images"] == len(keys)
    pair = data.read(0)
    assert ("sharp" in pair) == (arguments.get("part") != "real")
    if "sharp" in pair and arguments.get("variant") != "blur_jpeg":
        np.testing.assert_array_equal(pair["sharp"], trees.small)
        np.testing.assert_array_equal(pair["blurred"], np.roll(trees.small, 1, axis=1))
    before = list(data.notes)
    data.verify()
    assert data.notes == before, "looking twice says nothing twice"


def test_relative_to_the_current_directory(case: Case, trees: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, keys, _ = case
    trees.make(arguments["type"])
    monkeypatch.chdir(trees.folder)
    assert DATASETS.build(arguments).keys() == keys


def test_nothing_there_says_how_to_get_it(case: Case, trees: Any, tmp_path: Path) -> None:
    arguments = case[0]
    root = tmp_path / "datasets" / "none"
    with pytest.raises(UserError) as caught:
        build(arguments, root)
    looked, get, expected = caught.value.problems
    assert f"no image found in any of {root}" in looked
    assert f"there is no folder {root} (the nearest that exists is {tmp_path})" in looked
    assert " at https://" in get
    assert f"unpack into {root}" in get
    assert f"expected {root}/" in expected


@pytest.mark.parametrize("name", TOPS)
def test_the_archive_own_top_folder(name: str, trees: Any) -> None:
    root = trees.make(name, TOPS[name])
    for arguments, keys, _ in CASES.values():
        if arguments["type"] == name:
            assert build(arguments, root).keys() == build(arguments, root / TOPS[name]).keys() == keys


@pytest.mark.parametrize("place", ["{split}", "{name}/{split}", "{split}/{name}"])
@pytest.mark.parametrize(
    ("arguments", "name", "file", "key"),
    [
        ({"type": "GoPro", "split": "train", "variant": "linear"}, "GoPro", "GOPR0372_07_00-000047", None),
        ({"type": "HIDE", "split": "test"}, "HIDE", "108fromGOPR1096", "108fromGOPR1096"),
        ({"type": "RealBlur", "split": "test", "kind": "R"}, "RealBlur_R", "scene003-1", "scene003-1"),
    ],
)
def test_repackaged(place: str, arguments: Any, name: str, file: str, key: str | None, trees: Any) -> None:
    root = trees.folder / "Datasets"
    for side in ("input", "target"):
        trees.add(root / place.format(split=arguments["split"], name=name) / side / f"{file}.png")
    data = build(arguments, root)
    assert data.keys() == [key or "GOPR0372_07_00/000047"]
    data.verify()
    np.testing.assert_array_equal(data.read(0)["sharp"], trees.small)
    if name == "GoPro":
        with pytest.raises(UserError, match=r"variant: got 'gamma', but .*input is a repackaged copy"):
            build({**arguments, "variant": "gamma"}, root)
    if name == "HIDE":
        with pytest.raises(UserError, match=r"subset: got 'long-shot', but .*input is a repackaged copy"):
            build({**arguments, "subset": "long-shot"}, root)


def test_the_same_set_twice_is_ambiguous(trees: Any) -> None:
    trees.make("GoPro")
    root = trees.make("GoPro", "GOPRO_Large")
    with pytest.raises(UserError, match=r"holds the set more than once, in .*GOPRO_Large/train.*: name one of them"):
        build(CASES["gopro-train"][0], root)


@pytest.mark.parametrize(
    ("case_name", "gone", "message"),
    [
        ("gopro-train", "train/GOPR0374_11_00/sharp", "GOPR0374_11_00/blur: none of its 2 images has a sharp one"),
        ("gopro-train", "train/GOPR0374_11_00/blur", "GOPR0374_11_00/sharp: none of its 2 images has a blurred one"),
        ("gopro-train", "train/GOPR0372_07_00/sharp/000048.png", "blur/000048.png has no sharp image"),
        ("gopro-test-gamma", "test/GOPR0384_11_00/blur_gamma", r"test/\*/blur_gamma: no image there, though"),
        ("hide-test", "GT", "HIDE/GT: no image there, though .*close-ups and .*long-shot has 2"),
        ("hide-train", "GT/1fromGOPR0950.png", "train/1fromGOPR0950.png has no sharp image"),
        ("realblur-j-train", "RealBlur_J_train_list.txt", "is there, but not .*RealBlur_J_train_list.txt, which says"),
        ("realblur-j-train", f"{J}/scene002/gt", "scene002/blur: none of its 2 images has a sharp one"),
        ("realblur-j-train", f"{J}/scene001/blur/blur_10.png", "gt/gt_10.png has no blurred image"),
        ("kohler", "Image1", r"Blurry1_1.png: it has no sharp frames: looked for .*; get GroundTruth_pngs_Image1.zip"),
        ("lai-uniform", "synthetic_dataset/ground_truth/text_05.png", "text_05_kernel_01.png has no sharp image"),
        ("lai-nonuniform", "synthetic_dataset/ground_truth", "ground_truth: no image there, though .*nonuniform has 4"),
        ("reds-train", "train/train_sharp", r"train_sharp/\*: no image there, though .*train_blur/\* has 6"),
        ("reds-val300", "val/val_sharp/000/00000009.png", "val_blur_jpeg/000/00000009.jpg has no sharp image"),
    ],
)
def test_missing_parts_are_named(case_name: str, gone: str, message: str, trees: Any) -> None:
    arguments = CASES[case_name][0]
    root = trees.make(arguments["type"])
    path = root / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(UserError, match=message):
        build(arguments, root)


def test_damaged_files_and_unequal_sizes_are_found(trees: Any) -> None:
    root = trees.make("RealBlur")
    (root / J / "scene001" / "gt" / "gt_1.png").write_bytes(b"")
    data = build(CASES["realblur-j-train"][0], root)
    with pytest.raises(UserError, match=r"gt_1.png: it cannot be decoded"):
        data.verify()


def test_more_images_than_published_are_noted(trees: Any) -> None:
    data = build(CASES["gopro-train"][0], trees.make("GoPro"))
    data.expected = 3
    data.verify()
    assert data.notes == ["4 images, 1 more than the published set has"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"type": "GoPro", "split": "train"}, "missing 1 required positional argument: 'variant'"),
        ({"type": "GoPro", "split": "val", "variant": "linear"}, "split: got 'val', expected one of train, test"),
        ({"type": "GoPro", "split": "test", "variant": "gama"}, r"variant: got 'gama'.*\(did you mean 'gamma'\?\)"),
        ({"type": "HIDE", "split": "train", "subset": "long-shot"}, "the training images have none: leave it out"),
        ({"type": "RealBlur", "split": "test", "kind": "j"}, r"kind: got 'j', .*did you mean 'J'"),
        ({"type": "Lai", "part": "synthetic"}, "part: got 'synthetic', expected one of real, uniform, nonuniform"),
        ({"type": "REDS", "split": "test", "variant": "blur"}, "split: got 'test', expected one of train, val"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DATASETS.build(arguments)


def test_resize_crop_and_augment_reach_the_samples(trees: Any) -> None:
    for name in ("gopro-train", "hide-train", "realblur-j-train", "reds-train"):
        arguments = CASES[name][0]
        root = trees.make(arguments["type"])
        data = build({**arguments, "resize": [20, 28], "crop": 16, "augment": ["hflip"]}, root)
        assert data.sample(0, np.random.default_rng(0))["sharp"].shape == (3, 16, 16)


@pytest.mark.parametrize("name", ["lai-real", "lai-uniform"])
def test_lai_by_its_own_folder(name: str, trees: Any) -> None:
    arguments, keys, _ = CASES[name]
    folder = "real_dataset" if name == "lai-real" else "synthetic_dataset"
    assert build(arguments, trees.make("Lai") / folder).keys() == keys


def test_hide_subsets(trees: Any) -> None:
    root = str(trees.make("HIDE"))
    assert HIDE("test", "close-ups", root).keys() == ["test-close-ups/108fromGOPR1096"]
    subset = HIDE("test", "long-shot", root)
    subset.verify()
    assert (subset.keys(), subset.notes) == (["test-long-shot/3fromGOPR1096"], [])
    assert subset.describe()["subset"] == "long-shot"


def test_kohler_gives_the_middle_frame_and_all_of_them(trees: Any) -> None:
    root = trees.make("Kohler")
    for frame in (1, 2, 3, 10, 11):
        trees.small[:] = frame
        trees.add(root / f"Image1/Kernel10/GroundTruth1_10_{frame}.png")
    data = Kohler(str(root))
    assert [int(frame[0, 0, 0]) for frame in data.truths(2)] == [1, 2, 3, 10, 11], "by number, not by name"
    assert int(data.read(2)["sharp"][0, 0, 0]) == 3, "of those there, the nearest to 6, the middle of 11"
    data.verify()
    assert "Blurry1_10: 5 sharp frames, expected 198 to 200" in data.notes
    np.testing.assert_array_equal(data.read(2)["blurred"], read_image(root / "Blurry1_10.png"))


def test_realblur_lists_are_checked(trees: Any) -> None:
    root = trees.make("RealBlur")
    names = root / "RealBlur_J_test_list.txt"
    names.write_text(f"{J}/scene003/gt/gt_1.png\n\n{J}/scene003/gt/gt_1.png {J}/scene001/blur/blur_1.png\n")
    with pytest.raises(UserError) as caught:
        build({"type": "RealBlur", "split": "test", "kind": "J"}, root)
    assert [line.split(": got")[0] for line in caught.value.problems] == [f"{names}:1", f"{names}:3"]


def test_names_that_differ_in_their_ending_only(trees: Any) -> None:
    root = trees.make("GoPro")
    trees.add(root / "train/GOPR0372_07_00/blur/000047.jpg")
    (root / "train/GOPR0372_07_00/blur/._000048.png").write_text("left by a file manager")
    (root / "train/notes.txt").write_text("no sequence")
    with pytest.raises(UserError, match=r"000047.jpg and 000047.png have the same name; remove one"):
        build(CASES["gopro-train"][0], root)


@pytest.mark.parametrize(
    ("component", "folder"),
    [
        ({"type": "GoPro", "split": "train", "variant": "linear"}, "train/GOPR0372_07_00/blur"),
        ({"type": "GoPro", "split": "test", "variant": "linear"}, "test"),
        ({"type": "HIDE", "split": "test"}, "GT"),
        ({"type": "RealBlur", "split": "train", "kind": "J"}, f"{J}/scene001/blur"),
        ({"type": "Kohler"}, ""),
        ({"type": "Lai", "part": "real"}, "real_dataset"),
        ({"type": "REDS", "split": "val", "variant": "blur"}, "val/val_sharp/000"),
    ],
)
def test_a_folder_that_cannot_be_looked_into_is_named_once(
    trees: Any, monkeypatch: pytest.MonkeyPatch, component: dict[str, Any], folder: str
) -> None:
    root = trees.make(component["type"])
    monkeypatch.chdir(root.parent)
    refused = Path(root.name, folder)
    with shut(refused), pytest.raises(UserError) as caught:
        DATASETS.build({**component, "root": root.name}, where="train")
    (problem,) = caught.value.problems
    assert str(refused) in problem
    assert problem.endswith("it cannot be looked into: Permission denied")


def test_lais_photographs_are_cropped_for_testing(trees: Any) -> None:
    data = build({"type": "Lai", "part": "real", "crop": 16}, trees.make("Lai"))
    assert data.sample(0, np.random.default_rng(0))["blurred"].shape == (3, 16, 16)
    assert data.describe()["crop"] == "16 x 16 pixels (h x w)"
    assert data.sample_size(0) == (16, 16)
