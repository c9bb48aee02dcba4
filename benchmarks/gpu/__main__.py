"""Measures everything that needs a GPU, in ten minutes on one card, and writes it into one folder.

    benchmarks/gpu.sh --out DIR [--minutes 10] [--only PART ...] [--device cpu --tiny]

Each part has a time of its own, in which it does the most telling first; what it leaves out it says. A part that takes
longer still is ended, one that fails stops no other. ``summary.md`` is written anew after each: which failed, and all
tables. The exit code is 1 if any part failed.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes import start

from deblurkit import cli
from deblurkit.files import write_atomically


@dataclass(frozen=True)
class Part:
    """One module of this package; ``seconds`` of ten minutes are its own, ``title`` says what it finds."""

    name: str
    seconds: float
    title: str


PARTS = (
    Part("cudatests", 60, "the tests marked `cuda`"),
    Part("training", 225, "images a second in training, and loss curves"),
    Part("latency", 40, "time and memory of a restored image"),
    Part("peak", 40, "share of the device's bf16 peak, and where the rest goes"),
    Part("syncs", 30, "waits for the device in a training step"),
    Part("loading", 40, "share of waiting for packed data"),
    Part("blurring", 20, "blur on the device against the CPU's"),
    Part("starting", 60, "the network in the box, trained with the time that is left"),
)
"""In this order. The first, which looks for the device, and the last, which takes what the others left, are special."""
_MACHINE = Part("machine", 30, "the machine")
_STARTING_S = 30.0  # of ten minutes: processes, and CUDA in each of them
TINY_S = 200.0
"""For each part of a trial, which needs a few; on a machine that is busy with other work, many more."""


@dataclass
class Outcome:
    """What became of a part: its ``verdict`` is ``passed``, or says why not."""

    part: Part
    verdict: str
    seconds: float


class Measurement:
    """The parts, one after the other, and the page about them.

    ``grace`` are the seconds behind its time after which a part is ended.
    """

    def __init__(self, out: Path, device: str, tiny: bool, minutes: float, grace: float = 6.0) -> None:
        self.out, self.device, self.tiny, self.minutes, self.grace = out, device, tiny, minutes, grace
        self.ends = time.monotonic() + 60 * minutes
        self.begun = datetime.datetime.now(datetime.UTC)
        self.method = "forkserver"
        self.outcomes: list[Outcome] = []

    def run(self, parts: Sequence[Part]) -> bool:
        """Runs the parts; returns whether all passed."""
        if not self.run_part(_MACHINE):
            if not self.device.startswith("cuda"):
                return False
            # CUDA that was started in the process that forks cannot be used in its children: a fresh one for each part.
            self.outcomes.clear()
            self.method = "spawn"
            if not self.run_part(_MACHINE):
                return False
        for part in parts:
            self.run_part(part)
        return all(outcome.verdict == "passed" for outcome in self.outcomes)

    def run_part(self, part: Part) -> bool:
        """Runs one part in a process of its own, which has its time; returns whether it passed."""
        seconds = self._time_of(part)
        print(f"{part.name}: {part.title}, {seconds:.0f} s at most", flush=True)
        log = self.out / f"{part.name}.log"
        for file in self._files(part):  # an earlier run's must not be taken for this one's
            (self.out / file).unlink()
        begun = time.monotonic()
        arguments: list[object] = ["--out", self.out, "--device", self.device, "--seconds", seconds]
        arguments += ["--tiny"] if self.tiny else []
        verdict = "no time was left"
        if seconds > 0:
            process = start(f"gpu.{part.name}", arguments, log, method=self.method)
            process.join(seconds + self.grace)
            verdict = "ended: it took longer than its time"
            if process.exitcode is not None:
                verdict = "passed" if process.exitcode == 0 else f"FAILED with exit code {process.exitcode}"
            process.kill()  # and with it what it started, which is in a group of its own once it has begun
            with contextlib.suppress(ProcessLookupError, PermissionError):
                assert process.pid is not None
                os.killpg(process.pid, signal.SIGKILL)
            process.join()
        self.outcomes.append(Outcome(part, verdict, time.monotonic() - begun))
        self.write()
        print(f"{part.name}: {verdict}", flush=True)
        if verdict != "passed" and log.is_file():
            print("\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:]), file=sys.stderr)
        return verdict == "passed"

    def _time_of(self, part: Part) -> float:
        left = self.ends - time.monotonic() - self.grace
        if part.name == "starting":
            return min(left, TINY_S) if self.tiny else left
        whole = 600 - _STARTING_S
        return min(TINY_S if self.tiny else part.seconds * (60 * self.minutes - _STARTING_S) / whole, left)

    def write(self) -> None:
        """Writes ``summary.md`` and ``summary.json`` anew."""
        lines = [
            "# Ten minutes of GPU" if not self.tiny else "# A trial of ten minutes of GPU: no figure of it counts",
            "",
            f"{self.begun:%Y-%m-%d %H:%M} UTC, {self.minutes:g} minutes at most, device {self.device}, processes by "
            f"{self.method}",
            "",
            "| part | | seconds | files |",
            "|---|---|---:|---|",
        ]
        for outcome in self.outcomes:
            files = ", ".join(f"`{file}`" for file in self._files(outcome.part))
            lines.append(f"| {outcome.part.name} | {outcome.verdict} | {outcome.seconds:.1f} | {files} |")
        for outcome in self.outcomes:
            page = self.out / f"{outcome.part.name}.md"
            lines += ["", f"# {outcome.part.title[0].upper()}{outcome.part.title[1:]}", ""]
            lines.append(
                page.read_text(encoding="utf-8") if page.is_file() else f"Nothing was found: {outcome.verdict}."
            )
        write_atomically(self.out / "summary.md", "\n".join(lines) + "\n")
        verdicts = {outcome.part.name: outcome.verdict for outcome in self.outcomes}
        content = {"parts": verdicts, "device": self.device, "ratios": dict(_ratios(self.out))}
        write_atomically(self.out / "summary.json", json.dumps(content, indent=2) + "\n")

    def _files(self, part: Part) -> list[str]:
        return sorted(file.name for file in self.out.glob(f"{part.name}[._]*") if file.is_file())


def _ratios(out: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields what other benchmarks' files hold too: what is compared, and how it came out; no limit is set to any."""
    rates: dict[str, dict[str, float]] = {}
    training = _found(out, "training")
    for unit in (*training.get("rates", []), *training.get("curves", [])):
        rates.setdefault(unit["file"], {}).setdefault(unit["mode"], unit["images_per_s"])
    for file, by_mode in rates.items():
        for mode, rate in by_mode.items():
            if mode != "fp32" and "fp32" in by_mode:
                ratio = {"ratio": rate / by_mode["fp32"], "limit": None, "better": "higher"}
                yield f"{file}: images a second in training, {mode} against fp32", ratio
    for unit in _found(out, "loading").get("trainings", []):
        yield f"{unit['file']}: share of waiting for data", {"ratio": unit["waiting"], "limit": None, "better": "lower"}
    for unit in _found(out, "peak").get("steps", []):
        ratio = {"ratio": unit["share_of_peak"], "limit": None, "better": "higher"}
        yield f"{unit['file']}: share of the bf16 peak in training", ratio


def _found(out: Path, part: str) -> dict[str, Any]:
    file = out / f"{part}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def main() -> int:
    """Runs what was asked for."""
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(prog="benchmarks/gpu.sh", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="the folder for everything, a new one")
    parser.add_argument("--device", default="cuda", help="cuda (default), cuda:1 ..., or cpu")
    parser.add_argument("--minutes", type=float, default=10.0, help="for everything (default: %(default)g)")
    parser.add_argument("--only", metavar="PART", nargs="+", choices=names, default=names, help=", ".join(names))
    parser.add_argument("--tiny", action="store_true", help="everything once on small networks, in seconds")
    args = parser.parse_args()
    out: Path = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    for folder in ("loading", "starter"):  # of an earlier run; what a part writes into files it writes anew
        shutil.rmtree(out / folder, ignore_errors=True)
    passed = Measurement(out, args.device, args.tiny, args.minutes).run(
        [part for part in PARTS if part.name in args.only]
    )
    print(f"{out / 'summary.md'}: {'all parts passed' if passed else 'NOT all parts passed'}")
    return 0 if passed else 1


if __name__ == "__main__":
    cli.run(main)
