"""How much memory the restoration of a large photograph takes on a CPU, from file to file; Linux only.

For each option file a process of its own loads a checkpoint of its generator (random weights take the same memory),
notes its resident memory, restores the photograph as ``deblurkit deblur`` does by default, and reads from the kernel
what the resident memory was at most meanwhile. The difference is what one photograph takes above the program and the
weights: the decoded photograph, its result, the network's tensors, what kernels allocate inside, and the encoder.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from peak_memory import forget_peak, resident

from deblurkit import checkpoint
from deblurkit.data.images import read_image, write_image
from deblurkit.data.photographs import PHOTOGRAPHS, photograph_file
from deblurkit.evaluation.cost import parse_size
from deblurkit.evaluation.provenance import environment
from deblurkit.inference.deblurrer import Deblurrer
from deblurkit.inference.photos import deblur_photos, plan
from deblurkit.options.load import load_options

LIMIT_GIB = 2.0
_OPTIONS = ["options/deblurgan.yml", "options/nafnet.yml", "options/dsc.yml", "options/deblurgan_v2_mobilenet.yml"]


def measure_here(weights: str, photograph: str, out: str, threads: int, inference: str) -> dict[str, Any]:
    """Restore a photograph in this process and return what it took."""
    torch.set_num_threads(threads)
    deblurrer = Deblurrer(weights, device="cpu", inference=inference)
    jobs = plan([photograph], out).jobs
    before = resident("VmRSS")
    forget_peak()
    start = time.perf_counter()
    failures = deblur_photos(deblurrer, jobs).failures
    return {
        "above_weights_gib": round((resident("VmHWM") - before) / 2**30, 3),
        "before_gib": round(before / 2**30, 3),
        "seconds": round(time.perf_counter() - start, 1),
        "used": dict(deblurrer.session.used),
        "notes": deblurrer.session.notes(),
        "failures": failures,
    }


def make_photograph(path: Path, size: tuple[int, int]) -> None:
    """Write a photograph enlarged to ``size`` (height, width), with a sensor's noise."""
    picture = cv2.resize(read_image(photograph_file(PHOTOGRAPHS[0])), size[::-1])
    noise = np.random.default_rng(0).integers(-4, 5, picture.shape, np.int8)
    write_image(path, np.clip(picture.astype(np.int16) + noise, 0, 255).astype(np.uint8))


def make_checkpoint(path: Path, options_file: str) -> None:
    """Write a checkpoint with random weights of the generator that an option file names."""
    options = load_options(options_file)
    torch.manual_seed(0)
    state = {
        "format": checkpoint.FORMAT,
        "generator": checkpoint.build_generator(options).state_dict(),
        "ema": None,
        "position": {"iteration": 0, "epoch": 0},
        "options": {"name": options.name, "generator": options.generator, "plugins": list(options.plugins)},
    }
    checkpoint.save(state, path)


def main() -> int:
    """Measure, print, and tell whether every photograph stayed within the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-opt", nargs="+", default=_OPTIONS, metavar="FILE", help="option files")
    parser.add_argument("--size", default="4000x6000", metavar="HxW", help="of the photograph")
    parser.add_argument("--inference", default="auto", metavar="MODE")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tiny", action="store_true", help="a small network and photograph")
    parser.add_argument("--out", metavar="FILE", help="write the figures there as JSON")
    parser.add_argument("--here", nargs=3, metavar=("CKPT", "PHOTO", "DIR"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.here:
        print(json.dumps(measure_here(*args.here, args.threads, args.inference)))
        return 0
    if args.tiny:
        args.opt, args.size = ["quickstart"], "96x128"
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        photograph = Path(folder, "photograph.png")
        make_photograph(photograph, parse_size(args.size))
        for file in args.opt:
            weights = Path(folder, "weights.pth")
            make_checkpoint(weights, file)
            own = ["--here", str(weights), str(photograph), str(Path(folder, Path(file).stem))]
            settings = ["--threads", str(args.threads), "--inference", args.inference]
            command = [sys.executable, __file__, *own, *settings]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            results[file] = json.loads(done.stdout)
            print(f"{file}: {json.dumps(results[file])}", flush=True)
    content = {
        "command": shlex.join(["python", "benchmarks/photograph.py", *sys.argv[1:]]),
        "size": args.size,
        "limit_gib": LIMIT_GIB,
        "photographs": results,
        "environment": {**environment(torch.device("cpu"), "fp32"), "threads": args.threads},
    }
    if args.out:
        Path(args.out).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    bounded = all(found["above_weights_gib"] < LIMIT_GIB and not found["failures"] for found in results.values())
    return 0 if bounded else 1


if __name__ == "__main__":
    sys.exit(main())
