"""Sets are whole or not there, whatever happens to the process or the disk."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections import namedtuple
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from deblurkit.data.dataset import FileTable
from deblurkit.data.images import write_image
from deblurkit.data.loader import FirstImages
from deblurkit.data.packing.journal import Image, Journal
from deblurkit.data.packing.lmdb_pairs import write_lmdb
from deblurkit.data.packing.plan import in_order
from deblurkit.data.packing.records import Header, Item
from deblurkit.data.packing.writer import pack
from deblurkit.data.paired import BlurredImages, PairedImages
from deblurkit.errors import UserError

InChild = Callable[..., int]
Hashes = Callable[[Path], dict[str, str]]
Content = Callable[[Path], dict[str, object]]
Damage = Callable[[Path], None]


class SlowPairs(PairedImages):
    """Pairs that take some time to read, longer for some than for others."""

    def load(self, index: int) -> dict[str, object]:
        time.sleep(0.01 * (1 + index % 3))
        return super().load(index)


def size_of(folder: Path) -> int:
    """What the files in a folder, which another process writes, hold in bytes."""
    size = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            size += path.stat().st_size
    return size


@pytest.mark.usefixtures("small_commits")
@pytest.mark.parametrize(("write", "crop"), [(pack, None), (pack, 64), (write_lmdb, 64)])
def test_killed_at_random_moments(
    pairs: PairedImages, tmp_path: Path, in_child: InChild, write: Callable, crop: int | None, content: Content
) -> None:
    slow = SlowPairs(f"{tmp_path}/photos/*/blur", f"{tmp_path}/photos/*/sharp")
    write(slow, tmp_path / "whole", crop)
    out, unfinished = tmp_path / "out", tmp_path / "out.partial"
    rng = random.Random(0)
    codes = []
    for share in sorted(rng.random() for _ in range(5)):
        jitter = rng.uniform(0, 0.02)

        def late(target: float = share * size_of(tmp_path / "whole"), jitter: float = jitter) -> bool:
            return size_of(unfinished) >= target and time.sleep(jitter) is None

        codes.append(in_child(lambda: write(slow, out, crop, workers=2), late))
        assert not out.exists() or content(out) == content(tmp_path / "whole")
    assert codes.count(-signal.SIGKILL) >= 3
    assert in_child(lambda: write(slow, out, crop, workers=2)) == 0
    assert not (tmp_path / "out.partial").exists()
    assert content(out) == content(tmp_path / "whole")


@pytest.mark.usefixtures("small_commits")
@pytest.mark.parametrize(
    ("write_set", "function"),
    [
        *((pack, function) for function in ("os.fsync", "os.rename", "os.unlink", "shutil.rmtree")),
        *((write_lmdb, function) for function in ("os.fsync", "shutil.rmtree")),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_step(
    pairs: PairedImages,
    tmp_path: Path,
    in_child: InChild,
    write_set: Callable,
    function: str,
    when: str,
    content: Content,
    damage: Damage,
) -> None:
    """Kills each process at its n-th call of what makes files last, for n = 1, 2, ..."""
    write_set(pairs, tmp_path / "whole", crop=64)
    out = tmp_path / "out"
    write_set(pairs, out)  # to be replaced
    good = pairs.files[7].sharp.read_bytes()
    damage(pairs.files[7].sharp)
    with pytest.raises(UserError, match="decoded"):  # leaves an unfinished set, to be replaced too
        write_set(pairs, out, crop=50, overwrite=True)
    pairs.files[7].sharp.write_bytes(good)

    def write(step: int) -> None:
        calls = 0
        patch = pytest.MonkeyPatch()
        module, name = function.split(".")
        owner = {"os": os, "shutil": shutil}[module]
        original = getattr(owner, name)

        def dying(*arguments: object, **named: object) -> object:
            nonlocal calls
            calls += 1
            if calls == step and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(*arguments, **named)
            if calls == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        patch.setattr(owner, name, dying)
        write_set(pairs, out, crop=64, overwrite=not finished())

    def finished() -> bool:
        return out.exists() and json.loads((out / "index.json").read_text())["crop"] == 64

    old, new = content(out), content(tmp_path / "whole")
    step = 1
    while in_child(partial(write, step)):
        assert not out.exists() or content(out) in (old, new)
        step += 1
        assert step < 60
    write_set(pairs, out, crop=64)
    assert content(out) == new
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "whole", "out", ".whole.lock", ".out.lock"}


@pytest.mark.usefixtures("small_commits")
def test_what_lies_behind_the_journal_is_cut_off(
    pairs: PairedImages, tmp_path: Path, hashes: Hashes, monkeypatch: pytest.MonkeyPatch, damage: Damage
) -> None:
    pack(pairs, tmp_path / "whole")
    photograph = tmp_path / "photos" / "Straße.0" / "sharp" / "006.v1.png"
    good = photograph.read_bytes()
    damage(photograph)
    with pytest.raises(UserError, match=r"006\.v1\.png"):
        pack(pairs, tmp_path / "out")
    photograph.write_bytes(good)
    unfinished = tmp_path / "out.partial"
    with (unfinished / "pixels.bin").open("ab") as file:
        file.write(b"pixels that were never recorded")
    with (unfinished / "journal.jsonl").open("a") as file:
        file.write('[{"key": "cut sho')
    read = []
    monkeypatch.setattr(PairedImages, "load", lambda self, i: read.append(i) or super(PairedImages, self).load(i))
    pack(pairs, tmp_path / "out")
    assert 0 in read
    assert read.count(1) == 0  # kept, not read again
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole")


def test_a_journal_goes_on_behind_a_line_that_was_cut_short(tmp_path: Path) -> None:
    header = Header(1, "packed", {}, [], None, None, 3, "")
    for number in range(3):
        journal = Journal(tmp_path, header, overwrite=False)
        assert journal.images == [Image([before], [Item(str(before), 1, 1, {})]) for before in range(number)]
        journal.record([Image([number], [Item(str(number), 1, 1, {})])])
        with journal.file.open("a") as file:
            file.write('[{"key": "cut sho')


def test_pixels_that_a_crash_lost_are_noticed(pairs: PairedImages, tmp_path: Path, damage: Damage) -> None:
    damage(pairs.files[7].sharp)
    for _ in range(2):
        with pytest.raises(UserError, match="decoded"):
            pack(pairs, tmp_path / "out")
    os.truncate(tmp_path / "out.partial" / "pixels.bin", 100)
    with pytest.raises(UserError, match="shorter than its journal says"):
        pack(pairs, tmp_path / "out")


class Plugin:
    """A foreign data set, with nothing but what is needed."""

    def __init__(self, pairs: PairedImages) -> None:
        self.pairs = pairs

    def keys(self) -> list[str]:
        return self.pairs.keys()

    def read(self, index: int) -> dict[str, object]:
        return self.pairs.read(index)


def test_any_data_set_that_can_be_read(pairs: PairedImages, tmp_path: Path, content: Content) -> None:
    pack(Plugin(pairs), tmp_path / "plugin")
    pack(pairs, tmp_path / "ours")
    assert content(tmp_path / "plugin") == content(tmp_path / "ours")
    with pytest.raises(UserError, match="a list cannot be stored: it has no method keys"):
        pack([], tmp_path / "none")
    with pytest.raises(UserError, match="workers: got 0"):
        pack(pairs, tmp_path / "none", workers=0)
    with pytest.raises(UserError, match="the source has no images"):
        pack(FirstImages(pairs, 0), tmp_path / "none")


def test_keys_that_would_clash(pairs: PairedImages, tmp_path: Path) -> None:
    first = dataclasses.replace(pairs.files[0], key=f"{pairs.files[6].key}_s001")  # smaller than the crop
    pairs.files = FileTable([first, *pairs.files[1:]])
    with pytest.raises(UserError, match="two images would be stored under the key"):
        pack(pairs, tmp_path / "out", crop=90)


def test_all_unreadable_images_are_named(pairs: PairedImages, tmp_path: Path, damage: Damage) -> None:
    bad = [pairs.files[index].sharp for index in (2, 5, 6)]
    for path in bad:
        damage(path)
    with pytest.raises(UserError) as caught:
        pack(pairs, tmp_path / "out")
    assert [problem.split(": ")[0] for problem in caught.value.problems] == [str(path) for path in bad]
    assert not (tmp_path / "out").exists()


def test_other_settings_and_sources_are_refused(
    pairs: PairedImages, tmp_path: Path, photograph: np.ndarray, hashes: Hashes
) -> None:
    out = tmp_path / "out"
    pack(pairs, out)
    before = hashes(out)
    with pytest.raises(UserError, match=r"crop was none, now 64; step was none, now 32; --overwrite replaces it"):
        pack(pairs, out, crop=64)
    with pytest.raises(UserError, match="source was"):
        pack(BlurredImages(f"{tmp_path}/photos/*/blur"), out)
    with pytest.raises(UserError, match="kind of set"):
        write_lmdb(pairs, out)
    pack(pairs, out)
    assert hashes(out) == before
    image = pairs.files[-1].sharp
    write_image(image, pairs.read(7)["sharp"] // 2)
    with pytest.raises(UserError, match=r"sharp image .*007\.v1 is not the source's"):
        pack(pairs, out)
    assert hashes(out) == before
    pack(pairs, out, overwrite=True)
    assert hashes(out) != before


def test_an_unfinished_set_of_other_settings(
    pairs: PairedImages, tmp_path: Path, hashes: Hashes, damage: Damage
) -> None:
    file = pairs.files[6].sharp
    good = file.read_bytes()
    damage(file)
    out = tmp_path / "out"
    with pytest.raises(UserError, match="decoded"):
        pack(pairs, out)
    file.write_bytes(good)
    with pytest.raises(UserError, match=r"was begun with other settings.*crop was none, now 64.*--overwrite"):
        pack(pairs, out, crop=64)
    write_image(pairs.files[0].sharp, pairs.read(0)["sharp"] // 2)
    with pytest.raises(UserError, match=r"not the source's.*--overwrite starts anew"):
        pack(pairs, out)
    pack(pairs, out, overwrite=True)
    pack(pairs, tmp_path / "fresh")
    assert hashes(out) == hashes(tmp_path / "fresh")


@pytest.mark.parametrize("name", ["out", "out.partial"])
def test_what_is_not_ours_is_left_alone(pairs: PairedImages, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="in the way"):
        pack(pairs, tmp_path / "out", overwrite=True)
    assert (tmp_path / name / "thesis.txt").exists()


def test_only_one_process_writes(pairs: PairedImages, tmp_path: Path) -> None:
    with FileLock(tmp_path / ".out.lock"), pytest.raises(UserError, match="another process is writing it"):
        pack(pairs, tmp_path / "out")
    pack(pairs, tmp_path / "out")


def test_too_small_a_disk_is_refused_first(
    pairs: PairedImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 300_000, 300_000))
    with pytest.raises(UserError, match=r"needs at least 0\.\d+ GB more; the disk has 0\.000 GB free"):
        pack(pairs, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.undo()
    pack(pairs, tmp_path / "out")


def limited(write: Callable[[], object]) -> None:
    """Write where files may not grow beyond 400 kB; SIGXFSZ is ignored, as Python does."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
    try:
        write()
    except UserError as error:
        os._exit(9 if "cannot be written: " in str(error) and "of 8 images are kept" in str(error) else 8)


@pytest.mark.usefixtures("small_commits")
@pytest.mark.parametrize("write", [pack, write_lmdb])
def test_files_that_may_not_grow(
    pairs: PairedImages, tmp_path: Path, in_child: InChild, write: Callable, content: Content
) -> None:
    pytest.importorskip("resource")
    out = tmp_path / "out"
    crop = None if write is pack else 90  # several crops a picture, to reach the limit
    step = None if write is pack else 8
    assert in_child(lambda: limited(lambda: write(pairs, out, crop, step))) == 9
    assert not out.exists()
    write(pairs, out, crop, step)
    write(pairs, tmp_path / "whole", crop, step)
    assert content(out) == content(tmp_path / "whole")


@pytest.mark.usefixtures("small_commits")
def test_an_lmdb_on_a_full_disk(pairs: PairedImages, tmp_path: Path, small_disk: object, content: Content) -> None:
    out = small_disk.path / "set"
    with pytest.raises(UserError, match=r"No space left on device; [1-7] of 8 images are kept"):
        write_lmdb(pairs, out, crop=90, step=20)
    assert not out.exists()
    small_disk.resize(20_000)
    write_lmdb(pairs, out, crop=90, step=20)
    write_lmdb(pairs, tmp_path / "whole", crop=90, step=20)
    assert content(out) == content(tmp_path / "whole")


def test_reading_ahead_is_bounded() -> None:
    started = []
    results = in_order(started.append, range(100), workers=2)
    next(results)
    assert len(started) <= 2 * 2 + 1
    results.close()
    assert len(started) < 100


def test_two_real_processes(pairs: PairedImages, tmp_path: Path, hashes: Hashes) -> None:
    """Of two writers one may be refused; the set is whole either way."""
    slow = SlowPairs(f"{tmp_path}/photos/*/blur", f"{tmp_path}/photos/*/sharp")

    def write() -> None:
        try:
            pack(slow, tmp_path / "out")
        except UserError as error:
            os._exit(2 if "another process" in str(error) else 1)

    processes = [multiprocessing.get_context("fork").Process(target=write) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(process.exitcode for process in processes) in ([0, 0], [0, 2])
    pack(slow, tmp_path / "whole")
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole")
