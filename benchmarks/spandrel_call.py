"""One photograph through NAFNet: spandrel's call on its weights' file, and ours on the same file; CPU.

Both are given RGB uint8 and return it; rounds are interleaved in one process, the first is dropped. The weights are
random, in the layout of NAFNet's public code, which both read. What they return is compared.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from records import Ratio, section

from deblurkit.allocator import keeping_freed_memory
from deblurkit.compat import ensure_torchvision
from deblurkit.data.images import read_image, to_tensor, to_uint8
from deblurkit.data.photographs import PHOTOGRAPHS, photograph_file
from deblurkit.evaluation.cost import parse_size
from deblurkit.evaluation.provenance import environment
from deblurkit.inference.deblurrer import Deblurrer

Call = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
BLOCKS = {"width": 16, "enc_blk_nums": [1, 1, 1], "middle_blk_num": 1, "dec_blk_nums": [1, 1, 1]}
LIMIT = 1.0  # the claim: not slower than spandrel's


def calls(folder: Path) -> dict[str, Call]:
    """Return both ways, with the network loaded."""
    ensure_torchvision()
    from spandrel import ImageModelDescriptor, ModelLoader
    from spandrel.architectures.NAFNet.__arch.NAFNet_arch import NAFNet

    torch.manual_seed(0)
    file = folder / "nafnet.pth"
    torch.save({"params": NAFNet(**BLOCKS).state_dict()}, file)
    theirs = ModelLoader(torch.device("cpu")).load_from_file(file)
    assert isinstance(theirs, ImageModelDescriptor)
    theirs.eval()
    ours = Deblurrer(file, device="cpu", inference="whole")

    @torch.inference_mode()
    def by_spandrel(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return to_uint8(theirs(to_tensor(image)[None])[0])

    return {"spandrel": by_spandrel, "deblurkit": ours}


def main() -> int:
    """Measure, print, and tell whether the claim holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", default="720x1280", metavar="HxW")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tiny", action="store_true", help="a small photograph, once")
    parser.add_argument("--out", metavar="FILE", help="write the figures there as JSON")
    args = parser.parse_args()
    if args.tiny:
        args.rounds, args.size = 1, "64x96"
    torch.set_num_threads(args.threads)
    image = cv2.resize(read_image(photograph_file(PHOTOGRAPHS[0])), parse_size(args.size)[::-1])
    seconds: dict[str, list[float]] = {}
    restored: dict[str, NDArray[np.uint8]] = {}
    with tempfile.TemporaryDirectory() as folder:
        ways = calls(Path(folder))
        for again in range(1 + args.rounds):
            for name, call in ways.items():
                # as it is while a folder is restored; each way's memory is given back before the next one's turn
                with keeping_freed_memory() if name == "deblurkit" else contextlib.nullcontext():
                    start = time.perf_counter()
                    restored[name] = call(image)
                    taken = time.perf_counter() - start
                if again:
                    seconds.setdefault(name, []).append(taken)
    pairs = zip(seconds["deblurkit"], seconds["spandrel"], strict=True)
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    error = np.abs(restored["deblurkit"].astype(int) - restored["spandrel"]).max()
    for name, taken in seconds.items():
        print(f"{name:10} {statistics.median(taken):.3f} s a photograph ({min(taken):.3f} to {max(taken):.3f})")
    print(f"deblurkit takes {ratio:.2f} of spandrel's time; the results differ by {error} levels at most")
    holds = ratio <= LIMIT and error <= 1
    print(f"not slower, and the same to a level: {'holds' if holds else 'FAILS'}")
    if args.out:
        content = {
            "command": shlex.join(["python", "benchmarks/spandrel_call.py", *sys.argv[1:]]),
            "ratios": section([Ratio("one photograph, NAFNet: time of spandrel's call", ratio, LIMIT, "lower")]),
            "seconds": seconds,
            "largest_difference": int(error),
            "environment": {**environment(torch.device("cpu"), "fp32"), "threads": args.threads},
        }
        Path(args.out).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0 if holds or args.tiny else 1


if __name__ == "__main__":
    sys.exit(main())
