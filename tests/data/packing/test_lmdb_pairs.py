from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from basicsr_oracle import basicsr
from torch.utils.data import DataLoader

from deblurkit.data.images import ImageReadError
from deblurkit.data.loader import SeededSamples
from deblurkit.data.packing import lmdb_pairs
from deblurkit.data.packing.lmdb_pairs import LMDBPairs, write_lmdb
from deblurkit.data.paired import BlurredImages, PairedImages
from deblurkit.errors import UserError

ROOT = Path(__file__).resolve().parents[3]

BASICSR = """
import sys
import numpy as np
from deblurkit.compat import import_basicsr
import_basicsr()
from basicsr.data.paired_image_dataset import PairedImageDataset
from basicsr.utils.lmdb_util import make_lmdb_from_imgs

ours, photos, theirs, *keys = sys.argv[1:]
opt = {"dataroot_gt": f"{ours}/sharp.lmdb", "dataroot_lq": f"{ours}/blurred.lmdb", "io_backend": {"type": "lmdb"},
       "phase": "val", "scale": 1}
for item in PairedImageDataset(opt):
    for side in ("lq", "gt"):
        levels = (item[side].numpy().transpose(1, 2, 0) * 255).round().astype(np.uint8)
        np.save(f"{ours}/{item['lq_path'].replace('/', '+')}.{side}.npy", levels)
for side, name in (("blur", "blurred"), ("sharp", "sharp")):
    paths = [f"{key.split('/')[0]}/{side}/{key.split('/')[1]}.png" for key in keys]
    make_lmdb_from_imgs(photos, f"{theirs}/{name}.lmdb", paths, keys)
"""


def opened(folder: Path, **arguments: object) -> LMDBPairs:
    return LMDBPairs(str(folder / "blurred.lmdb"), str(folder / "sharp.lmdb"), **arguments)


def assert_same(found: LMDBPairs, expected: PairedImages) -> None:
    assert found.keys() == expected.keys()
    for index in range(len(expected)):
        assert found.size(index) == expected.size(index)
        for side in ("blurred", "sharp"):
            np.testing.assert_array_equal(found.read(index)[side], expected.read(index)[side])
            assert found.read(index)[side].dtype == expected.read(index)[side].dtype


def test_the_same_pixels(pairs: PairedImages, tmp_path: Path) -> None:
    written = write_lmdb(pairs, tmp_path / "set")
    assert written.pairs == 8
    stored = opened(tmp_path / "set")
    stored.verify()
    assert_same(stored, pairs)
    assert stored.describe() == {**pairs.describe(), "measured": "linear", "stored": "lmdb, whole images"}


def test_basicsr_reads_ours_and_ours_reads_basicsrs(
    pairs: PairedImages, tmp_path: Path, photograph: np.ndarray
) -> None:
    basicsr("data")
    write_lmdb(pairs, tmp_path / "set")
    keys = ["one/a", "one/b", "two/a"]
    for number, key in enumerate(keys):
        for side in ("blur", "sharp"):
            file = tmp_path / "others" / key.split("/")[0] / side / f"{key.split('/')[1]}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            image = photograph[: 50 + number, :, ::-1] if number else photograph[:50, :, 1]  # one of them grey
            cv2.imwrite(str(file), image)
    done = subprocess.run(
        [sys.executable, "-c", BASICSR, str(tmp_path / "set"), str(tmp_path / "others"), str(tmp_path), *keys],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for index, key in enumerate(pairs.keys()):
        pair = pairs.read(index)
        name = lmdb_pairs._escaped(key).replace("/", "+")
        for side, image in (("lq", pair["blurred"]), ("gt", pair["sharp"])):
            expected = (image >> 8).astype(np.uint8) if image.dtype == np.uint16 else image
            np.testing.assert_array_equal(np.load(tmp_path / "set" / f"{name}.{side}.npy"), expected)
    stored = opened(tmp_path)
    stored.verify()
    assert_same(stored, PairedImages(f"{tmp_path}/others/*/blur", f"{tmp_path}/others/*/sharp"))
    blurred, sharp = str(tmp_path / "blurred.lmdb"), str(tmp_path / "sharp.lmdb")
    assert opened(tmp_path).describe() == {"set": "LMDBPairs", "blurred": blurred, "sharp": sharp}
    assert LMDBPairs(blurred).describe() == {"set": "LMDBPairs", "blurred": blurred}


def test_the_same_samples_in_workers_after_use_in_the_parent(pairs: PairedImages, tmp_path: Path) -> None:
    write_lmdb(pairs, tmp_path / "set", crop=70, step=30)
    stored = opened(tmp_path / "set", crop=64, augment=["hflip"])
    positions = [(0, index) for index in range(len(stored))]
    expected = [SeededSamples(stored, 1)[position] for position in positions]  # opened here, then forked
    loader = DataLoader(SeededSamples(stored, 1), sampler=positions, num_workers=2, batch_size=None)
    for sample, wanted in zip(loader, expected, strict=True):
        assert sample["key"] == wanted["key"]
        np.testing.assert_array_equal(sample["blurred"], wanted["blurred"])
    assert opened(tmp_path / "set").read(0)["key"] == stored.keys()[0]  # a second set over the same files
    assert pickle.loads(pickle.dumps(stored)).keys() == stored.keys()


def test_the_map_grows(pairs: PairedImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmdb_pairs, "_FIRST_MAP", 2**14)
    write_lmdb(pairs, tmp_path / "set")
    assert_same(opened(tmp_path / "set"), pairs)


def test_blurred_images_without_truth(pairs: PairedImages, tmp_path: Path) -> None:
    source = BlurredImages(f"{tmp_path}/photos/*/blur")
    written = write_lmdb(source, tmp_path / "set")
    assert written.component == {"type": "LMDBPairs", "blurred": str(tmp_path / "set" / "blurred.lmdb")}
    assert set(LMDBPairs(written.component["blurred"]).read(0)) == {"blurred", "key"}


def test_a_set_that_was_written_anew(pairs: PairedImages, tmp_path: Path) -> None:
    write_lmdb(pairs, tmp_path / "set", crop=64)
    assert opened(tmp_path / "set").read(0)["sharp"].shape == (64, 64, 3)
    write_lmdb(pairs, tmp_path / "set", overwrite=True)
    assert_same(opened(tmp_path / "set"), pairs)


def test_a_home_folder(pairs: PairedImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_lmdb(pairs, tmp_path / "set")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert_same(LMDBPairs("~/set/blurred.lmdb", "~/set/sharp.lmdb"), pairs)


def test_keys_that_are_too_long(tmp_path: Path, photograph: np.ndarray) -> None:
    deep = tmp_path / "photos" / ("a" * 200) / ("b" * 200) / ("c" * 200)
    deep.mkdir(parents=True)
    cv2.imwrite(str(deep / "1.png"), photograph)
    with pytest.raises(UserError, match="604 bytes as an LMDB key") as caught:
        write_lmdb(BlurredImages(f"{tmp_path}/photos"), tmp_path / "set")
    assert "up to 511 bytes" in caught.value.problems[-1]


@pytest.mark.parametrize("key", ["a.b/c.d", "ä ö/100%2E", "zeile\nzwei", "plain/0001", "a (1,2,3) 1"])
def test_keys_come_back(key: str) -> None:
    escaped = lmdb_pairs._escaped(key)
    assert lmdb_pairs.unquote(escaped) == key
    assert "." not in escaped
    assert escaped.isascii()
    assert lmdb_pairs._LINE.fullmatch(f"{escaped}.png (3,4,3) 1")[1] == escaped


def remove_line(folder: Path) -> None:
    lines = (folder / "meta_info.txt").read_text().splitlines(keepends=True)
    (folder / "meta_info.txt").write_text("".join(lines[1:]))


def add_line(folder: Path) -> None:
    with (folder / "meta_info.txt").open("a") as file:
        file.write("more.png (1,1,3) 1\n")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (remove_line, "has no sharp image"),
        (add_line, "'more' has no blurred image"),
        (lambda folder: (folder / "meta_info.txt").write_text("a b c\n"), r"meta_info.txt:1: got 'a b c'"),
        (lambda folder: (folder / "meta_info.txt").write_text(""), "lists no images"),
        (lambda folder: (folder / "data.mdb").unlink(), "expected a folder with data.mdb"),
        (lambda folder: (folder / "data.mdb").write_bytes(b"no database"), "cannot be opened"),
        (lambda folder: os.truncate(folder / "data.mdb", 200_000), "not copied whole"),
    ],
)
def test_damage_is_found(pairs: PairedImages, tmp_path: Path, damage: Callable[[Path], object], problem: str) -> None:
    write_lmdb(pairs, tmp_path / "set")
    damage(tmp_path / "set" / "sharp.lmdb")
    with pytest.raises(UserError, match=problem):
        opened(tmp_path / "set").verify()


def test_a_damaged_image_is_named(pairs: PairedImages, tmp_path: Path) -> None:
    write_lmdb(pairs, tmp_path / "set")
    key = lmdb_pairs._escaped(pairs.keys()[2])
    with lmdb.open(str(tmp_path / "set" / "sharp.lmdb")) as environment, environment.begin(write=True) as transaction:
        transaction.put(key.encode(), b"no image")
    with pytest.raises(UserError, match=f"{key}: it cannot be decoded"):
        opened(tmp_path / "set").read(2)


def test_damaged_pages_are_reported(pairs: PairedImages, tmp_path: Path) -> None:
    write_lmdb(pairs, tmp_path / "set")
    file = tmp_path / "set" / "sharp.lmdb" / "data.mdb"
    data = bytearray(file.read_bytes())
    for page in range(2 * 4096, len(data), 4096):  # all but the two that say where the others are
        data[page : page + 16] = bytes(16)
    file.write_bytes(data)
    with pytest.raises(ImageReadError, match=r"sharp\.lmdb: .*: it cannot be read: .*MDB_CORRUPTED"):
        opened(tmp_path / "set").read(3)
