"""A long training takes no more of the machine at its end than at its beginning."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from runs import Run, last_iteration
from tiny import CRITIC


class Taken(NamedTuple):
    """What a process takes of the machine."""

    kib: int
    descriptors: int
    threads: int


def taken(pid: int) -> Taken:
    status = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        status[name] = value.split()
    return Taken(int(status["VmRSS"][0]), len(os.listdir(f"/proc/{pid}/fd")), int(status["Threads"][0]))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_twenty_thousand_iterations(tmp_path: Path, option_file: Callable[..., Path]) -> None:
    change = {
        "discriminators": {"critic": CRITIC},
        "losses": {"game": {"type": "AdversarialLoss", "critic": "critic", "weight": 0.01}},
        "train": {"iters": 20_000, "ema": {"decay": 0.999}, "checkpoint_every": 2000, "keep": 2},
        "logging": {"every": 100, "tensorboard": True},
    }
    folder = tmp_path / "run"
    run = Run(tmp_path / "run.txt", "-opt", option_file(change), "--work-dir", folder, "--device", "cpu")
    found = []
    # Between checkpoints; the first ones are of a process that still fills its caches.
    for iteration in range(3000, 20_000, 2000):
        while last_iteration(folder) < iteration:
            assert run.process.is_alive(), run.text
            time.sleep(0.05)
        pid = run.process.pid
        assert pid is not None
        found.append(taken(pid))
    assert run.wait(300) == 0
    print(*found, sep="\n")
    assert len({(one.descriptors, one.threads) for one in found}) == 1, found
    memory = [one.kib for one in found]
    assert max(memory) <= 1.02 * min(memory), found
