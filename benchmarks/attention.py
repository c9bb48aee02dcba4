"""Crosshatch attention beside einsum, bmm and PyTorch's scaled_dot_product_attention: time, memory, agreement.

All compute the attention of one module, Q, K and V included, on features of 256 channels at a quarter of an image's
size. The rounds are interleaved; what is claimed is the median of paired ratios to the fastest other way.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from peak_memory import KNOWN, MIB, growth
from records import Ratio, section
from torch import Tensor, nn
from torch.nn import functional

from deblurkit import cli
from deblurkit.archs.crosshatch import CrosshatchAttention

Way = Callable[[CrosshatchAttention, Tensor], Tensor]

SIZES = {"256x256": (64, 64), "1280x720": (180, 320), "1920x1080": (270, 480), "3840x2160": (540, 960)}
"""Features of an image's size, h and w."""
TINY = {"40x24": (6, 10), "24x40": (10, 6)}
KINDS = ("forward", "forward+backward")
CHANNELS, LIMIT, AGREEMENT = 256, 1.0, 1e-4


def einsum(module: CrosshatchAttention, x: Tensor) -> Tensor:
    """The formula as it is printed."""
    q, k, v = module.query(x), module.key(x), module.value(x)
    of_row = torch.einsum("nchw,nchv->nhwv", q, k).softmax(-1)
    of_column = torch.einsum("nchw,ncgw->nwhg", q, k).softmax(-1)
    total = torch.einsum("nhwv,nchv->nchw", of_row, v) + torch.einsum("nwhg,ncgw->nchw", of_column, v)
    return x + module.gamma * total


def _by_lines(module: CrosshatchAttention, x: Tensor, of_rows: Callable[..., Tensor]) -> Tensor:
    q, k, v = module.query(x), module.key(x), module.value(x)
    return x + module.gamma * (of_rows(q, k, v) + of_rows(q.mT, k.mT, v.mT).mT)


def _bmm_rows(*maps: Tensor) -> Tensor:
    n, _, h, w = maps[0].shape
    q, k, v = (x.permute(0, 2, 3, 1).reshape(n * h, w, -1) for x in maps)
    return torch.bmm(torch.bmm(q, k.mT).softmax(-1), v).view(n, h, w, -1).permute(0, 3, 1, 2)


def _sdpa_rows(*maps: Tensor) -> Tensor:
    q, k, v = (x.permute(0, 2, 3, 1) for x in maps)
    return functional.scaled_dot_product_attention(q, k, v, scale=1.0).permute(0, 3, 1, 2)


def _sdpa_copied_rows(*maps: Tensor) -> Tensor:
    q, k, v = (x.permute(0, 2, 3, 1).contiguous() for x in maps)
    return functional.scaled_dot_product_attention(q, k, v, scale=1.0).permute(0, 3, 1, 2)


OURS = "deblurkit"
WAYS: dict[str, Way] = {
    OURS: lambda module, x: module(x),
    "einsum": einsum,
    "bmm": lambda module, x: _by_lines(module, x, _bmm_rows),
    "SDPA": lambda module, x: _by_lines(module, x, _sdpa_rows),
    "SDPA of copies": lambda module, x: _by_lines(module, x, _sdpa_copied_rows),
}


def made() -> CrosshatchAttention:
    """Return the module that all ways use; its weights are those of a trained one in kind: no line is uniform."""
    torch.manual_seed(0)
    module = CrosshatchAttention(CHANNELS)
    nn.init.ones_(module.gamma)
    nn.init.normal_(module.query.weight, 0, 0.1)
    return module


def once(way: Way, module: CrosshatchAttention, x: Tensor, gradients: bool) -> tuple[float, list[Tensor]]:
    """Return seconds of one run, and what it gives: the output, or the gradients of features and weights."""
    # The key's bias adds the same to all logits of a line: its gradient is zero, and only rounding could be compared.
    weights = [weight for name, weight in module.named_parameters() if name != "key.bias"]
    leaves = [x.clone().requires_grad_(gradients), *weights]
    start = time.perf_counter()
    if not gradients:
        with torch.no_grad():
            found = [way(module, x)]
    else:
        # not a sum: its gradient is one number everywhere
        found = list(torch.autograd.grad(way(module, leaves[0]).square().mean(), leaves))
    return time.perf_counter() - start, found


def compare(size: tuple[int, int], gradients: bool, others: list[str], rounds: int) -> dict[str, Any]:
    """Return the times of all ways in interleaved rounds after one that does not count, and how far outputs differ."""
    module = made()
    x = torch.rand(1, CHANNELS, *size, generator=torch.Generator().manual_seed(1))
    seconds: dict[str, list[float]] = {name: [] for name in (OURS, *others)}
    differs: dict[str, float] = {}
    for turn in range(rounds + 1):
        wanted: list[Tensor] = []
        first = turn % len(others)
        for name in [OURS, *others[first:], *others[:first]]:  # the others take turns
            took, found = once(WAYS[name], module, x, gradients)
            if turn:
                seconds[name].append(took)
                continue
            wanted = wanted or found
            pairs = zip(found, wanted, strict=True)
            differs[name] = max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)
    # rivals are as fast as the fastest of them in the median, not as the luckiest of each round
    fastest = min(others, key=lambda name: statistics.median(seconds[name]))
    paired = [ours / other for ours, other in zip(seconds[OURS], seconds[fastest], strict=True)]
    return {
        "seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "fastest other": fastest,
        "ratio": statistics.median(paired),
        "difference": max(differs.values()),
    }


def peak(name: str, size: tuple[int, int], gradients: bool) -> int:
    """Return by how many bytes this process grows at most beyond its features."""
    module, x = made(), torch.rand(1, CHANNELS, *size)
    once(WAYS[name], module, x[:, :, :4, :4], gradients)  # libraries' own memory
    return growth(lambda: once(WAYS[name], module, x, gradients))


def peaks(sizes: dict[str, tuple[int, int]], names: list[str], gradients: bool) -> dict[str, dict[str, float]]:
    """Return the growth in MiB of a process of its own for each size and way."""
    found: dict[str, dict[str, float]] = {}
    for label, size in sizes.items():
        for name in names:
            command = [sys.executable, __file__, "--peak-of", name, f"{size[0]}x{size[1]}", str(int(gradients))]
            run = subprocess.run(command, capture_output=True, text=True, check=True)
            found.setdefault(label, {})[name] = int(run.stdout) / MIB
    return found


def write(file: Path, threads: int, ratios: list[Ratio], figures: dict[str, Any]) -> None:
    """Write what was found so far, beside what the file holds of other sizes."""
    old = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    content = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": "python benchmarks/attention.py",
        "machine": {"python": platform.python_version(), "torch": torch.__version__, "threads": threads},
        "ratios": {**old.get("ratios", {}), **section(ratios)},
        "figures": {**old.get("figures", {}), **figures},
    }
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Measure, print, and say whether the claim holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--against", nargs="+", choices=list(WAYS)[1:], default=list(WAYS)[1:])
    parser.add_argument("--out", metavar="FILE", help="also write the figures as JSON; those of other sizes in it stay")
    parser.add_argument("--tiny", action="store_true", help="features of 60 pixels; the exit code leaves time out")
    parser.add_argument("--peak-of", nargs=3, metavar=("WAY", "HxW", "GRADIENTS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.peak_of:
        name, size, gradients = arguments.peak_of
        height, width = map(int, size.split("x"))
        print(peak(name, (height, width), gradients == "1"))
        return
    sizes = TINY if arguments.tiny else {label: SIZES[label] for label in arguments.sizes}
    figures: dict[str, Any] = {}
    ratios: list[Ratio] = []
    agree = True
    for label, size in sizes.items():
        for kind in arguments.kinds:
            gradients = kind == KINDS[1]
            case = f"crosshatch attention, {kind}, features {size[0]}x{size[1]} of a {label} image"
            found = compare(size, gradients, arguments.against, 1 if arguments.tiny else arguments.rounds)
            memory = {}
            if KNOWN:
                names = [OURS] if arguments.tiny else [OURS, found["fastest other"]]
                memory = peaks({label: size}, names, gradients)[label]
            figures[case] = {**found, "peak MiB beyond features": memory}
            of = f"{case}: time / that of the fastest of einsum, bmm and SDPA"
            ratios.append(Ratio(of, found["ratio"], LIMIT, "lower"))
            agree = agree and found["difference"] < AGREEMENT
            times = ", ".join(f"{name} {1000 * value:.0f} ms" for name, value in found["seconds"].items())
            told = ", ".join(f"{name} {mib:.0f} MiB" for name, mib in memory.items())
            print(f"{case}: {found['ratio']:.2f} x {found['fastest other']} ({times}); peak {told}", flush=True)
            print(f"    largest relative difference {found['difference']:.1e}")
            if arguments.out:
                write(Path(arguments.out), arguments.threads, ratios, figures)
    holds = agree and all(ratio.holds for ratio in ratios)
    print(f"not slower than the fastest other way, outputs and gradients equal: {'holds' if holds else 'FAILS'}")
    sys.exit(not (agree if arguments.tiny else holds))


if __name__ == "__main__":
    cli.run(main)
