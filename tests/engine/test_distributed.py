"""Two processes on the CPU, started by torchrun."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from runs import CLOCK, ROOT, checkpoint_of, differences, records
from tiny import CRITIC

PLUGIN = '''
from pathlib import Path

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class DistributedDump(Hook):
    """Each process writes its networks after each iteration, and the keys that it saw."""

    priority = "LOWEST"

    def __init__(self, folder):
        self.folder = Path(folder)
        self.keys = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.keys += [key for batch in data_batch for key in batch["key"]]

    def after_iteration(self, runner):
        networks = {name: net.state_dict() for name, net in runner.restorer.networks().items()}
        state = {**networks, "ema": runner.restorer.ema.state_dict(), "keys": self.keys}
        torch.save(state, self.folder / f"rank{get_rank()}_{runner.iter}.pth")
'''


THREADS = """
import contextlib
import os
import sys
import time
from pathlib import Path

from deblurkit import load_options, train


def threads():
    names = []
    for number in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):  # it has ended in between
            names.append(Path(f"/proc/self/task/{number}/comm").read_text().strip())
    return names


def left():
    return [name for name in threads() if name not in before]


before = threads()
try:
    train(load_options(sys.argv[1]), sys.argv[2], device="cpu", launcher="pytorch")
    ended = "well"
except BaseException as error:
    ended = type(error).__name__
deadline = time.monotonic() + 10
while left() and time.monotonic() < deadline:  # the system lists a thread for a moment after it was joined
    time.sleep(0.01)
print(f"ended: {ended}, threads left: {left()}")
"""


def trained(*arguments: object) -> str:
    return torchrun([ROOT / "tools" / "train.py", "--launcher", "pytorch", "--device", "cpu", *arguments])


def torchrun(script: list[object]) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += map(str, script)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_ranks_stay_bit_equal_and_resume(tmp_path: Path, option_file: Callable[..., Path]):
    (tmp_path / "plugin.py").write_text(PLUGIN, encoding="utf-8")
    change = {
        "plugins": ["plugin.py"],
        "generator": {"type": "DeblurGAN", "channels": 4, "blocks": 1},
        "discriminators": {"critic": CRITIC},
        "losses": {
            "game": {"type": "AdversarialLoss", "mode": "wgan", "critic": "critic", "gradient_penalty": {"weight": 10}}
        },
        "hooks": [{"type": "DistributedDump", "folder": str(tmp_path)}],
        "train": {"iters": 6, "critic_steps": 2, "ema": {"decay": 0.9}, "checkpoint_every": 4},
    }
    options, folder = option_file(change), tmp_path / "run"
    text = trained("-opt", options, "--work-dir", folder)
    assert "2 process(es)" in text
    for iteration in (1, 6):
        first, second = (torch.load(tmp_path / f"rank{rank}_{iteration}.pth") for rank in (0, 1))
        seen = [set(state.pop("keys")[-2:]) for state in (first, second)]
        assert not differences(first, second), "the ranks' networks differ"
        assert not seen[0] & seen[1], "no image is seen by both"
    state = checkpoint_of(folder, 6)
    assert not differences(dict(state["generator"]), dict(first["generator"]))
    assert len(state["rng"]) == 2
    assert differences(state["rng"][0]["torch"], state["rng"][1]["torch"]), "each process has its own dropout"
    found = [{key: value for key, value in record.items() if key not in CLOCK} for record in records(folder)]
    assert [record["iteration"] for record in found] == list(range(1, 7))

    (folder / "checkpoints" / "iter_00000006.pth").unlink()
    text = trained("-opt", options, "--work-dir", folder, "--resume")
    assert text.count("resumed iter_00000004.pth at iteration 4") == 1
    again = [{key: value for key, value in record.items() if key not in CLOCK} for record in records(folder)]
    assert again == found
    assert not differences(checkpoint_of(folder, 6), state)


@pytest.mark.slow
def test_outputs_that_no_term_compares_are_no_hindrance(tmp_path: Path, option_file: Callable[..., Path]):
    """A process waits for the gradient of every weight, also of those that only make an unused output."""
    change = {
        "generator": {"type": "MADN", "channels": [4, 4, 4], "blocks": 1},
        "losses": {"image": {"type": "L1Loss"}},
        "train": {"iters": 3},
    }
    trained("-opt", option_file(change), "--work-dir", tmp_path / "run")
    assert checkpoint_of(tmp_path / "run", 3)["position"]["iteration"] == 3


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
@pytest.mark.parametrize(
    ("rate", "end"), [(1e-3, "well"), pytest.param(1e30, "NonFiniteError", marks=pytest.mark.slow)]
)
def test_no_thread_of_the_group_is_left(tmp_path: Path, option_file: Callable[..., Path], rate: float, end: str):
    """One that frees a tensor while the interpreter ends would abort the process, now and then."""
    (tmp_path / "threads.py").write_text(THREADS, encoding="utf-8")
    options = option_file({"optimizers": {"generator": {"type": "SGD", "lr": rate}}})
    text = torchrun([tmp_path / "threads.py", options, tmp_path / "run"])
    assert text.count(f"ended: {end}, threads left: []") == 2, text  # the two may write into each other's line
