"""Measures what a generator costs: parameters, multiply-accumulates, memory and time of one image."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from deblurkit.checkpoint import build_generator
from deblurkit.costs import CostReport, GeneratorCost, Latency, SizeCost, TimeRatio
from deblurkit.device import Precision, check_precision
from deblurkit.errors import UserError, first_line
from deblurkit.evaluation.provenance import environment
from deblurkit.inference.forward import device_of, restore_whole
from deblurkit.inference.memory import LiveTensors
from deblurkit.inference.restore import restore
from deblurkit.options import shipped
from deblurkit.options.load import load_options
from deblurkit.options.schema import Options
from deblurkit.plugins import load_plugins

SIZES = ("256x256", "720x1280")
"""Image sizes measured by default, height first."""

_METHODS = {
    "macs": "GMACs: torch.utils.flop_counter / 2: convolutions and matrix products only, a transposed convolution at "
    "its input positions; counted on the meta device, on the padded image",
    "live_peak": "live peak: the most that tensors alive at once take while one image is restored in fp32, above "
    "weights and image; counted on the meta device, without the scratch memory of kernels, and with attention as "
    "plain matrix products",
    "device_peak": "device peak: torch.cuda.max_memory_allocated while one image is restored, above weights and image",
    "latency": "seconds: one image, from a tensor on the device to the restored tensor, padding and cropping included; "
    "fresh weights, evaluation mode, synchronised before and after each",
    "ratio": "ratio: both networks in turn, one image each a round, who begins alternating; the median of the rounds' "
    "ratios. The published one is of the two times in one paper's table, on its machine",
    "published": "published times are of other machines, so they have no deviation",
}
_LARGEST_TIMED_ON_CPU = 256 * 256  # pixels, unless sizes to time are named

T = TypeVar("T")


@dataclass(frozen=True)
class Timing:
    """How to time, and on what.

    Attributes:
        sizes: Image sizes to time, as ``HxW``; ``None``: all on a GPU, up to 256x256 on a CPU.
        precision: One of :data:`deblurkit.device.PRECISIONS`.
        repeats: Number of images timed.
        warmup: Number of images before them that are not.

    Raises:
        UserError: ``precision`` is unknown, ``repeats`` is below 1 or ``warmup`` below 0.
    """

    device: torch.device
    sizes: Sequence[str] | None = None
    precision: Precision = "fp32"
    repeats: int = 10
    warmup: int = 2

    def __post_init__(self) -> None:
        check_precision(self.precision)
        if self.repeats < 1 or self.warmup < 0:
            raise UserError(f"needs repeats >= 1 and warmup >= 0, got {self.repeats} and {self.warmup}")

    def includes(self, size: str) -> bool:
        """Returns whether images of ``size`` are timed."""
        if self.sizes is not None:
            return size in self.sizes
        height, width = parse_size(size)
        return self.device.type != "cpu" or height * width <= _LARGEST_TIMED_ON_CPU


def cost_report(
    generators: Sequence[GeneratorCost], timing: Timing | None, ratios: Sequence[TimeRatio] = ()
) -> CostReport:
    """Returns costs and ratios of times with how they come about and the environment in which they did."""
    # A figure that nobody measured is not explained either.
    explained = {"macs", "live_peak", "published"}
    if ratios:
        explained.add("ratio")
    if timing is None:
        where = environment(torch.device("meta"), "fp32")
    else:
        where = environment(timing.device, timing.precision)
        where |= {"warmup": timing.warmup, "repeats": timing.repeats}
        explained.add("latency")
        if timing.device.type == "cuda":
            explained.add("device_peak")
    methods = {figure: text for figure, text in _METHODS.items() if figure in explained}
    return CostReport(generators, methods, where, ratios)


def parse_size(text: str) -> tuple[int, int]:
    """Returns height and width of ``HxW``.

    >>> parse_size("720x1280")
    (720, 1280)

    Raises:
        UserError: ``text`` is no size.
    """
    found = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if not found:
        raise UserError(f"size: {text!r} should read HEIGHTxWIDTH, such as 720x1280")
    return int(found[1]), int(found[2])


def option_files(folder: str) -> list[str]:
    """Returns the option files that lie directly in a folder, sorted; ``deblurkit:`` has the names of the shipped ones.

    Raises:
        UserError: There are none.
    """
    if folder == shipped.PREFIX:
        return [name for name in shipped.names() if "/" not in name]
    found = sorted(file.as_posix() for file in Path(folder).glob("*.yml"))
    if not found:
        raise UserError(f"{folder}: there are no option files (*.yml) in such a folder")
    return found


def load_all(files: Sequence[str], overrides: Sequence[str] = (), plugins: Sequence[str] = ()) -> dict[str, Options]:
    """Reads option files, with ``overrides`` in each of them.

    Raises:
        UserError: With the problems of all files.
    """
    load_plugins(plugins)
    found: dict[str, Options] = {}
    problems: list[str] = []
    for file in files:
        try:
            found[file] = load_options(file, overrides)
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError(*dict.fromkeys(problems))  # files share bases, and a mistake in one is told once
    return found


def measure_all(
    experiments: Mapping[str, Options],
    sizes: Sequence[str] = SIZES,
    timing: Timing | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[GeneratorCost]:
    """Measures the generators of several options, by their files, one by one: see :func:`measure_generator`."""
    measured: list[GeneratorCost] = []
    for file, options in experiments.items():
        measured.append(measure_generator(options, file, sizes, timing))
        if progress is not None:  # a name for the bar, the generators done, and all
            progress("measuring", len(measured), len(experiments))
    return measured


def measure_generator(
    options: Options, file: str, sizes: Sequence[str] = SIZES, timing: Timing | None = None
) -> GeneratorCost:
    """Measures the generator that options name, with fresh weights; no data and no weight file is read.

    What fails is said in the result's ``failures`` and leaves ``None``; everything else is measured all the same.
    Without ``timing``, neither time nor memory is measured on a device.

    Raises:
        UserError: One of ``sizes`` does not read ``HxW``.
    """
    shapes = {size: parse_size(size) for size in sizes}  # all of them, before a network is built
    published: dict[str, float] = {}
    if options.paper is not None and options.paper.cost is not None:
        published = options.paper.cost.model_dump(exclude_none=True)
    failures: list[str] = []
    # Counts come from the meta device, where any network runs without time and memory; only the clock needs weights.
    with torch.device("meta"):
        counted = _attempt(lambda: build_generator(options).eval(), failures)
    timed = None
    if timing is not None and any(map(timing.includes, sizes)):
        timed = _attempt(lambda: build_generator(options).eval().to(timing.device), failures)
    built = counted if counted is not None else timed
    return GeneratorCost(
        name=options.name,
        file=file,
        generator=options.generator["type"],
        published=published,
        parameters=None if built is None else sum(weight.numel() for weight in built.parameters()),
        sizes=tuple(_measure_size(counted, timed, size, shape, timing) for size, shape in shapes.items()),
        failures=tuple(dict.fromkeys(failures)),  # both attempts tend to fail for one reason
    )


def _measure_size(
    counted: nn.Module | None, timed: nn.Module | None, size: str, shape: tuple[int, int], timing: Timing | None
) -> SizeCost:
    failures: list[str] = []
    counts = latency = peak = None
    if counted is not None:
        counts = _attempt(lambda: count(counted, shape), failures)
    if timed is not None and timing is not None and timing.includes(size):
        latency = _attempt(lambda: time_images(timed, shape, timing), failures)
        # What the clock could not run, the allocator cannot either: the failure is told once.
        if latency is not None and timing.device.type == "cuda":
            peak = _attempt(lambda: device_peak_bytes(timed, shape, timing), failures)
    return dataclasses.replace(
        counts or SizeCost(size), device_peak_bytes=peak, latency=latency, failures=tuple(dict.fromkeys(failures))
    )


def _attempt(work: Callable[[], T], failures: list[str]) -> T | None:
    """Returns ``work()``; where it raises, notes why and returns ``None``."""
    try:
        return work()
    except Exception as error:  # a plugin's network may raise anything
        failures.append(in_one_line(error))
        return None


def in_one_line(error: Exception) -> str:
    """Returns the class of an exception and the first line of what it says, cut to 200 characters."""
    return f"{type(error).__name__}: {first_line(error)[:200]}"


@torch.no_grad()
def count(generator: nn.Module, shape: tuple[int, int]) -> SizeCost:
    """Counts the work and the memory of restoring one image of height and width ``shape``, exactly.

    The generator is in eval mode, and on the meta device, where nothing is computed, or any other.
    """
    image = torch.zeros(1, 3, *shape, device=device_of(generator, torch.device("meta")))
    given = [image, *generator.parameters(), *generator.buffers()]
    with input_sizes(generator) as seen, FlopCounterMode(display=False) as work, LiveTensors(given) as memory:
        restore_whole(generator, image)
    size, computed_size = "{}x{}".format(*shape), "{}x{}".format(*seen[0])
    macs = work.get_total_flops() // 2  # the counter takes a multiplication and an addition for two
    return SizeCost(size, computed_size, macs, live_peak_bytes=memory.peak_bytes)


@contextmanager
def input_sizes(network: nn.Module) -> Iterator[list[tuple[int, int]]]:
    """Gives a list that takes up height and width of each input of the network while the block runs."""
    sizes: list[tuple[int, int]] = []
    hook = network.register_forward_pre_hook(lambda _, inputs: sizes.append(tuple(inputs[0].shape[-2:])))
    try:
        yield sizes
    finally:
        hook.remove()


def time_images(generator: nn.Module, shape: tuple[int, int], timing: Timing) -> Latency:
    """Times the restoration of one image again and again, by a generator in eval mode on ``timing.device``."""
    image = noise_image(shape, timing.device)
    # The first images pay for what is chosen and allocated only once, and are not counted.
    seconds = [seconds_of(generator, image, timing) for _ in range(timing.warmup + timing.repeats)]
    return latency_of(seconds[timing.warmup :])


def seconds_of(generator: nn.Module, image: Tensor, timing: Timing) -> float:
    """Times the restoration of one image, once."""
    _synchronise(timing.device)
    start = time.perf_counter()
    restore(generator, image, timing.precision)
    _synchronise(timing.device)
    return time.perf_counter() - start


def latency_of(seconds: Sequence[float]) -> Latency:
    """Returns the median and the 95th percentile, interpolated linearly, of one or more times."""
    median, p95 = np.percentile(seconds, [50, 95])
    return Latency(float(median), float(p95), len(seconds))


def device_peak_bytes(generator: nn.Module, shape: tuple[int, int], timing: Timing) -> int:
    """Returns what CUDA's allocator gave out at most while one image was restored, above weights and image."""
    image = noise_image(shape, timing.device)
    _synchronise(timing.device)
    before = torch.cuda.memory_allocated(timing.device)
    torch.cuda.reset_peak_memory_stats(timing.device)
    restore(generator, image, timing.precision)
    _synchronise(timing.device)
    return torch.cuda.max_memory_allocated(timing.device) - before


def noise_image(shape: tuple[int, int], device: torch.device) -> Tensor:
    """Returns the image that is restored for the clock: noise, always the same."""
    return torch.rand(1, 3, *shape, generator=torch.Generator().manual_seed(0)).to(device)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":  # kernels are queued: without this the clock would stop before they have run
        torch.cuda.synchronize(device)
