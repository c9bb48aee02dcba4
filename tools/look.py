"""Look inside a trained network: what its modules compute for one photograph, as pictures and one page."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from deblurkit import cli


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", metavar="PHOTO", nargs="?", type=Path, help="an image; not needed with --list")
    parser.add_argument(
        "--weights", metavar="CKPT", required=True, help="checkpoint, or published weights of DeblurGAN(-v2)"
    )
    parser.add_argument("--out", metavar="DIR", type=Path, help="folder of the pictures and of look.html")
    parser.add_argument(
        "--outputs",
        metavar="NAME",
        nargs="+",
        action="extend",
        default=[],
        help="modules by name, or what the network declares; default: that, or modules spread over its depth",
    )
    parser.add_argument("--list", action="store_true", help="print what can be looked at, and stop")
    parser.add_argument(
        "--pixel", metavar="Y,X", type=numbers(2), help="row and column for maps of one pixel; default: the middle"
    )
    parser.add_argument(
        "--crop", metavar="Y,X,H,W", type=numbers(4), help="part to look at; default: all, or what fits the memory"
    )
    parser.add_argument("--channels", metavar="N", type=int, default=8, help="drawn by themselves too (default: 8)")
    parser.add_argument("--memory", metavar="GIB", type=float, help="what the pass may take above the weights")
    parser.add_argument("--overwrite", action="store_true", help="replace the pictures of an earlier look")
    parser.add_argument("--plugin", metavar="P", nargs="+", action="extend", default=[], help="import these first")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1 ...; default: cuda where there is one")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "tf32", "bf16", "fp16"))
    args = parser.parse_args()
    if not args.list and (args.photo is None or args.out is None):
        parser.error("give PHOTO and --out DIR, or --list")
    if args.channels < 0:
        parser.error(f"--channels: expected 0 or more, got {args.channels}")
    return args


def numbers(count: int) -> Callable[[str], tuple[int, ...]]:
    """Return what reads whole numbers separated by commas."""

    def read(text: str) -> tuple[int, ...]:
        found = tuple(map(int, text.split(",")))
        if len(found) != count:
            raise ValueError(f"expected {count} numbers")
        return found

    read.__name__ = f"{count} whole numbers separated by commas"  # argparse's messages call it so
    return read


def main() -> None:
    """Run the command."""
    args = parse()
    from deblurkit.inference.deblurrer import Deblurrer  # heavy imports only once the arguments are right
    from deblurkit.inspection.photo import Settings, listing, look
    from deblurkit.report.tables import as_text

    deblurrer = Deblurrer(args.weights, args.plugin, args.device, args.precision, memory=args.memory)
    if args.list:
        print(as_text(listing(deblurrer.generator)))
        return
    settings = Settings(args.outputs, args.pixel, args.crop, args.channels, args.memory, args.overwrite)
    command = shlex.join(["python", "tools/look.py", *sys.argv[1:]])
    print(*look(deblurrer, args.photo, args.out, settings, command), sep="\n")


if __name__ == "__main__":
    cli.run(main)
