"""Trainings to be killed: what they train, and where each of their processes is at a given moment."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from processes import start

from deblurkit.data.images import read_image, write_image
from deblurkit.data.photographs import PHOTOGRAPHS, photograph_file

PHASES = ("starting", "reading", "step", "validation", "writing", "ending")
"""Until the loop begins; waiting for batches; the updates; scoring; writing a checkpoint; the loop has ended."""
ITERS = 32
_TRAIN = Path(__file__).resolve().parents[1] / "tools" / "train.py"
_PAIRS, _SIDE = 72, 32
_SECONDS = 120  # no process of these trainings takes nearly as long
_VARIABLE = "DEBLURKIT_PHASES"

# Each process has such a page. It is a mapped file, so that it says where a killed process was.
_PAGE = [("phase", "i8"), ("pid", "i8"), ("iteration", "i8")]
_PAGE += [("entered", "i8", len(PHASES)), ("nanoseconds", "i8", len(PHASES))]  # how often a phase was, and how long
_HOOK = f'''
"""Publishes where a training is, from the moment that its options are read."""

import os
import time

import numpy as np
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

PHASES = {PHASES!r}
PAGE = np.memmap(os.environ["{_VARIABLE}"] + "." + os.environ.get("RANK", "0"), {_PAGE!r}, "r+")[0]
PAGE["pid"] = os.getpid()
PAGE["entered"][0] = 1
BEGUN = time.monotonic_ns()


@HOOKS.register_module()
class Phases(Hook):
    """Writes the present phase into a mapped file."""

    priority = "LOWEST"  # what the other hooks do after an iteration is a phase of theirs

    def __init__(self):
        self.phase, self.since = 0, BEGUN

    def enter(self, name, runner):
        now = time.monotonic_ns()
        PAGE["nanoseconds"][self.phase] += now - self.since
        self.phase, self.since = PHASES.index(name), now
        PAGE["iteration"] = runner.iter
        PAGE["phase"] = self.phase
        PAGE["entered"][self.phase] += 1

    def before_train(self, runner):
        self.enter("reading", runner)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.enter("step", runner)

    def before_val(self, runner):
        self.enter("validation", runner)

    def on_save(self, runner):
        self.enter("writing", runner)

    def after_iteration(self, runner):
        self.enter("reading", runner)

    def after_train(self, runner):
        self.enter("ending", runner)
'''


@dataclass(frozen=True)
class Setup:
    """How a training is run."""

    processes: int
    workers: int

    def __str__(self) -> str:
        return f"{self.processes} process{'es' * (self.processes > 1)}, {self.workers} workers"


@dataclass(frozen=True)
class Page:
    """Where a process was when the page was read, or when it died."""

    phase: str
    pid: int
    iteration: int
    entered: dict[str, int]
    seconds: dict[str, float]


class Experiment:
    """A tiny training in which every kind of state matters, on photographs that scikit-image ships.

    Args:
        folder: Where its files go.
        setup: How it is run.
        seed: The training's.
    """

    def __init__(self, folder: Path, setup: Setup, seed: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.setup = setup
        self.file = folder / "options.yml"
        pairs = _write_pairs(folder)
        (folder / "phases.py").write_text(_HOOK, encoding="utf-8")
        options = _options(pairs, setup, seed)
        self.file.write_text(json.dumps(options, indent=1), encoding="utf-8")  # JSON is YAML


class Training:
    """One run of ``deblurkit train``, in one process or in two.

    Args:
        experiment: What to train.
        work_dir: Where; taken up if something is there.
    """

    def __init__(self, experiment: Experiment, work_dir: Path) -> None:
        self.processes = experiment.setup.processes
        self.output = work_dir.with_suffix(".txt")
        self._pages = work_dir.with_suffix(".phases")
        for rank in range(self.processes):
            np.zeros(1, _PAGE).tofile(self._page_file(rank))
        arguments: list[object] = ["-opt", experiment.file, "--work-dir", work_dir, "--device", "cpu", "--resume"]
        script = str(_TRAIN)
        if self.processes > 1:
            launch = ["--standalone", "--nproc_per_node", self.processes, script, "--launcher", "pytorch"]
            script, arguments = "torch.distributed.run", [*launch, *arguments]
        environment = {_VARIABLE: str(self._pages), "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        self.process = start(script, arguments, self.output, environment)

    def page(self, rank: int = 0) -> Page:
        """Return where a process of the training is, or was when it died."""
        page = np.fromfile(self._page_file(rank), _PAGE)[0]
        entered = dict(zip(PHASES, page["entered"].tolist(), strict=True))
        seconds = dict(zip(PHASES, (page["nanoseconds"] / 1e9).tolist(), strict=True))
        return Page(PHASES[page["phase"]], int(page["pid"]), int(page["iteration"]), entered, seconds)

    def reaches(self, phase: str, occurrence: int) -> bool:
        """Wait until the first process has entered a phase that often; returns whether it did before its end."""
        pages = [np.memmap(self._page_file(rank), _PAGE, "r")[0] for rank in range(self.processes)]
        index = PHASES.index(phase)
        deadline = time.monotonic() + _SECONDS
        while pages[0]["entered"][index] < occurrence or not all(page["pid"] for page in pages):
            if not self.process.is_alive():
                return False
            self._give_up_after(deadline)
            time.sleep(0.0002)
        return True

    def kill(self, ranks: Sequence[int], launcher: bool) -> None:
        """Kill the processes of the ranks, and before them what launched them, which would see that they are gone."""
        if launcher:
            self.process.kill()
        for rank in ranks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.page(rank).pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait until none of its processes is left; returns the exit code, negative for a signal."""
        deadline = time.monotonic() + _SECONDS
        pids = [self.page(rank).pid for rank in range(self.processes)]
        while self.process.is_alive() or any(_lives(pid) for pid in pids):
            self.process.join(0.02)
            self._give_up_after(deadline)
        code = self.process.exitcode
        assert code is not None
        return code

    def stop(self) -> None:
        """End what is left of it, where it does not end by itself."""
        self.process.kill()
        self.process.join()
        self.kill([rank for rank in range(self.processes) if _lives(self.page(rank).pid)], launcher=False)

    @property
    def text(self) -> str:
        """All that was printed in this folder."""
        return self.output.read_text(encoding="utf-8") if self.output.exists() else ""

    def _page_file(self, rank: int) -> Path:
        return self._pages.with_name(f"{self._pages.name}.{rank}")

    def _give_up_after(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            self.stop()
            raise RuntimeError(f"still running after {_SECONDS} s:\n{self.text}")


def _lives(pid: int) -> bool:
    """Return whether a process is there; one that has ended, and waits to be counted by its parent, is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _write_pairs(folder: Path) -> dict[str, str]:
    """Cut small pairs out of photographs, and return the keys of a data set of them."""
    photographs = [read_image(photograph_file(one)) for one in PHOTOGRAPHS[:4]]
    places = itertools.islice(itertools.cycle(photographs), _PAIRS)
    for number, photograph in enumerate(places):
        top, left = 4 * number % (photograph.shape[0] - _SIDE), 100
        sharp = np.ascontiguousarray(photograph[top : top + _SIDE, left : left + _SIDE])
        for side, pixels in (("sharp", sharp), ("blurred", cv2.GaussianBlur(sharp, (0, 0), 1.5))):
            (folder / side).mkdir(exist_ok=True)
            write_image(folder / side / f"{number:03}.png", pixels)
    return {"type": "PairedImages", "blurred": str(folder / "blurred"), "sharp": str(folder / "sharp")}


def _options(pairs: dict[str, str], setup: Setup, seed: int) -> dict[str, Any]:
    """Return options under which a training has every kind of state: dropout, momenta, an average, two intervals."""
    training = {**pairs, "crop": 24, "augment": ["hflip", "rot90"], "batch_size": 1, "workers": setup.workers}
    penalised = {"type": "AdversarialLoss", "mode": "wgan", "critic": "critic", "gradient_penalty": {"weight": 10}}
    return {
        "name": "victim",
        "seed": seed,
        "plugins": ["phases.py"],
        "hooks": [{"type": "Phases"}],
        "generator": {"type": "DeblurGAN", "channels": 4, "blocks": 1},
        "discriminators": {"critic": {"type": "PatchDiscriminator", "channels": 4, "layers": 2}},
        "losses": {"image": {"type": "L1Loss"}, "adversarial": {**penalised, "weight": 0.01}},
        "optimizers": {
            "generator": {"type": "Adam", "lr": 1e-3},
            "discriminators": {"type": "Adam", "lr": 1e-3, "betas": [0.5, 0.9]},
        },
        "schedulers": [{"type": "PolyLR", "eta_min": 1e-5}],
        "datasets": {"train": training, "val": {"pairs": {**pairs, "limit": 4}}},
        "train": {
            "iters": ITERS,
            "critic_steps": 5,
            "critic_batches": "own",
            "accumulate": 2,
            "ema": {"decay": 0.9},
            "precision": "bf16",
            "checkpoint_every": 3,
            "keep": ITERS,
        },
        "val": {"every": 4},
        "logging": {"every": 1, "tensorboard": False, "samples": 0, "curves": False},
    }
