"""How fast 1280 x 720 pairs are scored: basicsr's PSNR and SSIM, scikit-image's, and ours, side by side.

All see the same pairs (photographs under camera shakes of several strengths) in one process run, in rounds that are
interleaved; the first is dropped. In the same run every score is compared: ours must equal basicsr's to 1e-9, those of
the single-precision mode to 2e-6.

Then a data set of ``--pairs`` such pairs is evaluated from PNG files by a small network, and where the time went is
told by part: decode, network, metrics. The parts are summed over threads that work side by side.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import platform
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from loader import HEIGHT, TINY_SIZE, WIDTH, make_pairs
from records import Ratio, section
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from deblurkit import checkpoint, cli
from deblurkit.compat import import_basicsr
from deblurkit.data.images import read_image
from deblurkit.device import processor_name
from deblurkit.evaluation.evaluate import evaluate
from deblurkit.metrics.images import Array
from deblurkit.metrics.psnr import psnr
from deblurkit.metrics.ssim import ssim
from deblurkit.options.load import load_options

TIMES_FASTER, EQUAL = 1.8, 1e-9  # the claims: ours in double precision against basicsr's
TIMES_FASTER_SINGLE, EQUAL_SINGLE = 4.0, 2e-6  # and in single precision
FILES = 24  # different pairs; of a larger data set, the others are links to them
QUICKSTART = Path(__file__).parents[1] / "options" / "quickstart.yml"
SMALL = "generator={type: FilterBankUNet, channels: [8, 12], blocks: 1, filters: 4, taps: 7}"


class Scores(NamedTuple):
    """What one way says of one pair."""

    psnr: float
    ssim: float


Way = Callable[[Array, Array], Scores]


def ways() -> dict[str, Way]:
    """Return the ways to score a pair, the yardstick first."""
    import_basicsr()
    from basicsr.metrics import calculate_psnr, calculate_ssim

    def by_scikit_image(restored: Array, sharp: Array) -> Scores:
        arguments = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 2}
        return Scores(
            float(peak_signal_noise_ratio(sharp, restored)), float(structural_similarity(restored, sharp, **arguments))
        )

    return {
        "basicsr": lambda *pair: Scores(float(calculate_psnr(*pair, 0)), float(calculate_ssim(*pair, 0))),
        "scikit-image": by_scikit_image,
        "deblurkit": lambda *pair: Scores(psnr(*pair), ssim(*pair)),
        "deblurkit, single": lambda *pair: Scores(psnr(*pair, single=True), ssim(*pair, single=True)),
        "torchmetrics": by_torchmetrics,
    }


def by_torchmetrics(restored: Array, sharp: Array) -> Scores:
    """Score as torchmetrics does, in its float32; the SSIM is of another kind, with its own borders."""
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    images = [torch.from_numpy(image).permute(2, 0, 1)[None].float() for image in (restored, sharp)]
    arguments = {"data_range": 255.0}
    return Scores(
        float(peak_signal_noise_ratio(*images, **arguments)),
        float(structural_similarity_index_measure(*images, **arguments)),
    )


def compare(pairs: Sequence[tuple[Array, Array]], rounds: int) -> dict[str, Any]:
    """Return the milliseconds a pair of each round, and the largest differences to basicsr's scores."""
    compared = ways()
    spent: dict[str, list[float]] = {name: [] for name in compared}
    for _ in range(rounds + 1):
        scores: dict[str, list[Scores]] = {name: [] for name in compared}
        seconds = dict.fromkeys(compared, 0.0)
        for pair, (name, way) in itertools.product(pairs, compared.items()):
            start = time.perf_counter()
            scores[name].append(way(*pair))
            seconds[name] += time.perf_counter() - start
        for name, total in seconds.items():
            spent[name].append(1000 * total / len(pairs))
    differences = {name: np.abs(np.subtract(values, scores["basicsr"])).max(axis=0) for name, values in scores.items()}
    return {
        "milliseconds_per_pair": {name: values[1:] for name, values in spent.items()},
        "largest_difference": {name: Scores(*map(float, found))._asdict() for name, found in differences.items()},
        "basicsr_scores": [score._asdict() for score in scores["basicsr"]],
    }


def judge(found: dict[str, Any]) -> dict[str, bool]:
    """Return which of the claims hold."""
    middle = {name: statistics.median(values) for name, values in found["milliseconds_per_pair"].items()}
    far = found["largest_difference"]
    return {
        f"at least {TIMES_FASTER:g} x as fast as basicsr": middle["basicsr"] >= TIMES_FASTER * middle["deblurkit"],
        f"equal to basicsr's to {EQUAL:g}": max(far["deblurkit"].values()) <= EQUAL,
        f"single precision: at least {TIMES_FASTER_SINGLE:g} x as fast as basicsr": middle["basicsr"]
        >= TIMES_FASTER_SINGLE * middle["deblurkit, single"],
        f"single precision: equal to basicsr's to {EQUAL_SINGLE:g}": max(far["deblurkit, single"].values())
        <= EQUAL_SINGLE,
    }


def link_pairs(folder: Path, count: int) -> None:
    """Name the pairs in ``folder`` again until there are ``count`` of them."""
    for side in ("blur", "sharp"):
        files = sorted((folder / side).iterdir())
        for number in range(len(files), count):
            os.link(files[number % len(files)], folder / side / f"{number:04d}.png")


def time_evaluation(folder: Path, count: int, device: str | None) -> dict[str, Any]:
    """Evaluate ``count`` pairs by a small network with random weights and return where the time went."""
    link_pairs(folder, count)
    pairs = f"{{type: PairedImages, blurred: '{folder / 'blur'}', sharp: '{folder / 'sharp'}'}}"
    options = load_options(QUICKSTART, [SMALL, f"datasets.test={{pairs: {pairs}}}", "val.inference=whole"])
    torch.manual_seed(0)
    weights = folder / "small.pth"
    state = {
        "format": checkpoint.FORMAT,
        "generator": checkpoint.build_generator(options).state_dict(),
        "ema": None,
        "position": {"iteration": 0, "epoch": 0},
        "options": options.to_dict(),
    }
    checkpoint.save(state, weights)
    metrics = evaluate(options, weights, out=folder / "report", device=device)
    entry = metrics["datasets"]["pairs"]
    seconds = {part: round(value, 2) for part, value in entry["seconds"].items()}
    return {"network": SMALL, "images": entry["images"], "protocol": entry["protocol"]["id"], "seconds": seconds}


def tell(found: dict[str, Any]) -> None:
    """Print the figures."""
    base = statistics.median(found["milliseconds_per_pair"]["basicsr"])
    for name, values in found["milliseconds_per_pair"].items():
        middle, far = statistics.median(values), found["largest_difference"][name]
        spread = f"{min(values):.1f} to {max(values):.1f}"
        print(f"{name:18} {middle:7.1f} ms a pair ({spread}), {base / middle:5.2f} x as fast as basicsr")
        print(f"{'':18} differs by at most {far['psnr']:.1e} dB, {far['ssim']:.1e}")
    evaluation = found.get("evaluation")
    if evaluation:
        parts = ", ".join(f"{part} {value:.1f} s" for part, value in evaluation["seconds"].items())
        print(f"evaluation of {evaluation['images']} pairs: {parts}")


def main() -> None:
    """Measure, print, and say whether the claims hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--files", type=int, default=6, help="pairs that the functions are timed on")
    parser.add_argument("--threads", type=int, default=1, help="of OpenCV, which all of them lean on")
    parser.add_argument("--pairs", type=int, default=1111, help="pairs to evaluate by part; 0: none")
    parser.add_argument("--device", help="of the network; by default the GPU where there is one")
    parser.add_argument("--tiny", action="store_true", help="two small pairs; the exit code leaves the claims out")
    parser.add_argument("--out", metavar="FILE", help="also write the figures as JSON")
    arguments = parser.parse_args()
    size = (HEIGHT, WIDTH)
    if arguments.tiny:
        arguments.rounds, arguments.files, arguments.pairs, size = 1, 1, 2, TINY_SIZE
    import_basicsr()  # before anything is measured: without it there is nothing to compare with
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_pairs(folder, max(arguments.files, min(FILES, arguments.pairs)), size)
        names = sorted(path.name for path in (folder / "blur").iterdir())[: arguments.files]
        pairs = [tuple(read_image(folder / side / name) for side in ("blur", "sharp")) for name in names]
        cv2.setNumThreads(arguments.threads)
        found = compare(pairs, arguments.rounds)  # type: ignore[arg-type]
        if arguments.pairs:
            found["evaluation"] = time_evaluation(folder, arguments.pairs, arguments.device)
    tell(found)
    claims = judge(found)
    for claim, holds in claims.items():
        print(f"{claim}: {'holds' if holds else 'FAILS'}")
    if arguments.out:
        machine = {"python": platform.python_version(), "opencv": cv2.__version__, "processor": processor_name()}
        setting = {
            "date": datetime.date.today().isoformat(),
            "command": shlex.join(["python", "benchmarks/metrics.py", *sys.argv[1:]]),
            "machine": {**machine, "cores": os.cpu_count()},
            "size": list(size),
            "files": len(pairs),
            "threads": arguments.threads,
        }
        middle = {name: statistics.median(values) for name, values in found["milliseconds_per_pair"].items()}
        ratios = []
        for ours, limit in (("deblurkit", TIMES_FASTER), ("deblurkit, single", TIMES_FASTER_SINGLE)):
            for theirs in middle.keys() - {"deblurkit", "deblurkit, single"}:
                of = f"PSNR and SSIM of a pair, {ours}: times as fast as {theirs}"
                ratios.append(
                    Ratio(of, middle[theirs] / middle[ours], limit if theirs == "basicsr" else None, "higher")
                )
        setting["ratios"] = section(sorted(ratios, key=lambda ratio: ratio.of))
        Path(arguments.out).write_text(json.dumps({**setting, **found, "claims": claims}, indent=2), encoding="utf-8")
    sys.exit(not all(claims.values()) and not arguments.tiny)


if __name__ == "__main__":
    cli.run(main)
