"""What is there already: sets of images that changed since, sets without a lock, links to folders elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from deblurkit.data.images import read_image, write_image
from deblurkit.data.packing.lmdb_pairs import LMDBPairs, write_lmdb
from deblurkit.data.packing.packed import PackedPairs
from deblurkit.data.packing.writer import pack
from deblurkit.data.paired import PairedImages
from deblurkit.errors import UserError

Hashes = Callable[[Path], dict[str, str]]
Content = Callable[[Path], dict[str, object]]
Damage = Callable[[Path], None]


def invert(file: Path) -> None:
    """Overwrite an image with another of its size."""
    image = read_image(file)
    write_image(file, np.iinfo(image.dtype).max - image)


@pytest.mark.parametrize("write", [pack, write_lmdb])
def test_images_that_changed_in_the_middle(
    pairs: PairedImages, tmp_path: Path, hashes: Hashes, write: Callable, content: Content
) -> None:
    out = tmp_path / "out"
    assert not write(pairs, out, crop=64).found
    before = hashes(out)
    assert write(pairs, out, crop=64).found
    for files in pairs.files:
        os.utime(files.blurred)  # other files by their times, but the same images
    assert write(pairs, out, crop=64).found
    (out / "sources.json").write_text("1")  # damaged: all images are compared
    assert write(pairs, out, crop=64).found
    invert(pairs.files[3].sharp)
    invert(pairs.files[4].blurred)
    with pytest.raises(UserError, match="--overwrite replaces it") as caught:
        write(pairs, out, crop=64)
    for side, index in (("sharp", 3), ("blurred", 4)):
        assert f"its {side} image {pairs.files[index].key} is not the source's" in str(caught.value)
    assert hashes(out) == before
    assert not write(pairs, out, crop=64, overwrite=True).found
    write(pairs, tmp_path / "fresh", crop=64)
    assert content(out) == content(tmp_path / "fresh")


def test_a_stored_set_as_source_that_changed(pairs: PairedImages, tmp_path: Path) -> None:
    write_lmdb(pairs, tmp_path / "middle")
    source = LMDBPairs(str(tmp_path / "middle" / "blurred.lmdb"), str(tmp_path / "middle" / "sharp.lmdb"))
    pack(source, tmp_path / "first")
    pack(PackedPairs(str(tmp_path / "first")), tmp_path / "second")
    invert(pairs.files[3].sharp)
    write_lmdb(pairs, tmp_path / "middle", overwrite=True)
    source = LMDBPairs(str(tmp_path / "middle" / "blurred.lmdb"), str(tmp_path / "middle" / "sharp.lmdb"))
    with pytest.raises(UserError, match=f"sharp image {pairs.files[3].key} is not the source's"):
        pack(source, tmp_path / "first")
    pack(source, tmp_path / "first", overwrite=True)
    with pytest.raises(UserError, match=f"sharp image {pairs.files[3].key} is not the source's"):
        pack(PackedPairs(str(tmp_path / "first")), tmp_path / "second")


@pytest.mark.usefixtures("small_commits")
def test_images_that_changed_while_the_set_was_unfinished(
    pairs: PairedImages, tmp_path: Path, content: Content, damage: Damage
) -> None:
    out = tmp_path / "out"
    good = pairs.files[6].sharp.read_bytes()
    damage(pairs.files[6].sharp)
    with pytest.raises(UserError, match="decoded"):
        pack(pairs, out)
    pairs.files[6].sharp.write_bytes(good)
    invert(pairs.files[1].blurred)
    with pytest.raises(UserError, match=r"blurred image .*v1 is not the source's; --overwrite starts anew"):
        pack(pairs, out)
    pack(pairs, out, overwrite=True)
    pack(pairs, tmp_path / "fresh")
    assert content(out) == content(tmp_path / "fresh")


def test_a_finished_set_needs_no_lock(pairs: PairedImages, tmp_path: Path) -> None:
    """As where the folder may be read only."""
    pack(pairs, tmp_path / "out")
    (tmp_path / ".out.lock").unlink()
    assert pack(pairs, tmp_path / "out").found
    assert not (tmp_path / ".out.lock").exists()


@pytest.mark.parametrize("write", [pack, write_lmdb])
@pytest.mark.parametrize("there", ["nothing", "an empty folder", "a set"])
def test_a_link_to_another_disk(
    pairs: PairedImages, tmp_path: Path, write: Callable, there: str, content: Content
) -> None:
    disk, link = tmp_path / "disk", tmp_path / "datasets" / "set"
    disk.mkdir()
    link.parent.mkdir()
    link.symlink_to(disk / "real")
    if there == "an empty folder":
        (disk / "real").mkdir()
    if there == "a set":
        write(pairs, disk / "real")
    written = write(pairs, link, crop=64, overwrite=there == "a set")
    assert all(Path(path).is_relative_to(link) for name, path in written.component.items() if name != "type")
    assert link.is_symlink()
    assert [path.name for path in link.parent.iterdir()] == ["set"]
    assert {path.name for path in disk.iterdir()} == {"real", ".real.lock"}
    write(pairs, tmp_path / "whole", crop=64)
    assert content(link) == content(tmp_path / "whole")
