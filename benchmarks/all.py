"""Runs every benchmark of this folder that compares side by side on the CPU, and makes one table of their ratios.

Each script runs by itself, one after the other, in settings that end in half an hour together on two cores. What is
worse than in the last record by more than a tenth is marked; a script that fails or runs out of its time is named in
the table, and the others go on.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from records import Ratio, read, section

from deblurkit import cli
from deblurkit.device import processor_name, usable_cores
from deblurkit.files import write_atomically

HERE = Path(__file__).resolve().parent
RECORDS = HERE / "results"
TOLERANCE = 0.25  # between two runs of the same code ratios were seen to differ by up to a quarter on a shared machine
MOST_S = 600  # of one script


@dataclass(frozen=True)
class Script:
    """A benchmark, the settings in which it ends in minutes, and what it is about."""

    file: str
    arguments: tuple[str, ...]
    about: str


SCRIPTS = (
    Script("startup.py", (), "Start-up, whole processes"),
    Script("framework_cost.py", ("--rounds", "8"), "The framework in a training of almost no compute"),
    Script("training_speed.py", (), "Training of full-size networks"),
    Script("loader.py", ("--rounds", "3", "--memory-crops", "800"), "Training data"),
    Script("metrics.py", ("--pairs", "0", "--rounds", "3", "--files", "3"), "Scores"),
    Script("folder.py", ("--only", "nafnet", "dsc", "--images", "2", "--rounds", "2"), "Folders, large networks"),
    Script("folder.py", ("--only", "quickstart", "starter", "--rounds", "4"), "Folders, small networks"),
    Script("spandrel_call.py", ("--rounds", "9"), "One photograph in spandrel and here"),
    Script("attention.py", ("--sizes", "256x256", "1280x720", "--rounds", "5"), "Crosshatch attention"),
    Script("scaling.py", ("sets", "processes"), "Large training sets, and two processes"),
)


@dataclass(frozen=True)
class Outcome:
    """What a script found, or why it found nothing."""

    script: Script
    seconds: float
    ratios: Sequence[Ratio] = ()
    failure: str = ""


def run(script: Script, tiny: bool) -> Outcome:
    """Runs one script in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "figures.json")
        arguments = ("--tiny",) if tiny else script.arguments
        command = [sys.executable, str(HERE / script.file), *arguments, "--out", str(out)]
        start = time.perf_counter()
        failure = ""
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_S, env=_environment())
            if not out.is_file():
                failure = (done.stderr.strip().splitlines() or ["it wrote nothing"])[-1]
        except subprocess.TimeoutExpired:
            failure = f"not done after {MOST_S} s"
        return Outcome(script, time.perf_counter() - start, () if failure else read(out), failure)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])}


def last_record(but: Path | None) -> tuple[str, dict[str, Ratio]]:
    """Return the newest record's date and ratios by what they compare; of the file that is to be written anew none."""
    files = [file for file in sorted(RECORDS.glob("*-all-cpu.json")) if but is None or file.resolve() != but.resolve()]
    if not files:
        return "", {}
    return files[-1].name[:10], {ratio.of: ratio for ratio in read(files[-1])}


def table(outcomes: Sequence[Outcome], date: str, earlier: Mapping[str, Ratio]) -> list[str]:
    """Return the lines of the table in Markdown."""
    lines = [
        f"| what is compared | ratio | claimed | {date or 'no earlier record'} | |",
        "| --- | ---: | ---: | ---: | --- |",
    ]
    for outcome in outcomes:
        lines.append(f"| **{outcome.script.about}** (`{outcome.script.file}`, {outcome.seconds:.0f} s) | | | | |")
        if outcome.failure:
            lines.append(f"| | | | | FAILED: {outcome.failure} |")
        for ratio in outcome.ratios:
            remarks = [] if ratio.holds else ["**does not hold**"]
            before = earlier.get(ratio.of)
            if before is not None and ratio.slower_than(before, TOLERANCE):
                remarks.append("**slower than before**")
            limit = "" if ratio.limit is None else f"{'≤' if ratio.better == 'lower' else '≥'} {ratio.limit:g}"
            told = "" if before is None else f"{before.ratio:.2f}"
            lines.append(f"| {ratio.of} | {ratio.ratio:.2f} | {limit} | {told} | {', '.join(remarks)} |")
    return lines


def page(outcomes: Sequence[Outcome], lines: Sequence[str]) -> str:
    """Return the page of the docs around the table."""
    machine = f"{processor_name()}, {usable_cores()} cores, torch {torch.__version__}, Python {sys.version.split()[0]}"
    minutes = sum(outcome.seconds for outcome in outcomes) / 60
    return "\n".join(
        [
            "# Speed, side by side",
            "",
            "Every figure is a ratio of two ways that took turns on one machine in one run; `python benchmarks/all.py`",
            "measures them anew, and [benchmarks/README.md](../benchmarks/README.md) says how. Of a rate more is",
            f"better, of a time less. What got slower than the record before by more than {TOLERANCE:.0%} is marked.",
            "",
            f"{datetime.date.today().isoformat()}, {machine}; {minutes:.0f} minutes.",
            "",
            *lines,
            "",
        ]
    )


def main() -> None:
    """Run them all, print the table, and say whether all claims hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = list(dict.fromkeys(Path(script.file).stem for script in SCRIPTS))
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--tiny", action="store_true", help="one script, tiny; its claims are not judged")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the record as JSON: results/DATE-all-cpu.json")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the page: docs/benchmarks.md")
    args = parser.parse_args()
    if args.tiny:
        args.only = ["spandrel_call"]
    outcomes = []
    for script in SCRIPTS:
        if Path(script.file).stem in args.only:
            outcomes.append(run(script, args.tiny))
            print(f"{script.file}: {outcomes[-1].failure or 'done'} in {outcomes[-1].seconds:.0f} s", flush=True)
    date, earlier = last_record(args.out)
    lines = table(outcomes, date, earlier)
    print("\n".join(lines))
    ratios = [ratio for outcome in outcomes for ratio in outcome.ratios]
    if args.out:
        record = {
            "date": datetime.date.today().isoformat(),
            "machine": {"processor": processor_name(), "cores": usable_cores(), "torch": torch.__version__},
            "seconds": {outcome.script.about: round(outcome.seconds) for outcome in outcomes},
            "failures": {outcome.script.about: outcome.failure for outcome in outcomes if outcome.failure},
            "ratios": section(ratios),
        }
        write_atomically(args.out, json.dumps(record, indent=2) + "\n")
    if args.page:
        write_atomically(args.page, page(outcomes, lines))
    failed = any(outcome.failure for outcome in outcomes)
    sys.exit(failed or not (args.tiny or all(ratio.holds for ratio in ratios)))


if __name__ == "__main__":
    cli.run(main)
