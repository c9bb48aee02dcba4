"""Classical deblurring beside networks: the same images, one protocol, one run.

Rivals are the input as it is, an unsharp mask, Richardson-Lucy and Wiener by the true kernel, where one exists, and by
a blind estimate of it (``classical.py``), and networks. They meet on photographs under uniform and varying shake, and
on pairs of files. Each classical method has the settings with the highest mean gain on other photographs, shaken in
the same ways; it is told in which values the blur was made, and a blind estimate the greatest extent of a kernel.
``--out`` gets ``rivals.md``, ``rivals.json`` and ``rivals.png``, written anew after each set.
"""

from __future__ import annotations

import argparse
import itertools
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import classical
import numpy as np
import torch
from rival_cases import Case, CaseSet, Kernel, Pairs, Photograph, Shaken
from rival_page import Record, Score, Strip, page, sheet, strip
from skimage import filters

from deblurkit import cli
from deblurkit.data.blur.camera_response import quantise
from deblurkit.data.blur.pair_folder import make_folder, write_json
from deblurkit.data.images import encode_image
from deblurkit.data.paired import find_images
from deblurkit.data.photographs import PHOTOGRAPHS, photograph_file
from deblurkit.errors import UserError
from deblurkit.evaluation.protocols.protocol import get_protocol
from deblurkit.evaluation.provenance import environment
from deblurkit.files import write_atomically
from deblurkit.inference.deblurrer import Deblurrer
from deblurkit.metrics.psnr import psnr

PROTOCOL = "gopro-basicsr-v1"
REACH = 0.7  # of a kernel from its middle, as a share of the greatest extent: what a blind estimate has room for
SHOWN = 3  # cases of each set in the picture

Needs = Literal["nothing", "true kernel", "blind kernel"]
Settings = Mapping[str, tuple[float, ...]]
"""Of each method by its name."""
Show = Callable[[str, int, int], None]
"""Called with what is done, how much of it, and of how much."""


@dataclass(frozen=True)
class Method:
    """A classical method, its settings open.

    Attributes:
        needs: Which kernel it is given.
        grid: The settings among which one is chosen.
        words: A setting in words, with a place for each number.
        apply: Restores a case by the kernel (``None`` for those that need none) and a setting.
    """

    name: str
    needs: Needs
    grid: Sequence[tuple[float, ...]]
    words: str
    apply: Callable[[Case, Kernel | None, tuple[float, ...]], Photograph]


@dataclass(frozen=True)
class Rival:
    """What restores a case, by the kernel that it needs, if any."""

    name: str
    needs: Needs
    restore: Callable[[Case, Kernel | None], Photograph]


def sharpen(case: Case, kernel: Kernel | None, setting: tuple[float, ...]) -> Photograph:
    """Applies the unsharp mask to the photograph's levels, as image editors do."""
    radius, amount = setting
    return quantise(filters.unsharp_mask(case.blurred, radius, amount, channel_axis=2))


def lucy(case: Case, kernel: Kernel | None, setting: tuple[float, ...]) -> Photograph:
    """Deblurs by Richardson-Lucy, in the values in which the blur was made."""
    assert kernel is not None
    restored = classical.richardson_lucy(case.response.decode(case.blurred), kernel, int(setting[0]))
    return quantise(case.response.encode(restored))


def wiener(case: Case, kernel: Kernel | None, setting: tuple[float, ...]) -> Photograph:
    """Deblurs by the Wiener filter, in the values in which the blur was made."""
    assert kernel is not None
    restored = classical.wiener(case.response.decode(case.blurred), kernel, setting[0])
    return quantise(case.response.encode(restored))


ITERATIONS = [(2,), (5,), (10,), (20,), (40,)]
BALANCES = [(0.003,), (0.01,), (0.03,), (0.1,), (0.3,), (1.0,)]
METHODS = (
    Method(
        "unsharp mask",
        "nothing",
        list(itertools.product((1.0, 2.0, 4.0, 8.0), (0.25, 0.5, 1.0, 2.0))),
        "radius {:g} pixels, amount {:g}",
        sharpen,
    ),
    Method("Richardson-Lucy, blind", "blind kernel", ITERATIONS, "{:g} iterations", lucy),
    Method("Wiener, blind", "blind kernel", BALANCES, "balance {:g}", wiener),
    Method("Richardson-Lucy, true kernel", "true kernel", ITERATIONS, "{:g} iterations", lucy),
    Method("Wiener, true kernel", "true kernel", BALANCES, "balance {:g}", wiener),
)


def main() -> None:
    """Chooses settings, measures every set and writes the files."""
    args = parse()
    networks = {"quickstart network": args.quickstart} if args.quickstart else {}
    networks |= dict(args.weights)
    sets, tuning = case_sets(args)
    side = 2 * round(REACH * args.extent[1]) + 1
    make_folder(args.out)
    with cli.progress() as show:
        methods = [replace(method, grid=method.grid[1:3]) for method in METHODS] if args.tiny else METHODS
        settings = choose(methods, tuning, side, show)
        rivals = [Rival("input as it is", "nothing", lambda case, kernel: case.blurred)]
        rivals += [settled(method, settings[method.name]) for method in METHODS]
        rivals += [Rival(name, "nothing", network(file)) for name, file in networks.items()]
        about = {
            "command": shlex.join(["python", "benchmarks/rivals.py", *sys.argv[1:]]),
            "protocol": PROTOCOL,
            "settings chosen on": "; ".join(test.about for test in tuning),
            **{method.name: method.words.format(*settings[method.name]) for method in METHODS},
            "blind kernel": f"at most {side} x {side} pixels",
        }
        records: list[Record] = []
        strips: list[Strip] = []
        for test in sets:
            record, shown = measure(test, rivals, side, show)
            records.append(record)
            strips += shown
            write(args.out, about, records, strips)
    print(page(about, records))


def network(file: str) -> Callable[[Case, Kernel | None], Photograph]:
    """Returns how the network of a checkpoint restores a case."""
    deblurrer = Deblurrer(file, device="cpu")
    return lambda case, kernel: deblurrer(case.blurred)


def settled(method: Method, setting: tuple[float, ...]) -> Rival:
    """Returns a method with one of its settings."""
    return Rival(method.name, method.needs, lambda case, kernel: method.apply(case, kernel, setting))


def choose(methods: Sequence[Method], tuning: Sequence[CaseSet], side: int, show: Show) -> Settings:
    """Returns the setting of each method with the highest mean PSNR over all tuning cases that have its kernel."""
    found: dict[str, list[list[float]]] = {method.name: [] for method in methods}
    for test in tuning:
        for index in range(len(test)):
            case = test.case(index)
            kernels = kernels_of(case, side)
            for method in methods:
                if method.needs == "true kernel" and case.kernel is None:
                    continue
                images = [method.apply(case, kernels[method.needs], setting) for setting in method.grid]
                found[method.name].append([psnr(image, case.sharp) for image in images])
            show(f"settings: {test.name}", index + 1, len(test))
    return {method.name: method.grid[int(np.mean(found[method.name], axis=0).argmax())] for method in methods}


def measure(test: CaseSet, rivals: Sequence[Rival], side: int, show: Show) -> tuple[Record, list[Strip]]:
    """Returns the scores of every rival on every case of a set, and what the picture shows of some."""
    protocol = get_protocol(PROTOCOL, "protocol")
    scores: list[Score] = []
    similarities: list[float] = []
    strips: list[Strip] = []
    in_picture = np.linspace(0, len(test) - 1, min(SHOWN, len(test))).round()
    for index in range(len(test)):
        case = test.case(index)
        start = time.perf_counter()
        kernels = kernels_of(case, side)
        guessing = time.perf_counter() - start
        blind = kernels["blind kernel"]
        if case.kernel is not None and blind is not None:
            similarities.append(classical.similarity(blind, case.kernel))
        before = psnr(case.blurred, case.sharp)
        images: dict[str, Photograph] = {}
        for rival in rivals:
            if rival.needs == "true kernel" and case.kernel is None:
                continue
            start = time.perf_counter()
            images[rival.name] = rival.restore(case, kernels[rival.needs])
            seconds = time.perf_counter() - start + (guessing if rival.needs == "blind kernel" else 0.0)
            found = protocol.score(images[rival.name], [case.sharp]).scores
            scores.append(Score(rival.name, case.key, found["psnr"], found["psnr"] - before, found["ssim"], seconds))
        if index in in_picture:
            strips.append(strip(f"{test.name}: {case.key}", [rival.name for rival in rivals], images, case.sharp))
        show(test.name, index + 1, len(test))
    names = [rival.name for rival in rivals]
    return Record(test.name, test.about, test.no_kernel, names, scores, similarities), strips


def kernels_of(case: Case, side: int) -> dict[Needs, Kernel | None]:
    """Returns the kernels that methods are given, by what they need."""
    blind = classical.blind_kernel(case.response.decode(case.blurred), side)
    return {"nothing": None, "true kernel": case.kernel, "blind kernel": blind}


def write(out: Path, about: Mapping[str, str], records: Sequence[Record], strips: Sequence[Strip]) -> None:
    """Writes what is measured so far: page, record and picture."""
    write_json(
        out / "rivals.json",
        {
            "environment": environment(torch.device("cpu"), "fp32"),
            **about,
            "sets": [{**asdict(record), "rows": [asdict(row) for row in record.rows()]} for record in records],
        },
    )
    write_atomically(out / "rivals.md", page(about, records))
    write_atomically(out / "rivals.png", encode_image(sheet(strips), ".png"))


def case_sets(args: argparse.Namespace) -> tuple[list[CaseSet], list[CaseSet]]:
    """Returns the sets to measure on, and those to choose settings on.

    Raises:
        UserError: There are no images where the arguments say.
    """
    sharp = photographs(args.sharp, args.count, "test")
    trained = photographs(args.tune, args.tune_count, "train")
    both = {file.resolve() for file in sharp} & {file.resolve() for file in trained}
    if both:
        raise UserError(f"--tune: {min(both)} is among --sharp, too; settings must be chosen on other photographs")
    kinds = [("linear", False), ("srgb", False), ("linear", True)]
    sets: list[CaseSet] = [Shaken(sharp, args.extent, levels, varying, args.crop) for levels, varying in kinds]
    sets += [Pairs(*words) for words in args.pairs]
    tuning: list[CaseSet] = [
        Shaken(trained, args.extent, levels, varying, args.tune_crop, offset=len(sharp)) for levels, varying in kinds
    ]
    return sets, tuning


def photographs(pattern: str | None, count: int, split: str) -> list[Path]:
    """Returns ``count`` photographs of a folder or glob, evenly taken, all where there are fewer.

    Without a pattern, they are those of the sample set's split.
    """
    if pattern is None:
        found = [photograph_file(one) for one in PHOTOGRAPHS if one.split == split]
    else:
        found = [path for _, path in find_images(pattern)]
    if not found:
        raise UserError(f"{pattern}: no image is there, expected a folder or glob of sharp photographs")
    return [found[index] for index in np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int)]


def named(text: str) -> tuple[str, str]:
    """Reads ``NAME=FILE``."""
    name, equals, file = text.partition("=")
    if not (name and equals and file):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected NAME=FILE")
    return name, file


def pair_folders(text: str) -> tuple[str, str, str]:
    """Reads ``NAME=BLURRED,SHARP``."""
    name, _, folders = text.partition("=")
    blurred, _, sharp = folders.partition(",")
    if not (name and blurred and sharp):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected NAME=BLURRED,SHARP: two folders or globs")
    return name, blurred, sharp


def extent_range(text: str) -> tuple[float, float]:
    """Reads ``4:24``."""
    try:
        least, greatest = map(float, text.split(":"))
    except ValueError:
        least = greatest = 0.0
    if not 0 < least <= greatest < 100:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected LEAST:GREATEST in pixels, above 0, such as 4:24")
    return least, greatest


def positive(text: str) -> int:
    """Reads a whole number from 1 on."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number from 1 on")
    return int(text)


def parse() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--sharp", metavar="DIR", help="sharp photographs to shake (default: the sample set's test photographs)")
    add("--count", type=positive, default=40, help="of them, evenly taken")
    add("--tune", metavar="DIR", help="photographs to choose settings on (default: the sample set's for training)")
    add("--tune-count", type=positive, default=6, help="of them, evenly taken")
    add("--extent", type=extent_range, default=(4.0, 24.0), metavar="LEAST:GREATEST", help="of the shakes, in pixels")
    add("--pairs", type=pair_folders, nargs="+", default=[], metavar="NAME=BLURRED,SHARP", help="pairs of files")
    add("--quickstart", metavar="CKPT", help="what `deblurkit quickstart` trained")
    add("--weights", type=named, nargs="+", default=[], metavar="NAME=FILE", help="further networks")
    add("--tiny", action="store_true", help="try everything in seconds, on small parts of three photographs")
    add("--out", type=Path, required=True, metavar="DIR", help="folder of the page, the record and the picture")
    args = parser.parse_args()
    args.crop, args.tune_crop = (720, 1280), (384, 384)
    if args.tiny:
        args.count, args.tune_count, args.extent = 1, 1, (4.0, 8.0)
        args.crop = args.tune_crop = (96, 128)
    names = [name for name, _ in args.weights]
    if len(set(names)) < len(names):
        parser.error(f"--weights: got {', '.join(names)}; each needs a name of its own")
    return args


if __name__ == "__main__":
    cli.run(main)
