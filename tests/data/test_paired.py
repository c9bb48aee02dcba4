from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deblurkit.data.images import write_image
from deblurkit.data.paired import BlurredImages, PairedImages, find_images
from deblurkit.errors import UserError


def _write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, image)


@pytest.fixture
def gopro(tmp_path: Path, photograph: np.ndarray) -> Path:
    """Two sequences that repeat file names, as GoPro does, under a path with spaces and umlauts."""
    root = tmp_path / "Bilder für Müller" / "train"
    for shade, sequence in enumerate(["GOPR0372_07_00", "GOPR0374_11_00"]):
        for frame in ("000047", "000048"):
            for side in ("blur", "sharp"):
                _write(root / sequence / side / f"{frame}.png", photograph // (shade + 1))
    return root


def test_pairs_are_matched_by_path_not_by_stem(gopro: Path, photograph: np.ndarray) -> None:
    pairs = PairedImages(f"{gopro}/*/blur", f"{gopro}/*/sharp")
    assert pairs.keys() == [f"{s}/{f}" for s in ("GOPR0372_07_00", "GOPR0374_11_00") for f in ("000047", "000048")]
    np.testing.assert_array_equal(pairs.read(3)["sharp"], photograph // 2)
    pairs.verify()
    sample = pairs.sample(0, np.random.default_rng(0))
    assert sample["blurred"].shape == (3, 120, 160)
    assert sample["key"] == "GOPR0372_07_00/000047"
    patterns = {"blurred": f"{gopro}/*/blur", "sharp": f"{gopro}/*/sharp"}
    assert pairs.describe() == {"set": "PairedImages", "measured": "unclear", **patterns}  # four pairs tell nothing
    assert BlurredImages(patterns["blurred"]).describe() == {"set": "BlurredImages", "blurred": patterns["blurred"]}


@pytest.mark.parametrize(
    ("pattern", "keys"),
    [
        ("a/b", ["1", "c/2"]),
        ("a", ["b/1", "b/c/2"]),
        ("a/**", ["b/1", "b/c/2"]),
        ("a/*", ["b/1", "b/c/2"]),
        ("**/*.png", ["a/b/1"]),
        ("*/b/*", ["a/1", "a/c/2"]),
        ("a/**/2*", ["b/c"]),
        ("**/c", ["a/b/2"]),
        ("a/b/*.png", ["1"]),
        ("none/*", []),
    ],
)
def test_what_patterns_find(tmp_path: Path, photograph: np.ndarray, pattern: str, keys: list[str]) -> None:
    _write(tmp_path / "a" / "b" / "1.png", photograph)
    _write(tmp_path / "a" / "b" / "c" / "2.jpg", photograph)
    (tmp_path / "a" / "b" / "._1.png").write_text("left by a file manager")
    (tmp_path / "a" / "b" / "notes.txt").write_text("no image")
    assert [key for key, _ in find_images(f"{tmp_path}/{pattern}")] == keys


def test_wildcards_inside_names(tmp_path: Path, photograph: np.ndarray) -> None:
    for number in ("001", "002"):
        _write(tmp_path / f"img_{number}_blurred[1].png", photograph)
        _write(tmp_path / f"img_{number}_sharp.jpg", photograph)
    pairs = PairedImages(f"{tmp_path}/img_*_blurred[1].png", f"{tmp_path}/img_*_sharp.jpg")
    assert pairs.keys() == ["001", "002"]


def test_everything_missing_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "sharp").mkdir()
    with pytest.raises(UserError) as caught:
        PairedImages(f"{tmp_path}/GoPro/train/*/blur", f"{tmp_path}/sharp")
    blurred, sharp = caught.value.problems
    assert "blurred: " in blurred
    assert f"there is no folder {tmp_path}/GoPro/train (the nearest that exists is {tmp_path})" in blurred
    assert "datasets/README.md" in blurred
    assert "sharp: " in sharp
    assert "the folder holds no image" in sharp


def test_orphans_and_double_keys(gopro: Path, photograph: np.ndarray) -> None:
    _write(gopro / "GOPR0372_07_00" / "blur" / "lonely.png", photograph)
    _write(gopro / "GOPR0372_07_00" / "blur" / "000047.jpg", photograph)
    for number in range(13):
        _write(gopro / "GOPR0374_11_00" / "sharp" / f"extra{number:02d}.png", photograph[:4, :4])
    with pytest.raises(UserError) as caught:
        PairedImages(f"{gopro}/*/blur", f"{gopro}/*/sharp")
    problems = caught.value.problems
    assert len(problems) == 1 + 1 + 11
    assert "000047.jpg and" in problems[0]
    assert "have the same key 'GOPR0372_07_00/000047'" in problems[0]
    assert "lonely.png has no sharp image (key 'GOPR0372_07_00/lonely')" in problems[1]
    assert problems[-1] == "... and 3 more of this kind"


def test_bad_files_are_found_before_training(gopro: Path, photograph: np.ndarray) -> None:
    first, second = gopro / "GOPR0372_07_00", gopro / "GOPR0374_11_00"
    data = (first / "blur" / "000047.png").read_bytes()
    (first / "blur" / "000047.png").write_bytes(data[: len(data) // 2])
    write_image(first / "sharp" / "000048.png", photograph[:100])
    for side in ("blur", "sharp"):
        write_image(second / side / "000047.png", photograph[:60])
    pairs = PairedImages(f"{gopro}/*/blur", f"{gopro}/*/sharp", crop=64)
    with pytest.raises(UserError) as caught:
        pairs.verify()
    unreadable, size, crop = caught.value.problems
    assert "GOPR0372_07_00/blur/000047.png: it cannot be decoded" in unreadable
    assert "120 x 160 pixels (h x w), but its sharp image" in size
    assert size.endswith("000048.png has 100 x 160")
    assert "60 x 160 pixels (h x w), smaller than the crop of 64 x 64" in crop
    with pytest.raises(UserError, match="its sharp image"):
        pairs.read(1)
    with pytest.raises(UserError, match="GOPR0374_11_00/000047: 60 x 160 pixels"):
        pairs.sample(2, np.random.default_rng(0))
    PairedImages(f"{second}/blur", f"{second}/sharp", resize=64, crop=64).verify()


def test_crop_and_flips_keep_pairs_aligned(gopro: Path) -> None:
    pairs = PairedImages(f"{gopro}/*/blur", f"{gopro}/*/sharp", resize=96, crop=48, augment=["hflip", "vflip", "rot90"])
    samples = [pairs.sample(0, np.random.default_rng([seed])) for seed in range(8)]
    for sample in samples:
        assert sample["blurred"].shape == (3, 48, 48)
        assert bool((sample["blurred"] == sample["sharp"]).all())
    assert len({sample["blurred"].numpy().tobytes() for sample in samples}) == 8


def test_wrong_augmentations(gopro: Path) -> None:
    with pytest.raises(UserError, match=r"augment\[0\].*'hflop' \(did you mean 'hflip'\?\)"):
        PairedImages(f"{gopro}/*/blur", f"{gopro}/*/sharp", augment=["hflop"])
    with pytest.raises(ValueError, match=r"augment: got 'hflip', expected a list"):
        PairedImages(f"{gopro}/*/blur", f"{gopro}/*/sharp", augment="hflip")
    (gopro / "list.txt").write_text("no image")
    with pytest.raises(UserError, match="this is a file and no image; expected a folder or a glob"):
        BlurredImages(f"{gopro}/list.txt")


def test_blurred_images_have_no_truth(gopro: Path) -> None:
    images = BlurredImages(f"{gopro}/*/blur")
    images.verify()
    assert len(images) == 4
    assert set(images.sample(1, np.random.default_rng(0))) == {"blurred", "key"}


def test_cached_images_need_no_files(gopro: Path) -> None:
    pairs = PairedImages(f"{gopro}/*/blur", f"{gopro}/*/sharp")
    pairs.cache(2)
    for file in gopro.rglob("*.png"):
        file.unlink()
    assert pairs.sample(1, np.random.default_rng(0))["key"] == "GOPR0372_07_00/000048"
    with pytest.raises(UserError, match="it cannot be read"):
        pairs.read(2)
