"""Checkpoints hold plain types and tensors, are read without running anything, and are written whole."""

from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import subprocess
import sys
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from states import whole_state as state

from deblurkit import checkpoint
from deblurkit.checkpoint import CheckpointError

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["deblurkit.checkpoint"])


def test_round_trip(tmp_path: Path):
    saved = state(
        nested=[1, 2.5, "x", None, True, (b"y", {"k": torch.zeros(2, dtype=torch.bfloat16)})], ordered=OrderedDict(a=1)
    )
    checkpoint.save(saved, tmp_path / "a.pth")
    loaded = checkpoint.load(tmp_path / "a.pth")
    assert torch.equal(loaded["generator"]["weight"], torch.arange(6.0))
    assert loaded["nested"][:5] == saved["nested"][:5]
    assert loaded["nested"][5][1]["k"].dtype == torch.bfloat16
    assert [file.name for file in tmp_path.iterdir()] == ["a.pth"]


@pytest.mark.parametrize(
    "value",
    [np.float64(1.0), np.zeros(2), Path("x"), torch.nn.Linear(1, 1), torch.nn.Parameter(torch.ones(1)), {1, 2}, print],
)
def test_objects_are_refused_and_the_old_file_stays(tmp_path: Path, value: Any):
    file = tmp_path / "a.pth"
    checkpoint.save(state(), file)
    before = file.read_bytes()
    with pytest.raises(TypeError, match=r"checkpoint\.deep\[0\]\.key is a "):
        checkpoint.save(state(deep=[{"key": value}]), file)
    assert file.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["a.pth"]


class Bomb:
    """Unpickling it runs a command."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_code_in_a_checkpoint_is_refused_and_never_run(tmp_path: Path, writer: str):
    marker, file = tmp_path / "marker", tmp_path / "bomb.pth"
    if writer == "torch":
        torch.save(state(bomb=Bomb(marker)), file)
    else:
        file.write_bytes(pickle.dumps(state(bomb=Bomb(marker))["bomb"]))
    with pytest.raises(CheckpointError, match=r"bomb\.pth: refused|not a whole checkpoint"):
        checkpoint.load(file)
    assert not marker.exists()


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"PK\x03\x04 and then nothing", None], ids=["empty", "text", "zip head", "truncated"]
)
def test_damaged_files_are_the_users_to_know(tmp_path: Path, content: bytes | None):
    file = tmp_path / "a.pth"
    checkpoint.save(state(), file)
    file.write_bytes(file.read_bytes()[:-300] if content is None else content)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_peoples_files(tmp_path: Path):
    torch.save({"state_dict": {"weight": torch.ones(1)}}, tmp_path / "foreign.pth")
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    for name in ("foreign.pth", "list.pth"):
        with pytest.raises(CheckpointError, match="not a checkpoint of deblurkit"):
            checkpoint.load(tmp_path / name)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        checkpoint.load(tmp_path / "none.pth")


def _save_for_ever(path: str) -> None:
    for value in range(10**6):
        checkpoint.save(state(value=value, block=torch.full((500_000,), float(value))), Path(path))


def test_killed_while_saving_leaves_a_whole_file(tmp_path: Path):
    file = tmp_path / "a.pth"
    for _ in range(3):
        process = _processes.Process(target=_save_for_ever, args=(str(file),))
        process.start()
        deadline = time.monotonic() + 60
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        temporary = tmp_path / "a.pth.tmp"
        while not temporary.exists() and time.monotonic() < deadline:
            pass
        process.kill()
        process.join()
        loaded = checkpoint.load(file)
        assert torch.equal(loaded["block"], torch.full((500_000,), float(loaded["value"])))


FULL = """
import resource, signal, sys
from pathlib import Path
import torch
from deblurkit import checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    checkpoint.save({"generator": {str(key): torch.ones(1000) for key in range(count)}}, Path(sys.argv[1]))
except OSError as error:
    print(error.errno, type(error).__name__)
"""


@pytest.mark.parametrize("count", [24, 40, 1000])
def test_a_full_disk_says_so_and_the_old_file_stays(tmp_path: Path, count: int):
    """A limit on the file's size is met by the system's call as a full disk is, in the middle and at the last byte."""
    file = tmp_path / "a.pth"
    checkpoint.save(state(), file)
    before = file.read_bytes()
    script = FULL.replace("count)", f"{count})")
    done = subprocess.run([sys.executable, "-c", script, str(file)], capture_output=True, text=True, check=True)
    assert done.stdout == f"{errno.EFBIG} OSError\n", "not torch's RuntimeError about an unexpected position"
    assert file.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["a.pth"]


def test_a_folder_that_cannot_be_flushed_is_no_mistake():
    checkpoint.sync_folder(Path("/proc"))
    checkpoint.sync_folder(Path("/nowhere/at/all"))
