"""Images a second of every registered generator in its paper's recipe, and loss curves, by precision and layout."""

from __future__ import annotations

import dataclasses
import itertools
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from deblurkit.report.tables import NOTHING, Table
from gpu.recipes import CLOSER, FILES, TRIED, Mode, Training, fitting
from gpu.task import Task, run

FP32 = Mode("fp32")
TF32 = Mode("tf32", "tf32")
BF16 = Mode("bf16", "bf16")
CHANNELS_LAST = Mode("bf16, channels_last", "bf16", channels_last=True)
COMPILED = Mode("bf16, compile", "bf16", compile=True)
AGAIN = Mode("fp32 again")  # how far two runs of one mode lie apart, which is no mode's fault
TUNED = Mode("bf16, channels_last, cudnn.benchmark", "bf16", channels_last=True, cudnn_benchmark=True)
QUICK = (FP32, TF32, BF16, CHANNELS_LAST)
CURVES = (FP32, TF32, BF16, CHANNELS_LAST, AGAIN, TUNED)

WARM, WINDOW, ITERATIONS = 5, 20, 200
_RATE_S, _CURVE_S, _COMPILED_S = 0.7, 25.0, 60.0  # the most for one measurement, without what it takes to warm up
_COMPILING_S = 25.0  # what compiling takes at the least


@dataclass(frozen=True)
class Measured:
    """One network trained in one mode.

    Attributes:
        file, generator: The option file, and the registered name of its network.
        mode: The name of a :class:`Mode`.
        batch: Pairs of a batch, of ``side`` pixels.
        iterations: Done in all, of which the first ones warmed up and are in no rate.
        images_per_s: Of the generator's batches.
        seconds: In all, with warming up and compiling.
        peak_mib: The most that the GPU's allocator gave out; ``None`` on a CPU.
        losses: The generator's total of each iteration.
    """

    file: str
    generator: str
    mode: str
    batch: int
    side: int
    iterations: int
    images_per_s: float
    seconds: float
    peak_mib: int | None
    losses: list[float]


def measure(training: Training, mode: Mode, iterations: int, most_s: float) -> Measured:
    """Trains for so many iterations, or as many as there is time for; at least a few more than warm up."""
    device, cuda = training.device, training.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    begun = since = time.perf_counter()
    kept: list[torch.Tensor] = []
    steps = training.steps(mode)
    warm = min(WARM, iterations // 2)
    for done, log in enumerate(itertools.islice(steps, iterations), 1):
        kept.append(log["loss"])
        # The process runs ahead of the GPU: only where both meet does the clock say anything.
        if done == warm:
            _wait(device)
            since = time.perf_counter()
        elif done % 10 == 0 and done > warm:
            _wait(device)
            if time.perf_counter() - since > most_s:
                break
    _wait(device)
    ended = time.perf_counter()
    return Measured(
        file=training.name,
        generator=training.generator,
        mode=mode.name,
        batch=training.batch,
        side=training.side,
        iterations=len(kept),
        images_per_s=(len(kept) - warm) * training.images / (ended - since),
        seconds=round(ended - begun, 2),
        peak_mib=torch.cuda.max_memory_allocated(device) >> 20 if cuda else None,
        losses=torch.stack(kept).float().tolist(),
    )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def distance(curve: list[float], reference: list[float]) -> tuple[float, float] | None:
    """Returns how far a loss curve lies from another: of means over windows the mean and the largest difference.

    Both are shares of the other curve's mean size; ``None`` where no window is full.
    """
    length = min(len(curve), len(reference))
    starts = range(0, length - WINDOW + 1, WINDOW)
    if not starts:
        return None
    ours, theirs = ([statistics.fmean(c[start : start + WINDOW]) for start in starts] for c in (curve, reference))
    size = statistics.fmean(map(abs, theirs)) or 1.0
    apart = [abs(one - other) / size for one, other in zip(ours, theirs, strict=True)]
    return statistics.fmean(apart), max(apart)


class Part:
    """The measurements, breadth first: rates of all networks, then curves, then what a compiler makes of them."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.rates: list[Measured] = []
        self.curves: list[Measured] = []
        self.iterations = 3 if task.tiny else ITERATIONS
        self.smaller: dict[str, str] = {}
        self._trainings: dict[str, Training] = {}
        if task.tiny:
            torch.compiler.set_default_backend("eager")  # what inductor makes takes longer than all the rest

    def run(self) -> None:
        """Measures everything that there is time for."""
        files, closer = (TRIED, TRIED[:1]) if self.task.tiny else (FILES, CLOSER)
        others = [name for name in files if name not in closer and not self.task.tiny]
        self._all(files, QUICK, self.rates, _RATE_S, needed_s=4.0)
        self._all(closer, CURVES[:4], self.curves, _CURVE_S, needed_s=8.0)
        self._all(closer, (COMPILED,), self.curves, _COMPILED_S, needed_s=_COMPILING_S)
        self._all(closer, CURVES[4:], self.curves, _CURVE_S, needed_s=8.0)
        self._all(others, CURVES[:4], self.curves, _CURVE_S, needed_s=10.0)
        self._all(others, (COMPILED,), self.rates, 5.0, needed_s=_COMPILING_S + 10)

    def _all(
        self, files: Sequence[str], modes: Sequence[Mode], into: list[Measured], most_s: float, needed_s: float
    ) -> None:
        """Measures each file in each mode, as long as ``needed_s`` are left, for ``most_s`` at the most."""
        what = "curve" if into is self.curves else "rate"
        for name, mode in itertools.product(files, modes):
            title = f"{name}, {what}, {mode.name}"
            if self.task.has_time(title, needed_s):
                with self.task.unit(title):
                    into.append(self._measured(name, mode, min(most_s, self.task.left - 2)))
                    torch._dynamo.reset()
                self.keep()

    def _measured(self, name: str, mode: Mode, most_s: float) -> Measured:
        """Measures with the batch that fitted in the mode before: fp32, which takes the most memory, comes first."""
        training = self._trainings.pop(name, None) or Training(name, self.task.device, self.task.tiny)
        training, found = fitting(training, lambda fits: measure(fits, mode, self.iterations, most_s))
        self._trainings[name] = training
        if training.batch < training.options.datasets.train[0].loader.batch_size:
            self.smaller[name] = f"{name}: batches of {training.batch}, since its own do not fit into the memory."
        return found

    def keep(self) -> None:
        """Writes what was measured so far."""
        found = {"rates": self.rates, "curves": self.curves}
        self.task.found = {what: [dataclasses.asdict(each) for each in units] for what, units in found.items()}
        notes = [
            f"Rates: images a second of the generator's batches, behind {WARM} iterations that warm up; batches lie on "
            "the device, rates of learning are constant, networks start at random weights.",
            f"Curves: {self.iterations} iterations from equal weights on equal batches, where there was time; "
            f"of means over {WINDOW} iterations the mean and the largest distance from fp32, as shares of fp32's. "
            "What `fp32 again` shows is what the order of sums on the device alone does.",
        ]
        self.task.keep([self._rates(), self._curves()], [*notes, *self.smaller.values()])

    def _rates(self) -> Table:
        modes = [mode.name for mode in (*QUICK, COMPILED, TUNED)]
        best: dict[tuple[str, str], float] = {}
        shapes: dict[str, tuple[str, str]] = {}
        for each in (*self.rates, *self.curves):
            shapes[each.file] = each.generator, f"{each.batch} x {each.side}"
            best.setdefault((each.file, each.mode), each.images_per_s)
        rows = []
        for file, shape in shapes.items():
            cells = [best.get((file, mode)) for mode in modes]
            rows.append([file, *shape, *(NOTHING if cell is None else f"{cell:.1f}" for cell in cells)])
        return Table("Images a second in training", ["file", "generator", "batch x crop", *modes], rows, 3)

    def _curves(self) -> Table:
        fp32 = {each.file: each.losses for each in self.curves if each.mode == FP32.name}
        rows = []
        for each in self.curves:
            apart = distance(each.losses, fp32[each.file]) if each.file in fp32 and each.mode != FP32.name else None
            shares = [NOTHING, NOTHING] if apart is None else [f"{share:.2%}" for share in apart]
            last = statistics.fmean(each.losses[-WINDOW:])
            rows.append([each.file, each.mode, str(each.iterations), f"{each.losses[0]:.4g}", f"{last:.4g}", *shares])
        columns = [
            "file",
            "mode",
            "iterations",
            "first loss",
            f"mean of the last {WINDOW}",
            "apart, mean",
            "apart, most",
        ]
        return Table("Loss curves against fp32", columns, rows, 2)


if __name__ == "__main__":
    run("training", lambda task: Part(task).run())
