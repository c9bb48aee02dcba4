"""Restoring a folder of photographs: a plain loop, ``deblurkit deblur``, and ``deblurkit deblur --fast``; CPU.

The plain loop is what a script would do: OpenCV decodes, the network restores under ``torch.inference_mode``, OpenCV
encodes, one photograph after the other. Each way has a process of its own, which loads the network once and then
restores the whole folder whenever it is its turn; seconds are those of the folder, from the first file read to the last
written. What the ways wrote is compared pixel by pixel.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from peak_memory import resident
from photograph import make_checkpoint
from records import Ratio, section

from deblurkit.compat import ensure_torchvision
from deblurkit.contracts import generator_traits
from deblurkit.data.images import read_image, write_image
from deblurkit.data.photographs import PHOTOGRAPHS, photograph_file
from deblurkit.evaluation.cost import parse_size
from deblurkit.evaluation.provenance import environment
from deblurkit.inference.deblurrer import Deblurrer
from deblurkit.inference.photos import deblur_photos, plan
from deblurkit.metrics.psnr import psnr

WAYS = ("plain loop", "exact", "fast")
NETWORKS = {"nafnet": 1.00, "dsc": 1.00, "quickstart": 0.90, "starter": 0.90}
"""The network of the box, and option files whose networks have random weights; each with the limit of the exact way."""

FAST, FAST_DB, FAST_NETWORKS = 0.75, 60.0, 2  # the claim of the fast way: so many networks within this ratio


def plain_loop(weights: str, folder: Path, out: Path) -> Callable[[], None]:
    """Returns what restores the folder as a script would."""
    generator = Deblurrer(weights, device="cpu").generator
    low, high = generator_traits(generator).value_range

    @torch.inference_mode()
    def run() -> None:
        for file in sorted(folder.iterdir()):
            image = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
            blurred = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
            restored = generator(blurred * (high - low) + low if (low, high) != (0.0, 1.0) else blurred)
            restored = restored["image"] if isinstance(restored, dict) else restored
            if (low, high) != (0.0, 1.0):
                restored = (restored - low) / (high - low)
            levels = restored[0].clamp(0, 1).mul(255).add(0.5).floor().to(torch.uint8)
            image = levels.permute(1, 2, 0).contiguous().numpy()
            cv2.imwrite(str(out / file.name), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    return run


def ours(weights: str, folder: Path, out: Path, fast: bool) -> Callable[[], None]:
    """Returns what restores the folder as ``deblurkit deblur --inference whole`` does."""
    deblurrer = Deblurrer(weights, device="cpu", inference="whole", fast=fast)

    def run() -> None:
        failures = deblur_photos(deblurrer, plan([folder], out, overwrite=True).jobs).failures
        if failures:
            raise RuntimeError(failures[0])
        if deblurrer.choice is not None:
            print(deblurrer.choice, file=sys.stderr)

    return run


def serve(way: str, weights: str, folder: Path, out: Path, threads: int) -> None:
    """Restores the folder at each line that comes in, and tells its seconds and this process's peak of memory."""
    torch.set_num_threads(threads)
    run = plain_loop(weights, folder, out) if way == WAYS[0] else ours(weights, folder, out, way == "fast")
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print(json.dumps([time.perf_counter() - start, resident("VmHWM") / 2**30]), flush=True)


def measure(weights: str, folder: Path, outs: Path, rounds: int, threads: int) -> dict[str, Any]:
    """Return what each way took, and how alike its files are to those of the plain loop."""
    workers = {}
    for way in WAYS:
        (outs / way).mkdir(parents=True)
        own = ["--here", way, weights, str(folder), str(outs / way), "--threads", str(threads)]
        workers[way] = subprocess.Popen(
            [sys.executable, __file__, *own],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "XDG_CACHE_HOME": str(outs / "cache")},  # the fast way is settled in the first round
        )
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    peak: dict[str, float] = {}
    for again in range(1 + rounds):
        for way, worker in workers.items():
            assert worker.stdin is not None
            assert worker.stdout is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
            line = worker.stdout.readline()
            if not line:
                raise RuntimeError(f"{way}: {worker.communicate()[1]}")
            taken, peak[way] = json.loads(line)
            if again:  # the first round is dropped
                seconds[way].append(taken)
    said = {way: worker.communicate()[1].strip().splitlines() for way, worker in workers.items()}
    found: dict[str, Any] = {}
    for way in WAYS:
        pairs = zip(seconds[way], seconds[WAYS[0]], strict=True)
        found[way] = {
            "seconds": [round(taken, 3) for taken in seconds[way]],
            "ratio": round(statistics.median(mine / plain for mine, plain in pairs), 3),
            "agreement_db": least_agreement(outs / WAYS[0], outs / way),
            "peak_gib": round(peak[way], 2),
        }
    found["fast"]["way"] = said["fast"][0] if said["fast"] else ""
    return found


def least_agreement(one: Path, other: Path) -> float | None:
    """Return the least PSNR between the files of two folders; ``None`` where all pixels are equal."""
    least = math.inf
    for file in one.iterdir():
        least = min(least, psnr(read_image(file), read_image(other / file.name)))
    return None if math.isinf(least) else round(least, 1)


def make_folder(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Write photographs of one size, each with a sensor's noise of its own."""
    folder.mkdir()
    for index in range(count):
        picture = cv2.resize(read_image(photograph_file(PHOTOGRAPHS[index % len(PHOTOGRAPHS)])), size[::-1])
        noise = np.random.default_rng(index).integers(-2, 3, picture.shape, np.int8)
        write_image(folder / f"{index:02}.png", np.clip(picture.astype(np.int16) + noise, 0, 255).astype(np.uint8))


def main() -> int:
    """Measure, print, and tell whether the claims hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(NETWORKS), choices=list(NETWORKS), metavar="NETWORK")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", default="720x1280", metavar="HxW")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tiny", action="store_true", help="two small photographs and one network")
    parser.add_argument("--out", metavar="FILE", help="write the figures there as JSON")
    parser.add_argument("--here", nargs=4, metavar=("WAY", "WEIGHTS", "DIR", "DIR"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    ensure_torchvision()
    if args.here:
        way, weights, folder, out = args.here
        serve(way, weights, Path(folder), Path(out), args.threads)
        return 0
    if args.tiny:
        args.only, args.images, args.rounds, args.size = ["starter"], 2, 1, "96x128"
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        make_folder(Path(name, "in"), args.images, parse_size(args.size))
        for network in args.only:
            weights = network
            if network != "starter":
                weights = str(Path(name, f"{network}.pth"))
                make_checkpoint(Path(weights), network)
            results[network] = measure(weights, Path(name, "in"), Path(name, network), args.rounds, args.threads)
            for way in WAYS:
                found = results[network][way]
                alike = "equal" if found["agreement_db"] is None else f"{found['agreement_db']} dB"
                print(
                    f"{network:10} {way:10} {statistics.median(found['seconds']) / args.images:.3f} s a photograph, "
                    f"{found['ratio']:.2f} x the plain loop, files: {alike}, peak {found['peak_gib']} GiB",
                    flush=True,
                )
            print(f"{network:10} fast is {results[network]['fast']['way']}", flush=True)
    equal = all(found["exact"]["agreement_db"] is None for found in results.values())
    within = all(found["exact"]["ratio"] <= NETWORKS[network] for network, found in results.items())
    quick = [
        network
        for network, found in results.items()
        if found["fast"]["ratio"] <= FAST and (found["fast"]["agreement_db"] or math.inf) >= FAST_DB
    ]
    enough = len(quick) >= min(FAST_NETWORKS, len(results))
    print(f"exact files equal: {equal}; exact within {NETWORKS}: {within}; fast at most {FAST}: {', '.join(quick)}")
    if args.out:
        ratios: list[Ratio] = []
        for network, found in results.items():
            limits = {"exact": NETWORKS[network], "fast": FAST if network in quick else None}
            for way, limit in limits.items():
                of = f"folder of photographs, {network}, {way}: time of a plain loop's"
                ratios.append(Ratio(of, found[way]["ratio"], limit, "lower"))
        content = {
            "command": shlex.join(["python", "benchmarks/folder.py", *sys.argv[1:]]),
            "ratios": section(ratios),
            "networks": results,
            "environment": {**environment(torch.device("cpu"), "fp32"), "threads": args.threads},
        }
        Path(args.out).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0 if args.tiny or (equal and within and enough) else 1


if __name__ == "__main__":
    sys.exit(main())
