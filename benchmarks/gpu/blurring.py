"""Blur that is made while training: on one core of the CPU, and in batches on the device."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deblurkit.contracts import dataset_traits
from deblurkit.data.blur.synthesized import SynthesizedBlur
from deblurkit.data.images import read_image, write_image
from deblurkit.data.loader import collate
from deblurkit.data.photographs import PHOTOGRAPHS, photograph_file
from deblurkit.data.prefetch import DeviceBatches
from deblurkit.report.tables import Table
from gpu.task import Task, run

BLURS = ("Shake", "ObjectMotion", "Defocus", "Still")
_NEEDED_S = 2.0


@dataclasses.dataclass(frozen=True)
class Compared:
    """One blur both ways; seconds are of one image.

    Attributes:
        worker_s: What a worker takes that makes the whole pair.
        drawn_s: What it takes where the device blurs.
        device_s: What the device takes then, in a batch.
        most: The largest difference between both ways' images, in levels of 255.
        differing: The share of values that differ at all.
    """

    blur: str
    worker_s: float
    drawn_s: float
    device_s: float
    most: float
    differing: float


def measure(task: Task) -> None:
    """Compares both ways, blur by blur."""
    found: list[Compared] = []
    batch, crop = (2, 48) if task.tiny else (16, 256)
    folder = task.out / "photographs"
    folder.mkdir(parents=True, exist_ok=True)
    for photograph in PHOTOGRAPHS[:4]:
        write_image(folder / f"{photograph.name}.png", read_image(photograph_file(photograph)))
    for name in BLURS:
        if task.has_time(name, _NEEDED_S):
            with task.unit(name):
                found.append(compare(task, name, folder, batch, crop))
        _keep(task, found, batch, crop)


def compare(task: Task, name: str, folder: Path, batch: int, crop: int) -> Compared:
    """Makes one batch in either way, from the same random numbers, and times both."""
    noise = {"full_well": 10000, "read_noise": 3}
    sets = {}
    for where in ("worker", "device"):
        sets[where] = SynthesizedBlur(str(folder), [name], noise=noise, crop=crop, where=where)
        sets[where].cache()
    samples: dict[str, list[dict[str, Any]]] = {where: [] for where in sets}
    seconds = dict.fromkeys(sets, 0.0)
    for number in range(batch + 1):
        for where, dataset in sets.items():
            begun = time.perf_counter()
            sample = dataset.sample(number % len(dataset), np.random.default_rng(number))
            if number:  # the first one warms up
                seconds[where] += time.perf_counter() - begun
                samples[where].append(sample)
    expected = collate(samples["worker"])
    finish = dataset_traits(sets["device"]).finish
    given = collate(samples["device"])
    repeats = 2 if task.tiny else 10
    batches = iter(DeviceBatches((given for _ in range(repeats + 1)), task.device, finish))
    made = next(batches)
    task.wait()
    begun = time.perf_counter()
    for made in batches:  # noqa: B007 (the last one is compared)
        pass
    task.wait()
    device_s = (time.perf_counter() - begun) / repeats / batch
    apart = 255 * torch.cat([(made[side].cpu() - expected[side]).abs() for side in ("blurred", "sharp")])
    most, differing = apart.max().item(), (apart > 0.5).float().mean().item()
    return Compared(name, seconds["worker"] / batch, seconds["device"] / batch, device_s, most, differing)


def _keep(task: Task, found: list[Compared], batch: int, crop: int) -> None:
    task.found = {"batch": batch, "crop": crop, "blurs": [dataclasses.asdict(each) for each in found]}
    rows = []
    for each in found:
        times = [f"{1000 * seconds:.2f}" for seconds in (each.worker_s, each.drawn_s, each.device_s)]
        ratio = each.worker_s / (each.drawn_s + each.device_s)
        rows.append([each.blur, *times, f"{ratio:.1f}", f"{each.most:.0f}", f"{each.differing:.3%}"])
    columns = ["blur", "worker alone, ms", "worker for device, ms", "device, ms", "times as fast"]
    table = Table(f"A pair of {crop} pixels, batches of {batch}", [*columns, "levels apart, most", "differing"], rows)
    task.keep([table], ["Workers have one core each; 'times as fast' is of one worker and the device in turn."])


if __name__ == "__main__":
    run("blurring", measure)
