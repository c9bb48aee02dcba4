"""Two processes on the CPU that must agree: what is resumed, whose statistics, which gradients, when to stop."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import ROOT, checkpoint_of, differences, records, timeless
from tiny import CRITIC

from deblurkit import checkpoint, load_options, train
from deblurkit.data.loader import build_dataset
from deblurkit.evaluation.protocols.protocol import get_protocol
from deblurkit.evaluation.scoring import score_dataset
from deblurkit.evaluation.sources import NetworkSource

PLUGIN = '''
import json
import os
import time
from pathlib import Path

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook

from deblurkit.registry import ARCHS


@ARCHS.register_module()
class ProcessesNormed(nn.Module):
    def __init__(self, seconds=0.0):
        super().__init__()
        self.seconds = seconds
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Conv2d(8, 3, 3, padding=1)
        self.register_buffer("constant", torch.tensor(0.1))

    def forward(self, blurred):
        if not self.training:
            time.sleep(self.seconds)
        return blurred + self.constant * self.head(self.norm(self.conv(blurred)).relu())


@ARCHS.register_module()
class ProcessesUnused(nn.Module):
    """A weight that makes no output, and an output that no term compares."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.extra = nn.Conv2d(3, 3, 3, padding=1)
        self.idle = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, blurred):
        return {"image": blurred + self.conv(blurred), "extra": self.extra(blurred)}


@HOOKS.register_module()
class ProcessesExchanges(Hook):
    """Counts the exchanges of gradients of each network."""

    def __init__(self, file):
        self.file, self.counts = Path(file), {}

    def before_train(self, runner):
        for name, call in runner.restorer._calls.items():
            self.counts[name] = 0
            call.register_comm_hook(name, self.counted)

    def counted(self, name, bucket):
        self.counts[name] += 1
        return allreduce_hook(None, bucket)

    def after_train(self, runner):
        if get_rank() == 0:
            self.file.write_text(json.dumps(self.counts))
'''


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("plugin") / "processes.py"
    file.write_text(PLUGIN, encoding="utf-8")
    return file


def command(*arguments: object) -> list[str]:
    script = [ROOT / "tools" / "train.py", "--launcher", "pytorch", "--device", "cpu", *arguments]
    return torchrun(script)


def torchrun(script: list[object]) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    return [*launcher, *map(str, script)]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def trained(*arguments: object, code: int = 0) -> str:
    return finished(command(*arguments), code)


def finished(words: list[str], code: int = 0, **settings: Any) -> str:
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=150, **settings)
    assert (done.returncode != 0) == (code != 0), done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("other", ["another", "none"])
def test_processes_that_see_different_disks(tmp_path: Path, option_file: Callable[..., Path], other: str):
    """Each has a directory of its own; what the first one resumes the second sees otherwise, or not at all."""
    options = option_file()
    script = tmp_path / "apart.py"
    script.write_text(
        "import os, runpy, sys\n"
        "os.chdir('disk' + os.environ['RANK'])\n"
        f"sys.argv = [{str(ROOT / 'tools' / 'train.py')!r}, *sys.argv[1:]]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    for rank, seed in enumerate((3, 4)):
        train(load_options(options, [f"seed={seed}"]), tmp_path / f"disk{rank}" / "run", device="cpu")
    if other == "none":
        shutil.rmtree(tmp_path / "disk1" / "run" / "checkpoints")
    before = records(tmp_path / "disk0" / "run")
    rest = ["-opt", options, "--work-dir", "run", "--resume", "--set", "train.iters=9"]
    text = finished(torchrun([script, "--launcher", "pytorch", "--device", "cpu", *rest]), 1, cwd=tmp_path)
    problem = {"another": "not the file that the first process resumes", "none": "not there, the first process resumes"}
    assert f"process 1: run/checkpoints/iter_00000004.pth: {problem[other]}" in text
    assert "exitcode  : 2" in text, "torchrun ends the other one, which says the same, if it is quicker"
    assert "UserError" not in text
    assert records(tmp_path / "disk0" / "run") == before


@pytest.mark.slow
def test_refusal_of_the_first_reaches_all(tmp_path: Path, option_file: Callable[..., Path]):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "notes.md").write_text("mine")
    text = trained("-opt", option_file(), "--work-dir", folder, code=1)
    assert "not empty; --resume goes on with it" in text
    assert "exitcode  : 2" in text
    assert "UserError" not in text


@pytest.mark.slow
def test_statistics_are_those_of_the_saved_weights_and_pools_are_kept(
    tmp_path: Path, option_file: Callable[..., Path], pairs: dict, plugin: Path
):
    game = {"type": "AdversarialLoss", "mode": "ralsgan", "critic": "critic", "pool": 6, "weight": 0.1}
    val = {"type": "PairedImages", "blurred": pairs["blurred"], "sharp": pairs["sharp"]}
    change = {
        "plugins": [str(plugin)],
        "generator": {"type": "ProcessesNormed"},
        "discriminators": {"critic": CRITIC},
        "losses": {"game": game},
        "datasets": {"train": pairs, "val": {"pairs": val}},
        "train": {"iters": 6, "ema": {"decay": 0.5}, "checkpoint_every": 4},
        "val": {"every": 3},
    }
    options, folder = option_file(change), tmp_path / "run"
    trained("-opt", options, "--work-dir", folder)
    state = checkpoint_of(folder, 6)
    assert state["generator"]["constant"] == torch.tensor(0.1), "what is equal stays as it is"
    pools = [dict(losses["game"]) for losses in state["losses"]]
    assert len(pools) == 2
    assert differences(*pools), "each process pools its own images"
    loaded = load_options(options)
    dataset = build_dataset(loaded.datasets.val["pairs"], "datasets.val.pairs")
    protocol = get_protocol(loaded.val.protocol, "val.protocol")
    generator = checkpoint.load_generator(state, "the last")
    outcomes = score_dataset(NetworkSource(generator, "fp32", protocol.inference), dataset, protocol, threads=1)
    score = protocol.average([outcome.row.restored for outcome in outcomes])["psnr"]
    assert records(folder)[-1]["val/pairs/psnr"] == pytest.approx(score, abs=1e-9)

    whole = timeless(folder)
    for name in ("iter_00000006.pth", "best_psnr.pth"):
        (folder / "checkpoints" / name).unlink()
    text = trained("-opt", options, "--work-dir", folder, "--resume")
    assert re.search(r"resumed iter_0000000[34]\.pth", text)
    assert timeless(folder) == whole
    assert not differences({**checkpoint_of(folder, 6), "best": None}, {**state, "best": None})


def test_gradients_are_exchanged_once_an_update(tmp_path: Path, option_file: Callable[..., Path], plugin: Path):
    change = {
        "plugins": [str(plugin)],
        "discriminators": {"critic": CRITIC},
        "losses": {"game": {"type": "AdversarialLoss", "mode": "lsgan", "critic": "critic"}},
        "hooks": [{"type": "ProcessesExchanges", "file": str(tmp_path / "counts.json")}],
        "train": {"iters": 3, "accumulate": 2, "critic_steps": 2},
        "datasets": {"train": {**option_pairs(option_file), "batch_size": 1}},
    }
    trained("-opt", option_file(change), "--work-dir", tmp_path / "run")
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert counts == {"generator": 3, "critic": 6}


def option_pairs(option_file: Callable[..., Path]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(option_file().read_text(encoding="utf-8"))["datasets"]["train"]
    return found


@pytest.mark.slow
def test_what_nothing_uses_is_left_alone_alike(tmp_path: Path, option_file: Callable[..., Path], plugin: Path):
    """One process with batches of 4, and two with batches of 2 each, see the same images in each iteration."""
    change = {
        "plugins": [str(plugin)],
        "generator": {"type": "ProcessesUnused"},
        "optimizers": {"generator": {"type": "AdamW", "lr": 1e-3, "weight_decay": 0.1}},
        "train": {"iters": 4, "checkpoint_every": 1, "keep": 9},
    }
    pairs = option_pairs(option_file)
    alone = option_file({**change, "datasets": {"train": {**pairs, "batch_size": 4}}}, "alone.yml")
    train(load_options(alone), tmp_path / "alone", device="cpu")
    text = trained("-opt", option_file(change, "both.yml"), "--work-dir", tmp_path / "both")
    assert "find_unused_parameters" not in text
    for iteration in (1, 4):
        one, two = (checkpoint_of(tmp_path / name, iteration) for name in ("alone", "both"))
        for name, value in one["generator"].items():
            torch.testing.assert_close(two["generator"][name], value, rtol=1e-4, atol=1e-6)
        assert set(one["optimizers"]["generator"]["state"]) == set(two["optimizers"]["generator"]["state"]) == {0, 1}
    for name in ("extra.weight", "idle.weight", "idle.bias"):
        assert torch.equal(one["generator"][name], two["generator"][name]), "not even weight decay moves it"


def started(tmp_path: Path, options: Path, folder: Path) -> subprocess.Popen:
    with (tmp_path / "out.txt").open("w") as out:
        words = command("-opt", options, "--work-dir", folder)
        return subprocess.Popen(words, env=environment(), stdout=out, stderr=subprocess.STDOUT)


@pytest.mark.parametrize("who", ["all", pytest.param("one", marks=pytest.mark.slow)])
def test_signal_is_agreed_upon_at_once(tmp_path: Path, option_file: Callable[..., Path], plugin: Path, who: str):
    """torchrun kills what is left 30 seconds after it passed SIGTERM on."""
    options, folder = option_file({"train": {"iters": 10**6}, "plugins": [str(plugin)]}), tmp_path / "run"
    process = started(tmp_path, options, folder)
    deadline = time.monotonic() + 90
    while not records(folder):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid if who == "all" else int(worker_of(process.pid)), signal.SIGTERM)
    start = time.monotonic()
    while not (folder / "checkpoints" / "last").is_file():
        assert time.monotonic() < start + 5
        time.sleep(0.01)
    process.wait(40)
    text = (tmp_path / "out.txt").read_text()
    assert re.search(r"stopped by SIGTERM after iteration \d+; --resume goes on", text), text
    stopped = int(re.search(r"stopped by SIGTERM after iteration (\d+)", text)[1])
    assert checkpoint_of(folder, stopped)["position"]["iteration"] == stopped
    assert (folder / "log.txt").read_text().splitlines()[-1].endswith("stopped by SIGTERM")


def worker_of(agent: int) -> str:
    """One of the processes that torchrun started."""
    return subprocess.run(["pgrep", "-P", str(agent)], capture_output=True, text=True, check=True).stdout.split()[-1]


@pytest.mark.slow
def test_validation_of_several_gives_way(tmp_path: Path, option_file: Callable[..., Path], pairs: dict, plugin: Path):
    val = {"type": "PairedImages", "blurred": pairs["blurred"], "sharp": pairs["sharp"]}
    change = {
        "plugins": [str(plugin)],
        "generator": {"type": "ProcessesNormed", "seconds": 4.0},
        "datasets": {"train": pairs, "val": {"pairs": val}},
        "train": {"iters": 4},
        "val": {"every": 2},
    }
    options, folder = option_file(change), tmp_path / "run"
    process = started(tmp_path, options, folder)
    deadline = time.monotonic() + 90
    while not (folder / "checkpoints" / "last").is_file():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(1)
    start = time.monotonic()
    os.kill(process.pid, signal.SIGTERM)
    process.wait(40)
    assert time.monotonic() - start < 12, "of 16 seconds a process"
    assert checkpoint_of(folder, 2)["validation_due"] is True
    assert (folder / "log.txt").read_text().splitlines()[-1].endswith("stopped by SIGTERM")


@pytest.mark.slow
def test_other_number_of_processes(tmp_path: Path, option_file: Callable[..., Path]):
    """Two of them need 2 iterations for an epoch, one needs 4."""
    options, folder = option_file({"train": {"iters": None, "epochs": 2}}), tmp_path / "run"
    trained("-opt", options, "--work-dir", folder, "--set", "train.epochs=1")
    assert checkpoint_of(folder, 2)["position"]["epoch"] == 1
    train(load_options(options), folder, resume=True, device="cpu")
    position = {"iteration": 6, "epoch": 2, "into_epoch": 0, "epoch_length": 4, "epoch_of": "generator"}
    assert checkpoint_of(folder, 6)["position"] == position
    log = (folder / "log.txt").read_text(encoding="utf-8")
    assert "2 process(es) wrote the checkpoint, now there are 1" in log
