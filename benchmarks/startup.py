"""How long deblurkit takes to start, against ``python -c 'import torch'`` in the same run.

Whole processes, from their start to their end or to a line that they print. Each round starts all of them in turn; the
first round, in which files are read and byte code is compiled, is dropped. What is compared are medians of the rounds'
own ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from records import Ratio, section

from deblurkit import cli
from deblurkit.data.images import write_image
from deblurkit.device import processor_name

ROOT = Path(__file__).resolve().parents[1]
PYTHON, TORCH = ("-c", "pass"), ("-c", "import torch")
IMAGES, SIDE = 4, 96

OPTIONS = """
name: startup
generator: {{type: FilterBankUNet, channels: [8, 8], blocks: 1, filters: 4, taps: 5}}
discriminators: {{critic: {{type: PatchDiscriminator, channels: 8, layers: 2}}}}
losses:
  image: {{type: L1Loss}}
  adversarial: {{type: AdversarialLoss, mode: lsgan, critic: critic, weight: 0.01}}
optimizers: {{generator: {{type: Adam, lr: 1.0e-4}}, discriminators: {{type: Adam, lr: 1.0e-4}}}}
schedulers: [{{type: CosineAnnealingLR}}]
datasets: {{train: {{type: PairedImages, blurred: {folder}/blurred, sharp: {folder}/sharp, crop: 64, batch_size: 2}}}}
train: {{iters: 2}}
logging: {{every: 1, curves: false}}
"""


@dataclass(frozen=True)
class Case:
    """A process, how far it is followed, and how long that may take.

    ``until`` is a part of the line of its output at which the clock stops: ``""`` takes the first, ``None`` the end.
    """

    name: str
    command: tuple[str, ...]
    limit: float | None  # times torch's import
    until: str | None = None


@dataclass(frozen=True)
class Timed:
    """When a process printed its lines, and when it ended, in seconds from its start."""

    lines: tuple[tuple[float, str], ...]
    end: float

    def at(self, until: str | None) -> float:
        """Return when a line with this text came; ``None``: when the process ended."""
        if until is None:
            return self.end
        return next(seconds for seconds, line in self.lines if until in line)


def cases(folder: Path, commands: list[str]) -> list[Case]:
    """Return what is measured."""
    train = ("tools/train.py", "-opt", str(folder / "options.yml"), "--work-dir", str(folder / "run"), "--overwrite")
    check = "from deblurkit import load_options; load_options('madn')"
    module = ("-m", "deblurkit")
    return [
        Case("python -c pass", PYTHON, None),
        Case("import deblurkit", ("-c", "import deblurkit"), 0.05),
        Case("deblurkit --help", (*module, "--help"), 0.1),
        Case("tools/train.py --help", ("tools/train.py", "--help"), 0.1),
        *(Case(f"deblurkit {name} --help", (*module, name, "--help"), 0.1) for name in commands),
        Case("deblurkit list", (*module, "list"), 1.3),
        Case("tools/list.py", ("tools/list.py",), 1.3),
        Case("deblurkit options madn --expand", (*module, "options", "madn", "--expand"), 1.3),
        Case("load_options('madn')", ("-c", check), 1.3),
        Case("tools/train.py to its first line", train, 2.0, ""),
        Case("tools/train.py to iteration 1", train, None, "iteration 1/"),
    ]


def timed(command: tuple[str, ...]) -> Timed:
    """Run a process of this interpreter to its end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # with it, every start would compile our modules anew
    began = time.perf_counter()
    lines = []
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append((time.perf_counter() - began, line))
    if process.returncode:
        sys.exit(f"{' '.join(command)}: ended with {process.returncode}")
    return Timed(tuple(lines), time.perf_counter() - began)


def measure(chosen: list[Case], rounds: int, dropped: int) -> tuple[list[float], dict[str, list[float]]]:
    """Return the seconds of torch's import in each round behind the ``dropped`` ones, and those of each case."""
    torch: list[float] = []
    seconds: dict[str, list[float]] = {case.name: [] for case in chosen}
    for _ in range(dropped + rounds):
        torch.append(timed(TORCH).end)
        ran: dict[tuple[str, ...], Timed] = {}
        for case in chosen:
            if case.command not in ran:  # one training tells of two lines
                ran[case.command] = timed(case.command)
            seconds[case.name].append(ran[case.command].at(case.until))
    return torch[dropped:], {name: values[dropped:] for name, values in seconds.items()}


def write_data(folder: Path) -> None:
    """Write a few pairs of noise, and the option file of a short training on them."""
    random = np.random.default_rng(0)
    for side in ("blurred", "sharp"):
        (folder / side).mkdir()
        for index in range(IMAGES):
            write_image(folder / side / f"{index}.png", random.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8))
    (folder / "options.yml").write_text(OPTIONS.format(folder=folder.as_posix()), encoding="utf-8")


def main() -> None:
    """Measure, print, and say whether the claims hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", metavar="FILE", help="also write the figures as JSON")
    parser.add_argument("--tiny", action="store_true", help="one round, few commands; the exit code leaves claims out")
    arguments = parser.parse_args()
    commands = [name for names in cli.GROUPS.values() for name in names]
    if arguments.tiny:
        arguments.rounds, commands = 1, commands[:1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder)
        chosen = cases(folder, commands)
        torch, seconds = measure(chosen, arguments.rounds, dropped=0 if arguments.tiny else 1)
    print(f"import torch: {statistics.median(torch):.2f} s ({min(torch):.2f} to {max(torch):.2f})")
    ratios: list[Ratio] = []
    for case in chosen:
        middle = statistics.median(own / base for own, base in zip(seconds[case.name], torch, strict=True))
        ratios.append(Ratio(f"{case.name} / import torch", middle, case.limit, "lower"))
        verdict = ""
        if case.limit is not None:
            verdict = f", at most {case.limit:g}: {'holds' if ratios[-1].holds else 'FAILS'}"
        print(f"{case.name:34} {statistics.median(seconds[case.name]):.3f} s, {middle:.3f} x{verdict}")
    holds = all(ratio.holds for ratio in ratios)
    print("all claims hold" if holds else "not all claims hold")
    if arguments.out:
        machine = {"python": platform.python_version(), "processor": processor_name(), "cores": os.cpu_count()}
        figures = {"ratios": section(ratios), "torch_s": torch, "seconds": seconds, "holds": holds, "machine": machine}
        Path(arguments.out).write_text(json.dumps(figures, indent=2), encoding="utf-8")
    sys.exit(not holds and not arguments.tiny)


if __name__ == "__main__":
    cli.run(main)
