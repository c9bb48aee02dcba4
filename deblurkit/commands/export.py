"""Write a trained network in a format that others read.

safetensors holds the tensors and, in its header, all that is needed to build the network again: every command that
takes a checkpoint takes such a file. Averaged weights (EMA) are taken where there are any.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from deblurkit.commands.arguments import add_plugins, add_weights
from deblurkit.errors import UserError

EXAMPLE = "deblurkit export --weights work_dirs/madn/checkpoints/best_psnr.pth --to safetensors --out madn.safetensors"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add = parser.add_argument
    add_weights(parser)
    add("--to", choices=("safetensors",), required=True, help="the format")
    add("--out", metavar="FILE", type=Path, required=True, help="the file to write")
    add("--half", action="store_true", help="round to fp16: half the size; without it no bit changes")
    add("--name", metavar="NAME", default="", help="what reports call it; default: the experiment's name")
    add("--licence", metavar="TEXT", default="", help="of the weights, such as Apache-2.0")
    add("--data", metavar="TEXT", default="", help="what it was trained on, and under which licences")
    add("--overwrite", action="store_true", help="replace an older file")
    add_plugins(parser)


def run(args: argparse.Namespace) -> None:
    """Writes the file, and says what is in it."""
    if args.out.exists() and not args.overwrite:
        raise UserError(f"{args.out}: exists already; choose another --out or say --overwrite")
    from deblurkit.inference.export import export_safetensors

    made = export_safetensors(
        args.weights,
        args.out,
        half=args.half,
        name=args.name,
        licence=args.licence,
        data=args.data,
        plugins=tuple(args.plugin),
        key=args.key,
    )
    kind = "averaged weights (EMA)" if made.averaged else "weights as trained, there are no averaged ones"
    print(f"{args.weights}: {made.generator['type']} after {made.iteration} iterations, {kind}")
    stored = "rounded to fp16" if made.half else "no bit changed"
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB, {stored}, SHA-256 of the content {made.sha256}")
    for flag, said in (("--licence", made.licence), ("--data", made.data)):
        if not said:
            print(f"{args.out}: says nothing of the {flag[2:]}; {flag} would")
