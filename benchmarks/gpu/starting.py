"""Trains the network in the box by its own script for the time that is left; what it saved stays in the folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from same_training import records

from deblurkit.data.images import read_image, write_image
from deblurkit.data.photographs import PHOTOGRAPHS, photograph_file
from deblurkit.report.tables import Table
from gpu.task import ROOT, Task, run

_SAVING_S = 8.0  # between the signal and the end
_SETS = ("val.shake", "test.light", "test.slight", "test.strong", "test.sharp")


def measure(task: Task) -> None:
    """Trains until the time is up, and tells how far it came."""
    photographs, note = ROOT / "datasets" / "starter", "on its own photographs"
    if not photographs.is_dir():
        photographs, note = task.out / "starter_photographs", "on a few photographs of scikit-image: no network to use"
        _stand_in(photographs)
    work = task.out / "starter"
    settings = [
        f"datasets.train.sharp={photographs}/train",
        *(f"datasets.{name}.sharp={photographs}/val" for name in _SETS),
    ]
    settings += ["train.checkpoint_every=500", "logging.tensorboard=false", "logging.curves=false"]
    if task.tiny:
        settings += ["datasets.train.batch_size=1", "logging.every=1", "datasets.train.workers=0"]
    command = [sys.executable, str(ROOT / "benchmarks" / "starter.py"), "--work-dir", str(work)]
    # Both get the signal as this group, and the training saves; this process only notes that it came.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    process = subprocess.Popen(
        [*command, "--device", str(task.device), "--set", *settings], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    shown = threading.Thread(target=_show, args=(process,), daemon=True)
    shown.start()
    while shown.is_alive() and task.left > _SAVING_S and not (task.tiny and _records(work)):
        time.sleep(0.2)
    os.killpg(0, signal.SIGTERM)
    shown.join(_SAVING_S)
    if shown.is_alive():
        task.failures.append(f"the training did not end within {_SAVING_S:g} s of SIGTERM")
    told = _records(work)
    rows = []
    for part, lines in told.items():
        first, last = lines[0], lines[-1]
        saved = sorted(file.name for file in (work / part / "checkpoints").glob("iter_*.pth"))
        figures = [str(last["iteration"]), f"{first['loss']:.4g}", f"{last['loss']:.4g}", f"{last['time']:.4f}"]
        rows.append([part, saved[-1] if saved else "-", *figures, f"{last['data_time'] / last['time']:.0%}"])
        if not saved:
            task.failures.append(f"starter/{part}: no checkpoint was saved")
    if not rows:
        task.failures.append("nothing was trained: starting.log")
    task.found = {"photographs": note, "parts": {part: lines[-1] for part, lines in told.items()}}
    columns = ["part", "newest checkpoint", "iterations", "first loss", "last loss", "s an iteration", "waiting"]
    table = Table("The network in the box, below `starter`", columns, rows, 2)
    task.keep([table], [note, "It ends with the time, not with its recipe; the same command goes on with it."])


def _records(work: Path) -> dict[str, list[dict]]:
    """Returns what each part logged of its training so far, oldest part first."""
    found = {}
    for file in sorted(work.glob("*/scalars.jsonl"), key=lambda each: each.stat().st_ctime):
        lines = [line for line in records(file.parent) if "loss" in line]
        if lines:
            found[file.parent.name] = lines
    return found


def _show(process: subprocess.Popen[bytes]) -> None:
    """Prints what the script and its training print, until the last of them has ended."""
    assert process.stdout is not None
    for line in process.stdout:
        print(line.decode(errors="replace"), end="", flush=True)


def _stand_in(folder: Path) -> None:
    for split in ("train", "val"):
        (folder / split).mkdir(parents=True, exist_ok=True)
    for number, photograph in enumerate(PHOTOGRAPHS):
        if photograph.split == "train" or number == 0:
            image = np.ascontiguousarray(read_image(photograph_file(photograph)))
            write_image(folder / ("train" if number else "val") / f"{photograph.name}.png", image)


if __name__ == "__main__":
    run("starting", measure)
