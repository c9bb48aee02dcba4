from __future__ import annotations

import multiprocessing
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from deblurkit.data import cache
from deblurkit.data.cache import DecodedPairs
from deblurkit.data.images import write_image
from deblurkit.data.paired import PairedImages
from deblurkit.errors import UserError


@pytest.fixture
def pairs(tmp_path: Path, photograph: np.ndarray) -> PairedImages:
    """Four pairs of different sizes, one in 16 bits."""
    for number in range(4):
        image = photograph[: 120 - number, number:]
        for side in ("blur", "sharp"):
            (tmp_path / side).mkdir(exist_ok=True)
            write_image(tmp_path / side / f"{number}.png", image.astype(np.uint16) * 200 if number == 2 else image)
    return PairedImages(str(tmp_path / "blur"), str(tmp_path / "sharp"))


def _same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_what_is_kept_is_what_is_stored(pairs: PairedImages) -> None:
    stored = [pairs.load(index) for index in range(4)]
    pairs.cache()
    for index in range(4):
        assert _same(pairs.read(index), stored[index])
        assert pairs.read(index)["sharp"].dtype == stored[index]["sharp"].dtype
    with pytest.raises(ValueError, match="read-only"):
        pairs.read(0)["sharp"][0, 0, 0] = 1


def _child(kept: DecodedPairs, photograph: np.ndarray, results: multiprocessing.Queue) -> None:
    results.put((len(kept), np.array_equal(kept[1]["sharp"], photograph), kept[0]["key"]))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_share_it(photograph: np.ndarray, method: str) -> None:
    kept = DecodedPairs({"sharp": photograph, "key": str(number)} for number in range(2))
    context = multiprocessing.get_context(method)
    results = context.Queue()
    process = context.Process(target=_child, args=(kept, photograph, results))
    process.start()
    assert results.get(timeout=60) == (2, True, "0")
    process.join()


def test_it_is_handed_over_not_copied() -> None:
    kept = DecodedPairs([{"sharp": np.zeros((1000, 1000, 3), np.uint8), "key": "a"}])
    assert len(pickle.dumps(kept)) < 1000
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    del kept
    assert descriptors == 0 or len(os.listdir("/proc/self/fd")) < descriptors, "the block is given back"


def test_too_large_for_the_memory_that_is_free(pairs: PairedImages, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = sum(2 * 3 * height * width for height, width in map(pairs.size, range(4)))
    monkeypatch.setattr(cache, "free_memory", lambda: needed)
    pairs.cache()
    monkeypatch.setattr(cache, "free_memory", lambda: needed - 1)
    with pytest.raises(UserError, match=r"^cache: 4 pairs take 0\.0 GiB, of memory 0\.0 GiB is free; leave cache out"):
        pairs.cache()
    pairs.cache(3)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(UserError, match="is free for 2 processes, each with a cache of its own; "):
        pairs.cache(3)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_workers_take_no_memory_of_their_own(photograph: np.ndarray) -> None:
    """58 MB are kept; a process that reads them all maps them, and holds next to nothing of its own."""
    image = np.tile(photograph, (10, 10, 1))
    kept = DecodedPairs({"sharp": image, "key": ""} for _ in range(10))
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=lambda: results.put(_growth(kept)))
    process.start()
    own, mapped = results.get(timeout=60)
    process.join()
    assert mapped > 50_000
    assert own < 8_000


def _growth(kept: DecodedPairs) -> tuple[int, int]:
    """KiB of the process's own memory, and of all that it maps, that reading everything adds."""
    before = _memory()
    for index in range(len(kept)):
        kept[index]["sharp"].max()
    after = _memory()
    return after[0] - before[0], after[1] - before[1]


def _memory() -> tuple[int, int]:
    lines = [line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]]
    sizes = {line[0]: int(line[1]) for line in lines}
    return sizes["Anonymous:"], sizes["Rss:"]
