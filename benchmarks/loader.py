"""How fast 256 x 256 training crops come out of 1280 x 720 PNG pairs: basicsr's data set and ours, side by side.

The same pairs are read through the same number of workers with the same batch size in one process run: by basicsr's
``PairedImageDataset`` from a folder and from LMDB, by our ``PairedImages`` from the folder, and by our ``PackedPairs``.
The rounds are interleaved, so that all see the same machine; the first, in which workers start and files come into the
page cache, is dropped. Every way augments by flips and quarter turns and yields float32 batches.

Whole PNG and JPEG files are also decoded by our reader and by OpenCV alone, which was our reader once, in turn.

Then the memory that the packed set's process and workers hold for themselves (USS: private pages, mapped files not
counted) is read while crops are drawn.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import multiprocessing
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from records import Ratio, section
from torch.utils.data import DataLoader

from deblurkit import cli
from deblurkit.compat import import_basicsr
from deblurkit.data.images import read_image, write_image
from deblurkit.data.loader import build_train_loader
from deblurkit.data.packing.packed import PackedPairs
from deblurkit.data.packing.writer import pack
from deblurkit.data.paired import PairedImages, find_images
from deblurkit.data.photographs import PHOTOGRAPHS, photograph_file
from deblurkit.data.shake import random_trajectory, shake
from deblurkit.options.schema import Loader

HEIGHT, WIDTH, CROP, BATCH = 720, 1280, 256, 8
TINY_SIZE = (288, 320)  # height and width of a trial's pairs
READ_AHEAD = 6  # batches; more than the workers keep ready
TIMES_FASTER = 10.0  # the claim: the packed set against basicsr's folder
READINGS = 20  # of the memory
GROWTH = 1.05  # the claim: the median USS of the second half of the crops against that of the first

Batches = Iterator[dict[str, Any]]


def make_pairs(folder: Path, count: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
    """Write ``count`` pairs: photographs scaled to ``size`` (h, w), under a shake, both with a sensor's noise."""
    rng = np.random.default_rng(0)
    for side in ("blur", "sharp"):
        (folder / side).mkdir(parents=True)
    still = random_trajectory(rng, 0.0, 0.0)
    for number, photograph in zip(range(count), itertools.cycle(PHOTOGRAPHS)):
        picture = Image.fromarray(read_image(photograph_file(photograph)))
        left, top = rng.integers(0, np.array(picture.size) // 4)
        window = picture.resize(size[::-1], Image.Resampling.BICUBIC, (left, top, *picture.size))
        image = np.array(window)
        path = random_trajectory(rng, rng.uniform(5, 25), rng.uniform(0, 1))
        write_image(folder / "blur" / f"{number:03d}.png", shake(image, path, rng))
        write_image(folder / "sharp" / f"{number:03d}.png", shake(image, still, rng))


def make_lmdb(folder: Path) -> None:
    """Store the pairs as basicsr does, with its own code."""
    import_basicsr()
    from basicsr.utils.lmdb_util import make_lmdb_from_imgs

    for side in ("blur", "sharp"):
        names = sorted(path.name for path in (folder / side).iterdir())
        keys = [Path(name).stem for name in names]
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):  # its progress bar
            make_lmdb_from_imgs(str(folder / side), str(folder / f"{side}.lmdb"), names, keys)


def basicsr_batches(folder: Path, kind: str, workers: int) -> Batches:
    """Yield basicsr's batches, epoch after epoch."""
    import_basicsr()
    from basicsr.data.paired_image_dataset import PairedImageDataset

    ending = ".lmdb" if kind == "lmdb" else ""
    roots = {"dataroot_lq": str(folder / f"blur{ending}"), "dataroot_gt": str(folder / f"sharp{ending}")}
    sizes = {"phase": "train", "scale": 1, "gt_size": CROP, "use_hflip": True, "use_rot": True}
    dataset = PairedImageDataset({"io_backend": {"type": kind}, **roots, **sizes})
    loader = DataLoader(
        dataset,
        BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        generator=torch.Generator().manual_seed(0),
    )
    while True:
        yield from loader


def our_batches(dataset: Any, workers: int) -> Batches:
    """Yield our batches as the training draws them."""
    return iter(build_train_loader(dataset, Loader(batch_size=BATCH, workers=workers), seed=0))


def measure(ways: dict[str, Batches], rounds: int, crops: int) -> dict[str, list[float]]:
    """Return the crops a second of each round; one more round runs first and is dropped."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _, (name, batches) in itertools.product(range(rounds + 1), ways.items()):
        for _ in range(READ_AHEAD):  # read while the others ran
            next(batches)
        started = time.perf_counter()
        for _ in range(crops // BATCH):
            next(batches)
        seconds = (time.perf_counter() - started) / (crops // BATCH)
        found[name].append(BATCH / seconds)
        time.sleep(READ_AHEAD * seconds)  # until its workers rest
    return {name: values[1:] for name, values in found.items()}


def decode_seconds(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Return the seconds that decoding all files of each format took, by our reader and by OpenCV, for each round."""
    files = {".png": sorted((folder / "sharp").iterdir()), ".jpg": []}
    for number, file in enumerate(files[".png"]):
        jpeg = folder / f"{number:03d}.jpg"
        write_image(jpeg, read_image(file))
        files[".jpg"].append(jpeg)

    def by_opencv(file: Path) -> np.ndarray:
        decoded = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)

    cv2.setNumThreads(1)
    readers = {"deblurkit": read_image, "OpenCV": by_opencv}
    found: dict[str, list[float]] = {f"{suffix}, {name}": [] for suffix in files for name in readers}
    for number, (suffix, of_format) in itertools.product(range(rounds + 1), files.items()):
        seconds = dict.fromkeys(readers, 0.0)
        for file in of_format:
            # File by file, and each first in every other round, so that no reader finds a warmer machine.
            for name in sorted(readers, reverse=number % 2 == 1):
                started = time.perf_counter()
                readers[name](file)
                seconds[name] += time.perf_counter() - started
        for name, taken in seconds.items():
            found[f"{suffix}, {name}"].append(taken)
    return {name: values[1:] for name, values in found.items()}


def uss_mib() -> float:
    """Return the private memory of this process and its children in MiB; Linux only."""
    total = 0
    for pid in ["self", *(str(child.pid) for child in multiprocessing.active_children())]:
        for line in Path("/proc", pid, "smaps_rollup").read_text().splitlines():
            if line.startswith(("Private_Clean", "Private_Dirty")):
                total += int(line.split()[1])
    return total / 1024


def watch_memory(dataset: Any, workers: int, crops: int) -> list[float]:
    """Return the USS in MiB at equal distances while ``crops`` crops are drawn."""
    batches = our_batches(dataset, workers)
    found = []
    for _ in range(READINGS):
        for _ in range(crops // BATCH // READINGS):
            next(batches)
        found.append(round(uss_mib(), 1))
    batches.close()  # type: ignore[attr-defined]
    return found


def run(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure everything on the pairs in ``folder``."""
    decoding = decode_seconds(folder, arguments.rounds)
    make_lmdb(folder)
    augment = ["hflip", "vflip", "rot90"]
    pairs = PairedImages(str(folder / "blur"), str(folder / "sharp"), crop=CROP, augment=augment)
    pack(pairs, folder / "packed")
    packed = PackedPairs(str(folder / "packed"), crop=CROP, augment=augment)
    ways = {
        "basicsr, folder": basicsr_batches(folder, "disk", arguments.workers),
        "basicsr, LMDB": basicsr_batches(folder, "lmdb", arguments.workers),
        "deblurkit, folder": our_batches(pairs, arguments.workers),
        "deblurkit, packed": our_batches(packed, arguments.workers),
    }
    rates = measure(ways, arguments.rounds, arguments.crops)
    for batches in ways.values():
        batches.close()  # type: ignore[attr-defined]
    del ways, batches
    memory = watch_memory(packed, arguments.workers, arguments.memory_crops)
    return {"crops_per_second": rates, "decode_seconds": decoding, "uss_mib": memory}


def judge(found: dict[str, Any]) -> dict[str, bool]:
    """Return which of the claims hold."""
    rate = {name: statistics.median(values) for name, values in found["crops_per_second"].items()}
    memory = found["uss_mib"]
    half = len(memory) // 2
    ours = {
        suffix: statistics.median(found["decode_seconds"][f"{suffix}, deblurkit"])
        / statistics.median(found["decode_seconds"][f"{suffix}, OpenCV"])
        for suffix in (".png", ".jpg")
    }
    return {
        **{
            f"{suffix} is decoded in {ratio:.2f} of OpenCV's time, at most 1": ratio <= 1
            for suffix, ratio in ours.items()
        },
        f"packed is at least {TIMES_FASTER:g} x basicsr's folder": rate["deblurkit, packed"]
        >= TIMES_FASTER * rate["basicsr, folder"],
        "packed is faster than basicsr's LMDB": rate["deblurkit, packed"] > rate["basicsr, LMDB"],
        "our folder reading is not slower than basicsr's": rate["deblurkit, folder"] >= rate["basicsr, folder"],
        "private memory stays flat": statistics.median(memory[half:]) <= GROWTH * statistics.median(memory[:half]),
    }


def main() -> None:
    """Measure, print, and say whether the claims hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", metavar="DIR", help="folder with blur/ and sharp/; default: made from photographs")
    parser.add_argument("--count", type=int, default=24, help="pairs to make")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--crops", type=int, default=160, help="crops of a round")
    parser.add_argument("--memory-crops", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--tiny", action="store_true", help="a few crops of small pairs; the exit code leaves the claims out"
    )
    parser.add_argument("--out", metavar="FILE", help="also write the figures as JSON")
    arguments = parser.parse_args()
    size = (HEIGHT, WIDTH)
    if arguments.tiny:
        arguments.count, arguments.rounds, arguments.crops, arguments.workers, size = BATCH, 1, BATCH, 0, TINY_SIZE
        arguments.memory_crops = READINGS * BATCH
    import_basicsr()  # before anything is measured: without it there is nothing to compare with
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if arguments.pairs:
            for side in ("blur", "sharp"):
                (folder / side).symlink_to(Path(arguments.pairs, side).resolve())
        else:
            make_pairs(folder, arguments.count, size)
        count = len(find_images(str(folder / "blur")))
        found = run(folder, arguments)
    base = statistics.median(found["crops_per_second"]["basicsr, folder"])
    for name, values in found["crops_per_second"].items():
        middle, spread = statistics.median(values), f"{min(values):.1f} to {max(values):.1f}"
        print(f"{name:18} {middle:8.1f} crops a second ({spread}), {middle / base:5.2f} x basicsr's folder")
    print(f"private memory over {arguments.memory_crops} crops, MiB: {', '.join(map(str, found['uss_mib']))}")
    claims = judge(found)
    for claim, holds in claims.items():
        print(f"{claim}: {'holds' if holds else 'FAILS'}")
    if arguments.out:
        machine = {"python": platform.python_version(), "torch": torch.__version__, "processor": platform.processor()}
        setting = {"pairs": count, "batch": BATCH, "crop": CROP, "workers": arguments.workers, "machine": machine}
        middle = {name: statistics.median(values) for name, values in found["crops_per_second"].items()}
        ratios = [
            Ratio("training crops from a folder: rate of basicsr's", middle["deblurkit, folder"] / base, 1.0, "higher"),
            Ratio(
                "training crops, packed: rate of basicsr's folder", middle["deblurkit, packed"] / base, 10.0, "higher"
            ),
            Ratio(
                "training crops, packed: rate of basicsr's LMDB",
                middle["deblurkit, packed"] / middle["basicsr, LMDB"],
                1.0,
                "higher",
            ),
        ]
        setting["ratios"] = section(ratios)
        Path(arguments.out).write_text(json.dumps({**setting, **found, "claims": claims}, indent=2), encoding="utf-8")
    sys.exit(not all(claims.values()) and not arguments.tiny)


if __name__ == "__main__":
    cli.run(main)
