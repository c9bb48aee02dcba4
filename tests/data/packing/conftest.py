"""Small data sets to store, and processes that are killed while they store them."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from small_disk import SmallDisk, small_disk_at

from deblurkit.data.images import write_image
from deblurkit.data.packing import lmdb_pairs, writer
from deblurkit.data.packing.lmdb_pairs import LMDBPairs
from deblurkit.data.packing.packed import PackedPairs
from deblurkit.data.paired import PairedImages
from deblurkit.errors import UserError


@pytest.fixture
def pairs(tmp_path: Path, photograph: np.ndarray) -> PairedImages:
    """Eight pairs of several sizes, one of them 16-bit, under names with dots and umlauts."""
    for number in range(8):
        height, width = 70 + 6 * number, 100 + (number * 13) % 50
        sharp = np.ascontiguousarray(photograph[:height, number : number + width])
        if number == 5:
            sharp = sharp.astype(np.uint16) * 257 - (sharp % 3)
        for side, image in (("blur", cv2.blur(sharp, (7, 1))), ("sharp", sharp)):
            folder = tmp_path / "photos" / f"Straße.{number % 2}" / side
            folder.mkdir(parents=True, exist_ok=True)
            write_image(folder / f"{number:03d}.v1.png", image)
    return PairedImages(f"{tmp_path}/photos/*/blur", f"{tmp_path}/photos/*/sharp")


@pytest.fixture
def hashes() -> Callable[[Path], dict[str, str]]:
    """What tells whether two folders hold the same files, but for what is said of those they were made from."""

    def hash_all(folder: Path) -> dict[str, str]:
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "sources.json")
        return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    return hash_all


@pytest.fixture
def in_child() -> Callable[..., int]:
    """What calls a function in a process of its own and returns its exit code, negative for a signal."""

    def run(function: Callable[[], object], kill_when: Callable[[], bool] | None = None) -> int:
        def body() -> None:
            cv2.setNumThreads(0)  # its threads do not survive a fork
            try:
                function()
            except UserError:
                os._exit(2)

        process = multiprocessing.get_context("fork").Process(target=body)
        process.start()
        while kill_when is not None and process.is_alive() and not kill_when():
            time.sleep(0.001)
        if kill_when is not None:
            process.kill()
        process.join(60)
        assert process.exitcode is not None
        return process.exitcode

    return run


@pytest.fixture
def small_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the journal be written after every image, or nearly."""
    monkeypatch.setattr(writer, "_COMMIT_BYTES", 50_000)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A file system of 500 KiB, where one can be mounted."""
    with small_disk_at(tmp_path / "disk", 500) as disk:
        yield disk


@pytest.fixture
def content() -> Callable[[Path], dict[str, object]]:
    """What returns a set's pixels as its reader gives them."""

    def read_all(out: Path) -> dict[str, object]:
        if (out / "pixels.bin").exists():
            stored = PackedPairs(str(out))
        else:
            stored = LMDBPairs(str(out / "blurred.lmdb"), str(out / "sharp.lmdb"))
            for folder in stored.folders.values():
                assert lmdb_pairs._environment(folder).stat()["entries"] == len(stored)  # nothing but what is listed
        read = (stored.read(index) for index in range(len(stored)))
        return {pair["key"]: (pair["blurred"].tobytes(), pair["sharp"].tobytes()) for pair in read}

    return read_all


@pytest.fixture
def damage() -> Callable[[Path], None]:
    """What makes an image file one that cannot be decoded."""

    def overwrite(file: Path) -> None:
        data = file.read_bytes()
        file.write_bytes(data[:300] + bytes(400) + data[700:])

    return overwrite
