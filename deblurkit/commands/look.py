"""Draw what a trained network computes inside.

Attention, gradients, scales and whatever its modules compute for one photograph become pictures and one page.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path

from deblurkit import cli
from deblurkit.commands.arguments import add_device, add_memory, add_plugins, add_precision, add_weights

EXAMPLE = "deblurkit look photo.jpg --weights work_dirs/crosshatch/checkpoints/best_psnr.pth --out inside"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add = parser.add_argument
    add("photo", metavar="PHOTO", nargs="?", type=Path, help="an image; not needed with --list")
    add_weights(parser)
    add("--out", metavar="DIR", type=Path, help="folder of the pictures and of look.html")
    help = "modules by name, or what the network declares; default: that, or modules spread over its depth"
    add("--outputs", metavar="NAME", nargs="+", action="extend", default=[], help=help)
    add("--list", action="store_true", help="print what can be looked at, and stop")
    add("--pixel", metavar="Y,X", type=numbers(2), help="row and column for maps of one pixel; default: the middle")
    add("--crop", metavar="Y,X,H,W", type=numbers(4), help="part to look at; default: all, or what fits the memory")
    add("--channels", metavar="N", type=int, default=8, help="drawn by themselves too (default: 8)")
    add_memory(parser)
    add("--overwrite", action="store_true", help="replace the pictures of an earlier look")
    add_plugins(parser)
    add_device(parser)
    add_precision(parser)


def numbers(count: int) -> Callable[[str], tuple[int, ...]]:
    """Returns a function that reads whole numbers separated by commas."""

    def read(text: str) -> tuple[int, ...]:
        found = tuple(map(int, text.split(",")))
        if len(found) != count:
            raise ValueError(f"expected {count} numbers")
        return found

    read.__name__ = f"{count} whole numbers separated by commas"  # argparse's messages call it so
    return read


def run(args: argparse.Namespace) -> None:
    """Draws the pictures; or lists what can be drawn."""
    if not args.list and (args.photo is None or args.out is None):
        raise cli.UsageError("give PHOTO and --out DIR, or --list")
    if args.channels < 0:
        raise cli.UsageError(f"--channels: expected 0 or more, got {args.channels}")
    from deblurkit.inference.deblurrer import Deblurrer
    from deblurkit.inspection.photo import Settings, listing, look
    from deblurkit.report.tables import as_text

    deblurrer = Deblurrer(args.weights, args.plugin, args.device, args.precision, memory=args.memory, key=args.key)
    if args.list:
        print(as_text(listing(deblurrer.generator)))
        return
    settings = Settings(args.outputs, args.pixel, args.crop, args.channels, args.memory, args.overwrite)
    command = shlex.join(["deblurkit", "look", *args.typed])  # the page says how to draw it again
    print(*look(deblurrer, args.photo, args.out, settings, command), sep="\n")
