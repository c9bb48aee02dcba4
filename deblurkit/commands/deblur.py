"""Restore blurred photographs, and folders of them."""

from __future__ import annotations

import argparse

from deblurkit import cli
from deblurkit.commands import arguments
from deblurkit.errors import UserError
from deblurkit.weights import box

EXAMPLE = "deblurkit deblur holiday/ --out sharper --compare"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("inputs", metavar="PHOTO|FOLDER", nargs="+", help="images; folders are searched recursively")
    arguments.add_weights(parser, box.DEFAULT)
    parser.add_argument("--out", metavar="DIR", required=True, help="folder of the results; inputs are never replaced")
    parser.add_argument("--compare", action="store_true", help="also write blurred | restored to DIR/compare")
    parser.add_argument("--overwrite", action="store_true", help="replace the results of an earlier run")
    modes = f"{arguments.INFERENCE_MODES} (x8: a little better, 8x the work)"
    help = f"auto (default): whole where it fits the memory, else tiles; {modes}"
    parser.add_argument("--inference", metavar="MODE", default="auto", help=help)
    arguments.add_memory(parser)
    arguments.add_plugins(parser)
    arguments.add_device(parser)
    arguments.add_precision(parser)


def run(args: argparse.Namespace) -> None:
    """Restores the photographs."""
    from deblurkit.inference.deblurrer import Deblurrer
    from deblurkit.inference.photos import deblur_photos, plan
    from deblurkit.weights.card import read_card

    jobs = plan(args.inputs, args.out, args.compare, args.overwrite)  # refuses before a network is loaded
    weights = args.weights
    if weights is None:
        weights = box.DEFAULT
        print(f"weights: {weights}, {read_card(weights).summary}; `deblurkit weights show {weights}` says more")
    deblurrer = Deblurrer(weights, args.plugin, args.device, args.precision, args.inference, args.memory)
    if "note" in deblurrer.source:
        print(deblurrer.source["note"])
    with cli.progress() as show:
        failures = deblur_photos(deblurrer, jobs, lambda done, total: show("restoring", done, total))
    session = deblurrer.session
    used = [f"inference {mode}: {count} photographs" for mode, count in session.used.items()]
    for line in filter(None, [*used, *session.notes(), session.shortage()]):
        print(line)
    print(f"{len(jobs) - len(failures)} of {len(jobs)} photographs restored, in {args.out}")
    if failures:  # told last, where nothing scrolls them away
        raise UserError(*failures)
