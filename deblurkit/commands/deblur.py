"""Restore blurred photographs, and folders of them."""

from __future__ import annotations

import argparse
import math

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
    help = "of JPEG, WebP and AVIF, 1 to 100; by default as the photograph's own, WebP without loss, AVIF at 90"
    parser.add_argument("--quality", metavar="N", type=int, help=help)
    help = "the largest photograph that is read (default: 250)"
    parser.add_argument("--max-megapixels", metavar="N", type=float, help=help)
    arguments.add_plugins(parser)
    arguments.add_device(parser)
    arguments.add_precision(parser)
    help = "run the network in the fastest way that agrees with fp32 to 60 dB; measured once a machine, and remembered"
    parser.add_argument("--fast", action="store_true", help=help)


def run(args: argparse.Namespace) -> None:
    """Restores the photographs."""
    from deblurkit.inference.deblurrer import Deblurrer
    from deblurkit.inference.photos import deblur_photos, plan
    from deblurkit.weights.card import read_card

    if args.quality is not None and not 1 <= args.quality <= 100:
        raise UserError(f"--quality: got {args.quality}, expected a number from 1 to 100")
    if args.max_megapixels is not None and not 0 < args.max_megapixels < math.inf:
        raise UserError(f"--max-megapixels: got {args.max_megapixels:g}, expected a number above 0")
    planned = plan(args.inputs, args.out, args.compare, args.overwrite)  # refuses before a network is loaded
    weights = args.weights
    if weights is None:
        weights = box.DEFAULT
        print(f"weights: {weights}, {read_card(weights).summary}; `deblurkit weights show {weights}` says more")
    deblurrer = Deblurrer(
        weights, args.plugin, args.device, args.precision, args.inference, args.memory, args.key, args.fast
    )
    if "note" in deblurrer.source:
        print(deblurrer.source["note"])
    with cli.progress() as show:
        done = deblur_photos(
            deblurrer,
            planned.jobs,
            lambda done, total: show("restoring", done, total),
            args.quality,
            args.max_megapixels,
        )
    if deblurrer.choice is not None:
        print(f"fast: {deblurrer.choice}")
    session = deblurrer.session
    used = [f"inference {mode}: {count} photographs" for mode, count in session.used.items()]
    for line in filter(None, [*used, *session.notes(), session.shortage()]):
        print(line)
    for note, count in done.notes.items():
        print(f"{count} photograph{'s' * (count != 1)}: {note}")
    for why, count in sorted(planned.passed_over.items()):
        print(f"not read: {count} file{'s' * (count != 1)}: {why}")
    total = len(planned.jobs)
    print(f"{total - len(done.failures)} of {total} photographs restored, in {args.out}")
    if done.failures:  # told last, where nothing scrolls them away
        raise UserError(*done.failures)
