"""Time and memory as images, batches, training sets and numbers of processes grow; what breaks first.

Three parts. ``images``: a training step and an inference, each in a process of its own. ``sets``: the order of an
epoch, the index of a folder and of a packed set, by the package's own code, fed with made-up names where files would be
too many. ``processes``: two real ones over gloo, and arithmetic for more.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.distributed
from peak_memory import KNOWN, MIB, growth
from records import Ratio, section
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from deblurkit import build_generator, cli, load_options
from deblurkit.data.dataset import FileTable, PairFiles
from deblurkit.data.epoch_plan import EpochPlan
from deblurkit.data.loader import EpochBatchSampler
from deblurkit.data.packing import packed
from deblurkit.data.packing.records import Header, Item, StoredImage
from deblurkit.data.paired import PairedImages
from deblurkit.engine.processes import exchanging, part

Figures = dict[str, Any]

PARTS = ("images", "sets", "processes")
NETWORKS = ("quickstart",)
SHARED = ("quickstart", "nafnet", "deblurgan", "deblurgan_v2", "madn")
BANDWIDTHS = {"10 Gbit/s Ethernet": 1.25e9, "100 Gbit/s": 12.5e9, "NVLink": 450e9}
"""Assumed, in bytes a second and direction, of one process: the wire's own rate, and an H100's 18 links."""
CARD = 100e12
"""Assumed floating-point operations a second that a card sustains in training."""
WORLDS = (1, 2, 4, 8, 16, 32, 64)


def network(name: str) -> nn.Module:
    """Return the generator of a shipped option file, with fresh weights and nothing fetched."""
    torch.manual_seed(0)
    options = Path(__file__).parents[1] / "options" / f"{name}.yml"
    return build_generator(load_options(options))


def restored(generator: nn.Module, images: Tensor) -> Tensor:
    """Return the image of whatever the generator gives."""
    output = generator(images)
    image: Tensor = output["image"] if isinstance(output, dict) else output
    return image


def timed(work: Callable[[], object], rounds: int) -> float:
    """Return the median of seconds, after one run that does not count."""
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


# --- images


def one_image(name: str, training: bool, batch: int, side: int, rounds: int) -> Figures:
    """Return seconds of a step or an inference, and the growth of this process by it."""
    generator = network(name).train(training)
    images = torch.rand(batch, 3, side, side)

    def step() -> None:
        with torch.set_grad_enabled(training):
            output = restored(generator, images)
            if training:
                generator.zero_grad()
                (output - images).abs().mean().backward()

    grown = growth(step) if KNOWN else None
    return {"seconds": timed(step, rounds), "bytes": grown}


def images_part(tiny: bool) -> list[Figures]:
    """Measure each case in a process of its own, whose peak is its own."""
    found = []
    for name, training in itertools.product(NETWORKS, (True, False)):
        sides = (32, 64) if tiny else (64, 128, 256, 512)
        cases = [(1, side) for side in sides] + [(batch, sides[1]) for batch in ((2,) if tiny else (2, 4, 8))]
        for batch, side in cases:
            given = [name, str(int(training)), str(batch), str(side), "1" if tiny else "3"]
            run = subprocess.run(
                [sys.executable, __file__, "--case", *given], capture_output=True, text=True, check=True
            )
            case = {"network": name, "training": training, "batch": batch, "side": side, **json.loads(run.stdout)}
            found.append(case)
            megabytes = "unknown" if case["bytes"] is None else f"{case['bytes'] / MIB:.0f} MiB"
            kind = "training step" if training else "inference"
            print(f"{name}, {kind}, {batch} x {side} x {side}: {case['seconds']:.3f} s, {megabytes}", flush=True)
    return found


# --- sets


def traced(work: Callable[[], Any]) -> tuple[float, int, int, Any]:
    """Return seconds, bytes kept and bytes at the peak of what ``work`` makes, and that itself.

    The work is done twice: watching every allocation takes time.
    """
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    tracemalloc.start()
    try:
        made = work()
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return seconds, kept, peak, made


def first_batch(size: int) -> EpochBatchSampler:
    """Return the order of an epoch of a set, one batch of it taken."""
    sampler = iter(EpochBatchSampler(EpochPlan.repeating([size], [1]), 8, seed=0, rank=0, world=1))
    next(sampler)
    return sampler  # type: ignore[return-value]


def first_batch_before(size: int) -> Any:
    """Return what was held for it until November 2026: the order and two columns of the plan, all of int64."""
    order = np.random.default_rng([0, 0, 0, 1]).permutation(size)
    passes, within = np.divmod(np.arange(size), size)
    images, repeats = np.concatenate([0 + within]), np.concatenate([passes - passes[0]])
    return order, images, repeats


def pair_files(count: int) -> list[PairFiles]:
    """Return pairs as a listing gives them, in folders of a thousand."""
    blurred, sharp = "/data/set/train/blur", "/data/set/train/sharp"
    found = []
    for number in range(count):
        key = f"{number // 1000:06d}/{number % 1000:06d}"
        found.append(PairFiles(key, Path(f"{blurred}/{key}.png"), Path(f"{sharp}/{key}.png")))
    return found


def packed_index(count: int) -> str:
    """Return the text of a packed set's index."""
    items = []
    for number in range(count):
        key = f"{number // 1000:06d}/{number % 1000:06d}"
        images = {side: StoredImage("|u1", "0" * 64, 2 * 786432 * number) for side in ("blurred", "sharp")}
        items.append(Item(key, 512, 512, images).as_json())
    header = Header(1, "packed", {}, [], None, None, count, "")
    return json.dumps({**vars(header), "items": items})


def linked_set(folder: Path, count: int) -> PairedImages:
    """Return a set of so many links to one pair of images."""
    image = np.zeros((64, 64, 3), np.uint8)
    for side in ("blur", "sharp"):
        (folder / side).mkdir(parents=True)
        cv2.imwrite(str(folder / f"{side}.png"), image)
        for number in range(count):
            os.link(folder / f"{side}.png", folder / side / f"{number:08d}.png")
    return PairedImages(str(folder / "blur"), str(folder / "sharp"))


def open_files() -> int:
    """Return how many files this process has open; 0 where the system does not tell."""
    return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else 0


def sets_part(tiny: bool) -> Figures:
    """Measure what a set of so many pairs takes before its first batch."""
    found: Figures = {"order": [], "order before": [], "folder": [], "objects": [], "packed": [], "listing": []}
    sizes = [10**3] if tiny else [10**4, 10**5, 10**6, 10**7, 10**8]

    def note(name: str, size: int, work: Callable[[], Any]) -> Any:
        seconds, kept, peak, made = traced(work)
        found[name].append({"size": size, "seconds": seconds, "kept": kept, "peak": peak})
        print(f"{name}, {size:,} pairs: {seconds:.3f} s, {kept / size:.1f} bytes a pair, {peak / size:.1f} at the peak")
        sys.stdout.flush()
        return made

    for size in sizes:
        note("order", size, lambda size=size: first_batch(size))
        if size <= 10**7:  # at 10^8 it needs more than this machine should give
            note("order before", size, lambda size=size: first_batch_before(size))
    for size in [s for s in sizes if s <= 10**6]:
        if size <= 10**5:
            note("objects", size, lambda size=size: pair_files(size))
        files = pair_files(size)
        note("folder", size, lambda files=files: FileTable(files))
        del files
    for size in [s for s in sizes if s <= 10**5]:
        text = packed_index(size)
        note("packed", size, lambda text=text: packed._table(json.loads(text)["items"]))
        found["packed"][-1]["text"] = len(text)
    for size in (20,) if tiny else (1000, 10_000):
        with tempfile.TemporaryDirectory() as place:
            opened = open_files()
            start = time.perf_counter()
            dataset = linked_set(Path(place), size)
            linked = time.perf_counter()
            dataset = PairedImages(f"{place}/blur", f"{place}/sharp")
            listed = time.perf_counter()
            dataset.verify()
            checked = time.perf_counter()
            for index in range(min(size, 100)):
                dataset.read(index)
            entry = {"size": size, "linking": linked - start, "seconds": listed - linked, "headers": checked - listed}
            found["listing"].append({**entry, "open files": open_files() - opened})
            print(f"folder of {size:,} files: {entry}, open files {open_files() - opened}", flush=True)
    return found


# --- processes


def gradient_bytes(name: str) -> tuple[int, float]:
    """Return bytes of a generator's gradients, and floating-point operations of a step on one 256x256 image.

    Backward counts as twice forward.
    """
    with torch.device("meta"):
        generator = network(name).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        restored(generator, torch.empty(1, 3, 256, 256, device="meta"))
    parameters = [p for p in generator.parameters() if p.requires_grad]
    return 4 * sum(p.numel() for p in parameters), 3.0 * counter.get_total_flops()


def join(rank: int, world: int, meeting: str, results: str, side: int, rounds: int) -> None:
    """Take part in a measurement, as one of several processes."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=world)
    found = exchanges(side, rounds)
    if rank == 0:
        Path(results).write_text(json.dumps(found), encoding="utf-8")
    part()


def exchanges(side: int, rounds: int) -> Figures:
    """Return seconds of steps without and with exchange, and of an exchange of as many bytes alone, in turns."""
    generator = network("quickstart")
    wrapped = exchanging(generator, torch.device("cpu"))
    images = torch.rand(2, 3, side, side)
    flat = torch.zeros(sum(p.numel() for p in generator.parameters()))
    large = torch.zeros(2**18 if rounds < 3 else 2**23)

    def step(chosen: nn.Module) -> None:
        (restored(chosen, images) - images).abs().mean().backward()

    works: dict[str, Callable[[], object]] = {
        "alone": lambda: step(generator),
        "exchanged": lambda: step(wrapped),
        "exchange": lambda: torch.distributed.all_reduce(flat),
        "large": lambda: torch.distributed.all_reduce(large),
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            torch.distributed.barrier()
            start = time.perf_counter()
            work()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {"seconds": seconds, "gradient bytes": 4 * flat.numel(), "large bytes": 4 * large.numel()}


def efficiency(gradients: float, operations: float, bandwidth: float, world: int) -> tuple[float, float]:
    """Return the share of a step that is computing, where the exchange waits for it, and where the two overlap.

    A ring sends and receives ``2 (p - 1) / p`` times the gradients' bytes.
    """
    computing = operations / CARD
    exchange = 2 * (world - 1) / world * gradients / bandwidth
    return computing / (computing + exchange), computing / max(computing, exchange)


def processes_part(tiny: bool) -> Figures:
    """Measure two processes over gloo, and calculate up to 64."""
    rounds = 2 if tiny else 15
    with tempfile.TemporaryDirectory() as place:
        given = [f"{place}/meeting", f"{place}/results.json", "32" if tiny else "128", str(rounds)]
        both = []
        for rank in range(2):
            both.append(subprocess.Popen([sys.executable, __file__, "--join", str(rank), "2", *given]))
        failed = [process.wait(timeout=110) for process in both]
        if any(failed):
            sys.exit("a process of the group failed")
        found: Figures = json.loads(Path(given[1]).read_text(encoding="utf-8"))
    seconds = {name: statistics.median(values) for name, values in found["seconds"].items()}
    paired = [b / a for a, b in zip(found["seconds"]["alone"], found["seconds"]["exchanged"], strict=True)]
    rate = found["large bytes"] / seconds["large"]  # of two, each sends its half and then the other's sum
    found |= {"median seconds": seconds, "ratio": statistics.median(paired), "bytes a second": rate}
    print(f"2 processes over gloo: a step takes {found['ratio']:.3f} x one without exchange; {rate / 1e9:.2f} GB/s")
    found["networks"] = {}
    for name in SHARED[:1] if tiny else SHARED:
        gradients, operations = gradient_bytes(name)
        shares: Figures = {}
        for label, bandwidth in BANDWIDTHS.items():
            shares[label] = {p: efficiency(gradients, 4 * operations, bandwidth, p) for p in WORLDS}
        found["networks"][name] = {"gradient bytes": gradients, "operations": operations, "computing share": shares}
        told = [f"{label} {by[64][0]:.0%}, {by[64][1]:.0%} overlapped" for label, by in shares.items()]
        print(f"{name}: {gradients / 1e6:.1f} MB a step; at 64 processes computing is {'; '.join(told)}")
    return found


def ratios_of(figures: Figures) -> list[Ratio]:
    """Return what the figures claim."""
    found: list[Ratio] = []
    if "sets" in figures:
        sets = figures["sets"]
        for words, ours, other, limit in (
            ("order of an epoch: bytes at the peak / those of int64 columns", "order", "order before", 0.5),
            ("index of a folder: bytes a pair / those of a list of paths", "folder", "objects", 0.25),
        ):
            key = "peak" if ours == "order" else "kept"
            pairs = {entry["size"]: entry for entry in sets[other]}
            both = [entry[key] / pairs[entry["size"]][key] for entry in sets[ours] if entry["size"] in pairs]
            found.append(Ratio(words, both[-1], limit, "lower"))
    if "processes" in figures:
        words = "2 gloo processes: a step with exchange / one without"
        found.append(Ratio(words, figures["processes"]["ratio"], None, "lower"))
    return found


def main() -> None:
    """Measure, print, and say whether the claims hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="all by default")
    parser.add_argument("--out", metavar="FILE", help="also write the figures as JSON; those of other parts in it stay")
    parser.add_argument("--plots", nargs=2, metavar=("FILE", "DIR"), help="only draw a record's plots")
    parser.add_argument("--tiny", action="store_true", help="the least of everything; the exit code leaves claims out")
    parser.add_argument("--case", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--join", nargs=6, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.plots:
        from scaling_plots import draw

        draw(json.loads(Path(arguments.plots[0]).read_text(encoding="utf-8"))["figures"], Path(arguments.plots[1]))
        return
    if arguments.case:
        name, training, batch, side, rounds = arguments.case
        print(json.dumps(one_image(name, training == "1", int(batch), int(side), int(rounds))))
        return
    if arguments.join:
        rank, world, meeting, results, side, rounds = arguments.join
        join(int(rank), int(world), meeting, results, int(side), int(rounds))
        return
    figures: Figures = {}
    file = Path(arguments.out) if arguments.out else None
    if file is not None and file.is_file():
        figures = json.loads(file.read_text(encoding="utf-8"))["figures"]
    for name, measure in (("images", images_part), ("sets", sets_part), ("processes", processes_part)):
        if not arguments.parts or name in arguments.parts:
            figures[name] = measure(arguments.tiny)
    ratios = ratios_of(figures)
    holds = all(ratio.holds for ratio in ratios)
    for ratio in ratios:
        print(f"{ratio.of}: {ratio.ratio:.3f}")
    if file is not None:
        machine = {"python": platform.python_version(), "torch": torch.__version__, "threads": torch.get_num_threads()}
        date, command = datetime.now(UTC).date().isoformat(), "python benchmarks/scaling.py"
        content = {"date": date, "command": command, "machine": machine, "ratios": section(ratios), "figures": figures}
        file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    sys.exit(not holds and not arguments.tiny)


if __name__ == "__main__":
    cli.run(main)
