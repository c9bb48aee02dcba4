"""Time and memory of one restored 1280 x 720 image, for every registered generator, in fp32 and in bf16."""

from __future__ import annotations

import dataclasses
from typing import Any

from deblurkit.checkpoint import build_generator
from deblurkit.device import Precision
from deblurkit.evaluation.cost import Timing, device_peak_bytes, time_images
from deblurkit.report.tables import NOTHING, Table
from gpu.recipes import FILES, TRIED, recipe
from gpu.task import Task, run

_PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
_NEEDED_S = 3.0


def measure(task: Task) -> None:
    """Times the generators one after the other."""
    shape, repeats = ((48, 64), 2) if task.tiny else ((720, 1280), 10)
    found: list[dict[str, Any]] = []
    task.found = {"height": shape[0], "width": shape[1], "images": found}
    for name in TRIED if task.tiny else FILES:
        if not task.has_time(name, _NEEDED_S):
            continue
        with task.unit(name):
            options = recipe(name, task.tiny)
            generator = build_generator(options).eval().to(task.device)
            for precision in _PRECISIONS:
                timing = Timing(task.device, precision=precision, repeats=repeats)
                latency = time_images(generator, shape, timing)
                peak = device_peak_bytes(generator, shape, timing) if task.device.type == "cuda" else None
                figures = {"precision": precision, "device_peak_bytes": peak, **dataclasses.asdict(latency)}
                found.append({"file": name, "generator": options.generator["type"], **figures})
        task.keep([_table(found, shape)], ["Latency: median and 95th percentile, synchronised, padding included."])


def _table(found: list[dict[str, Any]], shape: tuple[int, int]) -> Table:
    rows = []
    for each in found:
        peak = each["device_peak_bytes"]
        memory = NOTHING if peak is None else f"{peak / 2**20:.0f}"
        times = [f"{1000 * each[which]:.2f}" for which in ("median_s", "p95_s")]
        rows.append([each["file"], each["generator"], each["precision"], *times, memory])
    columns = ["file", "generator", "precision", "ms", "95 %", "peak MiB"]
    return Table(f"One image of {shape[1]} x {shape[0]}", columns, rows, 3)


if __name__ == "__main__":
    run("latency", measure)
