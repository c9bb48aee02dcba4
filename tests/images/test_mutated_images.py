"""Two thousand damaged images: each is read or refused in one line, in little time and memory; nothing is written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from made_images import jpegs, others, pngs, tiffs
from said import avif, jpeg, png_that_says, tiff_that_says, webp

MUTATING = Path(__file__).with_name("mutating.py")
ROOT = Path(__file__).resolve().parents[2]
PEAK = 2048  # MiB
QUICK, ALL, EACH = 150, 2000, 250
_TIFFS = 40  # of the many, evenly

if not Path("/proc/self/status").exists():
    pytest.skip("the memory of a process is told by Linux alone", allow_module_level=True)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small files of every format."""
    folder = tmp_path_factory.mktemp("seeds")
    kinds = list(tiffs())
    chosen = [*pngs(), *jpegs(), *others(), *kinds[:: len(kinds) // _TIFFS]]
    for number, (_, make) in enumerate(chosen):
        made = make()
        (folder / f"{number:03d}{made.suffix}").write_bytes(made.data)
    for suffix, make in (
        (".jpg", jpeg),
        (".png", png_that_says),
        (".tif", tiff_that_says),
        (".webp", webp),
        (".avif", avif),
    ):
        for orientation in (1, 6):
            (folder / f"said {orientation}{suffix}").write_bytes(make(orientation))
    return folder


def attempt(seeds: Path, room: Path, first: int, end: int) -> Counter[str]:
    """Tries so many cases in a process of their own; counts what became of them."""
    room.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(room), "OMP_NUM_THREADS": "1"}
    environment.pop("DEBLURKIT_MAX_MEGAPIXELS", None)
    command = [sys.executable, str(MUTATING), str(seeds), str(first), str(end)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=room, env=environment, timeout=10 * (end - first)
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, (done.returncode, lines[-1:], done.stderr[-2000:])
    bad = [line for line in lines if line.startswith("bad")]
    assert bad == []
    assert list(room.iterdir()) == []
    peak = int(lines[-1].split()[1])
    assert peak < PEAK, f"{peak} MiB"
    print(lines[-2], lines[-1])
    return Counter(line for line in lines if line in ("read", "refused"))


def test_some(seeds: Path, tmp_path: Path) -> None:
    became = attempt(seeds, tmp_path / "room", 0, QUICK)
    print(dict(became))
    assert sum(became.values()) == QUICK
    assert became["refused"] > QUICK // 3


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, ALL, EACH))
def test_all(seeds: Path, tmp_path: Path, first: int) -> None:
    became = attempt(seeds, tmp_path / "room", first, first + EACH)
    print(dict(became))
    assert sum(became.values()) == EACH
