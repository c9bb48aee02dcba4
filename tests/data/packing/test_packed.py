from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

from deblurkit.data.loader import SeededSamples
from deblurkit.data.packing.crops import windows
from deblurkit.data.packing.packed import PackedPairs, verify_hashes
from deblurkit.data.packing.writer import pack
from deblurkit.data.paired import BlurredImages, PairedImages
from deblurkit.errors import UserError

ARGUMENTS = {"resize": [80, 90], "crop": 48, "augment": ["hflip", "rot90"]}


def nothing(name: str, done: int, total: int) -> None:
    pass


@pytest.fixture
def packed(pairs: PairedImages, tmp_path: Path) -> Path:
    pack(pairs, tmp_path / "packed")
    return tmp_path / "packed"


def test_the_same_pixels(pairs: PairedImages, packed: Path) -> None:
    stored = PackedPairs(str(packed))
    stored.verify()
    assert stored.keys() == pairs.keys()
    for index in range(len(pairs)):
        ours, theirs = stored.read(index), pairs.read(index)
        assert stored.size(index) == pairs.size(index)
        for side in ("blurred", "sharp"):
            assert ours[side].dtype == theirs[side].dtype
            np.testing.assert_array_equal(ours[side], theirs[side])
    assert {stored.read(i)["blurred"].dtype.name for i in range(len(stored))} == {"uint8", "uint16"}


def test_the_same_samples_whatever_the_workers(tmp_path: Path, packed: Path) -> None:
    source = PairedImages(f"{tmp_path}/photos/*/blur", f"{tmp_path}/photos/*/sharp", **ARGUMENTS)
    stored = PackedPairs(str(packed), **ARGUMENTS)
    positions = [(3, index) for index in range(len(source))]
    expected = [SeededSamples(source, 7)[position] for position in positions]
    for workers, method in ((0, None), (2, "fork"), (1, "spawn")):
        loader = DataLoader(
            SeededSamples(stored, 7), sampler=positions, num_workers=workers, multiprocessing_context=method,
            batch_size=None,
        )  # fmt: skip
        for sample, wanted in zip(loader, expected, strict=True):
            assert sample["key"] == wanted["key"]
            np.testing.assert_array_equal(sample["blurred"], wanted["blurred"])
            np.testing.assert_array_equal(sample["sharp"], wanted["sharp"])


def test_views_of_the_map_are_read_only_and_stay_behind_when_sent(packed: Path) -> None:
    stored = PackedPairs(str(packed))
    image = stored.read(0)["blurred"]
    assert not image.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        image[0, 0] = 0
    assert len(pickle.dumps(stored)) < 10_000 < (packed / "pixels.bin").stat().st_size
    stored.cache()
    assert len(pickle.dumps(stored)) < 10_000
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stored)).read(0)["blurred"], image)


def test_crops(pairs: PairedImages, tmp_path: Path) -> None:
    written = pack(pairs, tmp_path / "crops", crop=96, step=40)
    stored = PackedPairs(str(tmp_path / "crops"), crop=64)
    small = [key for index, key in enumerate(pairs.keys()) if windows(pairs.size(index), 96, 40) is None]
    assert written.notes == [f"{len(small)} of 8 images are smaller than 96 pixels and were kept whole"]
    assert 0 < len(small) < 8
    stored.verify()
    assert stored.notes == written.notes
    assert stored.describe()["stored"] == "packed, crops of 96 step 40"
    place = 0
    for index, key in enumerate(pairs.keys()):
        whole = pairs.read(index)
        areas = windows(pairs.size(index), 96, 40) or [(0, 0, *pairs.size(index))]
        for number, (top, left, height, width) in enumerate(areas, 1):
            found = stored.read(place)
            assert found["key"] == (key if key in small else f"{key}_s{number:03d}")
            for side in ("blurred", "sharp"):
                np.testing.assert_array_equal(found[side], whole[side][top : top + height, left : left + width])
            place += 1
    assert place == len(stored) == written.pairs


def test_blurred_images_without_truth(pairs: PairedImages, tmp_path: Path) -> None:
    source = BlurredImages(f"{tmp_path}/photos/*/blur")
    pack(source, tmp_path / "packed")
    stored = PackedPairs(str(tmp_path / "packed"))
    assert set(stored.read(0)) == {"blurred", "key"}
    assert set(stored.sample(0, np.random.default_rng(0))) == {"blurred", "key"}


class Described(PairedImages):
    def describe(self) -> dict[str, str | int]:
        return {"set": "GoPro", "variant": "linear", "split": "train"}


def test_the_variant_stays_visible(pairs: PairedImages, tmp_path: Path) -> None:
    source = Described(f"{tmp_path}/photos/*/blur", f"{tmp_path}/photos/*/sharp")
    source.notes.append("of 2103 pairs 8 are here")
    pack(source, tmp_path / "packed")
    once = PackedPairs(str(tmp_path / "packed"))
    once.verify()
    measured = {"measured": "linear"}  # which the source, as it describes itself, does not say
    assert once.describe() == {**source.describe(), **measured, "stored": "packed, whole images"}
    assert once.notes == source.notes
    pack(once, tmp_path / "again", crop=64)
    twice = PackedPairs(str(tmp_path / "again"))
    assert twice.describe()["variant"] == "linear"
    assert twice.describe()["stored"] == "packed, whole images, then packed, crops of 64 step 32"


def test_a_home_folder(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(packed.parent))
    assert len(PackedPairs("~/packed")) == 8


def private_bytes() -> int:
    """What this process shares with no other, in bytes."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Private_"))


def test_a_forked_worker_copies_little_of_the_index(packed: Path, in_child: Callable[..., int]) -> None:
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("needs Linux")
    file = packed / "index.json"
    index = json.loads(file.read_text())
    index["items"] = [{**index["items"][i % 8], "key": f"GOPR0372_07_00/{i:06d}_s001"} for i in range(16824)]
    file.write_text(json.dumps(index))
    del index
    stored = PackedPairs(str(packed))
    stored.read(0)

    def read_in_worker() -> None:
        before = private_bytes()
        for number in np.random.default_rng(0).permutation(len(stored))[:5000]:
            stored.read(int(number))
        os._exit(private_bytes() - before > 2 * 2**20)

    assert in_child(read_in_worker) == 0


def test_damage_is_found(packed: Path) -> None:
    assert verify_hashes(packed, nothing) == 8
    stored = PackedPairs(str(packed))
    pixels = packed / "pixels.bin"
    with pixels.open("r+b") as file:
        file.seek(json.loads((packed / "index.json").read_text())["items"][3]["sharp"]["offset"] + 500)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    stored.verify()
    with pytest.raises(UserError, match="sharp pixels are not those") as caught:
        verify_hashes(packed, nothing)
    assert len(caught.value.problems) == 1
    assert stored.keys()[3] in caught.value.problems[0]
    os.truncate(pixels, pixels.stat().st_size - 1)
    shorter = PackedPairs(str(packed))
    for use in (shorter.verify, lambda: shorter.read(0)):
        with pytest.raises(UserError, match="not copied whole"):
            use()


def test_small_images_are_found_before_training(packed: Path) -> None:
    with pytest.raises(UserError, match="smaller than the crop of 100 x 100"):
        PackedPairs(str(packed), crop=100).verify()


def without(key: str) -> Callable[[dict], dict]:
    return lambda index: {name: value for name, value in index.items() if name != key}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (without("source"), "it lacks source"),
        (lambda index: {**index, "format": 99}, "update deblurkit"),
        (lambda index: {**index, "kind": "lmdb"}, "not the index of a packed set"),
        (lambda index: {**index, "items": []}, "damaged"),
        (lambda index: {**index, "items": [{"key": "a"}]}, "damaged"),
        (lambda index: {**index, "items": [{**index["items"][0], "h": 2**70}]}, "damaged"),
        (lambda index: [], "not the index of a packed set"),
    ],
)
def test_a_damaged_index(packed: Path, change: Callable[[dict], object], problem: str) -> None:
    file = packed / "index.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(UserError, match=problem):
        PackedPairs(str(packed))


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "set.partial").mkdir()
    with pytest.raises(UserError, match="run the same command again to go on"):
        PackedPairs(str(tmp_path / "set"))
    with pytest.raises(UserError, match=r"deblurkit prepare-data makes one"):
        PackedPairs(str(tmp_path))
