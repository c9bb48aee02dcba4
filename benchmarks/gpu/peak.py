"""How near training comes to the device's measured bf16 peak, and on what the rest of its time is spent."""

from __future__ import annotations

import itertools
import time
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from deblurkit.files import write_atomically
from deblurkit.report.tables import Table
from gpu.recipes import CLOSER, TRIED, Training, fitting
from gpu.task import Task, run
from gpu.training import CHANNELS_LAST, WARM

_PROFILED = 3  # iterations
_ROWS = 30
_NEEDED_S = 8.0
_SUMS = (
    "conv",
    "gemm",
    "cudnn",
    "xmma",
    "cutlass",
    "wgrad",
    "dgrad",
    "fprop",
    "nvjet",
    "mkldnn",
    "::mm",
    "addmm",
    "bmm",
)
"""What the names of kernels that multiply and add have in them; the rest moves data or works element by element."""


class _Flops(TorchDispatchMode):
    """Adds up what torch's formulas say; torch's own counter follows modules, and fails at a gradient penalty."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs an operator and adds its floating-point operations."""
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result


def measure(task: Task) -> None:
    """Measures the peak, then the training steps of some networks."""
    found: list[dict[str, Any]] = []
    side = 512 if task.tiny else 8192
    with task.unit("the peak"):
        task.found = {"peak_flops": matmul_flops(task, side), "matrix_side": side, "steps": found}
    for name in TRIED if task.tiny else CLOSER:
        if "peak_flops" in task.found and task.has_time(name, _NEEDED_S):
            with task.unit(name):
                training = Training(name, task.device, task.tiny)
                _, figures = fitting(training, lambda fits: step(task, fits, task.found["peak_flops"]))
                del training
                found.append(figures)
        _keep(task, found)
    _keep(task, found)


def matmul_flops(task: Task, side: int) -> float:
    """Returns the floating-point operations a second of a large product in bf16, which is what can be had at best."""
    one, other = (torch.randn(side, side, device=task.device, dtype=torch.bfloat16) for _ in range(2))
    repeats = 3 if task.tiny else 50
    rates = []
    for _ in range(4):  # the first one warms up
        task.wait()
        begun = time.perf_counter()
        for _ in range(repeats):
            torch.mm(one, other)
        task.wait()
        rates.append(2 * side**3 * repeats / (time.perf_counter() - begun))
    return max(rates[1:])


def step(task: Task, training: Training, peak: float) -> dict[str, Any]:
    """Counts, times and profiles the iterations of one network in bf16 with channels last."""
    steps = training.steps(CHANNELS_LAST)
    for _ in itertools.islice(steps, 1 if task.tiny else WARM):
        pass
    with _Flops() as counter:
        next(steps)
    task.wait()
    repeats = 2 if task.tiny else 20
    begun = time.perf_counter()
    for _ in itertools.islice(steps, repeats):
        pass
    task.wait()
    seconds = (time.perf_counter() - begun) / repeats
    flops = counter.total
    figures = {
        "file": training.name,
        "batch": training.batch,
        "side": training.side,
        "flops": flops,
        "seconds": seconds,
    }
    return {**figures, "share_of_peak": flops / seconds / peak, **_profiled(task, training.name, steps)}


def _profiled(task: Task, name: str, steps: Any) -> dict[str, Any]:
    """Writes the profiler's table, and returns where the device's time goes."""
    cuda = task.device.type == "cuda"
    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA] if cuda else [ProfilerActivity.CPU]
    iterations = 1 if task.tiny else _PROFILED
    with profile(activities=activities) as profiler:
        begun = time.perf_counter()
        for _ in itertools.islice(steps, iterations):
            pass
        task.wait()
        seconds = time.perf_counter() - begun
    averages = profiler.key_averages()
    file = f"peak_{name}.txt"
    order = "self_device_time_total" if cuda else "self_cpu_time_total"
    write_atomically(task.out / file, averages.table(sort_by=order, row_limit=_ROWS, max_name_column_width=80))
    # Operators tell the time of their kernels too: only what ran on the device itself is added up.
    where = DeviceType.CUDA if cuda else DeviceType.CPU
    ran = [event for event in averages if event.device_type == where and not event.is_user_annotation]
    times = {event.key: event.self_device_time_total if cuda else event.self_cpu_time_total for event in ran}
    busy = sum(times.values()) or 1.0
    sums = sum(spent for key, spent in times.items() if any(text in key.lower() for text in _SUMS))
    calls = dict.fromkeys(("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize"), 0)
    launches = 0
    for event in averages:
        if event.key in calls:
            calls[event.key] = event.count
        launches += event.count if event.key.startswith(("cudaLaunchKernel", "cuLaunchKernel")) else 0
    return {
        "profile": file,
        "device_busy": busy / 1e6 / seconds,
        "convolutions_and_products": sums / busy,
        "launches_per_step": launches / iterations,
        "waits_in_profile": calls,
    }


def _keep(task: Task, found: list[dict[str, Any]]) -> None:
    rows = []
    for each in found:
        shares = [f"{each[key]:.1%}" for key in ("share_of_peak", "device_busy", "convolutions_and_products")]
        work = [f"{each['flops'] / 1e9:.1f}", f"{1000 * each['seconds']:.2f}"]
        rows.append([each["file"], each["profile"], *work, *shares, f"{each['launches_per_step']:.0f}"])
    columns = ["file", "profile", "GFLOP a step", "ms a step", "of the peak", "device busy", "of that, sums"]
    table = Table("A training step in bf16 with channels last", [*columns, "launches"], rows, 2)
    peak = task.found.get("peak_flops", 0.0)
    notes = [
        f"Peak: the best of three rounds of products of two {task.found.get('matrix_side')}-sided matrices in bf16, "
        f"{peak / 1e12:.3g} TFLOP/s.",
        "FLOP: torch's flop counter, forward and backward: convolutions and matrix products alone.",
        "Device busy: kernels' time over the clock's while the profiler looks on, which slows the process down.",
    ]
    task.keep([table], notes)


if __name__ == "__main__":
    run("peak", measure)
