"""Whether a training that is killed, again and again, ends as one that is not: bit for bit.

Real processes of ``deblurkit train`` are killed with SIGKILL and resumed until their run is finished. A run is a tiny
DeblurGAN (dropout) against a critic with a gradient penalty, 5 critic steps, accumulation over 2 batches, an averaged
generator, bf16, with validations and checkpoints at intervals of their own; it reads its data itself or through two
workers, in one process or in two that torchrun starts. For every kill a phase of the training is drawn, one of its next
occurrences and a moment within it; a hook of the run says in which phase the process really died. A finished run is
compared with an uninterrupted one: every checkpoint with all that it holds, and ``scalars.jsonl`` but for the clock.

Linux only. The exit code is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from same_training import compare_runs
from victims import PHASES, Experiment, Setup, Training

from deblurkit import cli
from deblurkit.data.blur.pair_folder import write_json
from deblurkit.evaluation.provenance import environment

_ALONE = (Setup(1, 0), Setup(1, 2))
SETUPS = (*_ALONE, Setup(2, 0), *_ALONE, *_ALONE, Setup(2, 2), *_ALONE)
"""How the runs are made, in turn, by the remainder of their seeds; two processes take three times as long to start."""
PER_RUN = 8  # kills of one run, at most: it may end before
NEXT = {"starting": 1, "reading": 6, "step": 6, "validation": 2, "writing": 3}
"""The phases that are aimed at, and of how many occurrences in a process one is drawn."""
TRAINING_SEED = 1  # alike for all, so that runs of one setup share what they are compared with


@dataclass(frozen=True)
class Kill:
    """What was killed and where it was.

    Attributes:
        aimed: The phase that was drawn.
        phase: The phase that the process was in; of several killed together, the first one.
        iteration: Iterations that it had done.
        killed: ``process``, or of two ``rank 0``, ``rank 1``, ``ranks`` or ``launcher and ranks``.
    """

    aimed: str
    phase: str
    iteration: int
    killed: str


@dataclass(frozen=True)
class Outcome:
    """A run that was killed and resumed to its end.

    Attributes:
        seed: Of the phases and moments that were drawn.
        kills: In their order.
        problems: How it differs from an uninterrupted run, or why it did not end.
    """

    seed: int
    setup: Setup
    kills: tuple[Kill, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Reference:
    """An uninterrupted run, and the mean seconds of an occurrence of each of its phases."""

    experiment: Experiment
    work_dir: Path
    lasts: dict[str, float]


def run_uninterrupted(folder: Path, setup: Setup) -> Reference:
    """Train to the end.

    Raises:
        RuntimeError: It fails.
    """
    experiment = Experiment(folder, setup, TRAINING_SEED)
    training = Training(experiment, folder / "whole")
    if training.wait():
        raise RuntimeError(f"the uninterrupted run failed:\n{training.text}")
    page = training.page()
    lasts = {phase: page.seconds[phase] / page.entered[phase] for phase in NEXT}
    return Reference(experiment, folder / "whole", lasts)


def run_killed(reference: Reference, seed: int, most: int) -> Outcome:
    """Train, kill and resume until the run is finished, and compare it."""
    setup, rng = reference.experiment.setup, random.Random(seed)
    work_dir = reference.experiment.folder / f"killed_{seed}"
    kills: list[Kill] = []
    while True:
        training = Training(reference.experiment, work_dir)
        try:
            kill = _kill(training, reference.lasts, rng) if len(kills) < most else None
            code = training.wait()
        except BaseException:
            training.stop()
            raise
        if code == 0:
            return Outcome(seed, setup, tuple(kills), tuple(compare_runs(work_dir, reference.work_dir)))
        if kill is None:
            last = training.text.strip().splitlines()[-1:]
            problem = f"resumed after {len(kills)} kills it failed with code {code}: {''.join(last)}"
            return Outcome(seed, setup, tuple(kills), (problem,))
        kills.append(kill)


def _kill(training: Training, lasts: dict[str, float], rng: random.Random) -> Kill | None:
    """Kill at a moment that is drawn; return ``None`` where the training ends before."""
    aimed = rng.choice([*NEXT])
    occurrence, moment = rng.randint(1, NEXT[aimed]), rng.random()
    choices = {"process": [0]}
    if training.processes > 1:
        choices = {"rank 0": [0], "rank 1": [1], "ranks": [0, 1], "launcher and ranks": [0, 1]}
    killed = rng.choice([*choices])
    if not training.reaches(aimed, occurrence):
        return None
    time.sleep(moment * lasts[aimed])
    training.kill(choices[killed], launcher="launcher" in killed)
    page = training.page(choices[killed][0])
    return Kill(aimed, page.phase, page.iteration, killed)


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Return a row for each phase, and a column for each setup: kills, and how many of their runs ended identical."""
    setups = sorted({outcome.setup for outcome in outcomes}, key=str)
    counted = counts(outcomes)
    lines = [f"| killed in | {' | '.join(map(str, setups))} | all |", "| --- |" + " ---: |" * (len(setups) + 1)]
    for phase in PHASES:
        cells = [counted.get((phase, setup), (0, 0)) for setup in setups]
        cells.append((sum(cell[0] for cell in cells), sum(cell[1] for cell in cells)))
        lines.append(f"| {phase} | {' | '.join(f'{kills}, {same} identical' for kills, same in cells)} |")
    return lines


def counts(outcomes: Sequence[Outcome]) -> dict[tuple[str, Setup], tuple[int, int]]:
    """Return by phase and setup the number of kills, and of those whose run ended bit-identical."""
    found: dict[tuple[str, Setup], tuple[int, int]] = {}
    for outcome in outcomes:
        for kill in outcome.kills:
            place = (kill.phase, outcome.setup)
            kills, same = found.get(place, (0, 0))
            found[place] = (kills + 1, same + (not outcome.problems))
    return found


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, metavar="N", help="how often to kill (100)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the first run; each has the next one (0)")
    parser.add_argument("--tiny", action="store_true", help="one kill of a training in one process")
    parser.add_argument("--out", metavar="FILE", help="write the kills and what came of them as JSON")
    args = parser.parse_args()
    if args.tiny:
        args.kills, args.seed = 1, 0
    return args


def main() -> int:
    """Kill, resume, compare; tell whether every run ended as an uninterrupted one."""
    args = parse()
    began = time.monotonic()
    outcomes: list[Outcome] = []
    references: dict[Setup, Reference] = {}
    with tempfile.TemporaryDirectory() as scratch:
        while (left := args.kills - sum(len(outcome.kills) for outcome in outcomes)) > 0:
            seed = args.seed + len(outcomes)
            setup = SETUPS[seed % len(SETUPS)]
            if setup not in references:
                references[setup] = run_uninterrupted(Path(scratch, str(setup)), setup)
            outcomes.append(run_killed(references[setup], seed, min(left, PER_RUN)))
            report(outcomes[-1])
    seconds = round(time.monotonic() - began)
    print(*table(outcomes), f"{args.kills} kills in {seconds} s", sep="\n")
    if args.out:
        write_json(Path(args.out), record(outcomes, seconds))
    return 1 if any(outcome.problems for outcome in outcomes) else 0


def report(outcome: Outcome) -> None:
    """Print what came of a run."""
    kills = ", ".join(f"{kill.phase} at {kill.iteration}" for kill in outcome.kills)
    told = "DIFFERS" if outcome.problems else "identical"
    print(f"seed {outcome.seed}, {outcome.setup}: {told}; {len(outcome.kills)} kills: {kills}", flush=True)
    if outcome.problems:
        print(*(f"  {problem}" for problem in outcome.problems), sep="\n")
        print(f"  again: python benchmarks/kills.py --kills {len(outcome.kills)} --seed {outcome.seed}", flush=True)


def record(outcomes: Sequence[Outcome], seconds: int) -> dict[str, Any]:
    """Return what the JSON holds."""
    phases: dict[str, dict[str, dict[str, int]]] = {phase: {} for phase in PHASES}
    for (phase, setup), (kills, same) in counts(outcomes).items():
        phases[phase][str(setup)] = {"kills": kills, "identical": same}
    runs = [{**dataclasses.asdict(outcome), "setup": str(outcome.setup)} for outcome in outcomes]
    return {
        "command": shlex.join(["python", "benchmarks/kills.py", *sys.argv[1:]]),
        "environment": {**environment(torch.device("cpu"), "bf16"), "threads": 1},
        "seconds": seconds,
        "killed_in": phases,
        "runs": runs,
    }


if __name__ == "__main__":
    cli.run(main)
