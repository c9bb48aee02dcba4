"""Restore blurred photographs, and folders of them, with a trained checkpoint."""

from __future__ import annotations

import argparse

from deblurkit import cli
from deblurkit.errors import UserError


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inputs", metavar="PHOTO|FOLDER", nargs="+", help="images; folders are searched recursively")
    parser.add_argument(
        "--weights", metavar="CKPT", required=True, help="checkpoint, or published weights of DeblurGAN(-v2)"
    )
    parser.add_argument("--out", metavar="DIR", required=True, help="folder of the results; inputs are never replaced")
    parser.add_argument("--compare", action="store_true", help="also write blurred | restored to DIR/compare")
    parser.add_argument("--overwrite", action="store_true", help="replace the results of an earlier run")
    parser.add_argument("--plugin", metavar="P", action="append", default=[], help="module or file to import first")
    parser.add_argument(
        "--inference",
        metavar="MODE",
        default="auto",
        help="auto (default): whole where it fits the memory, else tiles; whole, tile:SIZE,OVERLAP, grid:SIZE, "
        "tlc:SIZE[,FACTOR], x8 (better, 8x the work), joined by +",
    )
    parser.add_argument("--memory", metavar="GIB", type=float, help="what one photograph may take above the weights")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1 ...; default: cuda where there is one")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "tf32", "bf16", "fp16"))
    return parser.parse_args()


def main() -> None:
    """Run the command."""
    args = parse()
    from deblurkit.inference.deblurrer import Deblurrer  # heavy imports only once the arguments are right
    from deblurkit.inference.photos import deblur_photos, plan

    jobs = plan(args.inputs, args.out, args.compare, args.overwrite)
    deblurrer = Deblurrer(args.weights, args.plugin, args.device, args.precision, args.inference, args.memory)
    if "note" in deblurrer.source:
        print(deblurrer.source["note"])
    with cli.progress() as show:
        failures = deblur_photos(deblurrer, jobs, lambda done, total: show("restoring", done, total))
    session = deblurrer.session
    used = [f"inference {mode}: {count} photographs" for mode, count in session.used.items()]
    for line in filter(None, [*used, *session.notes(), session.shortage()]):
        print(line)
    print(f"{len(jobs) - len(failures)} of {len(jobs)} photographs restored, in {args.out}")
    if failures:
        raise UserError(*failures)


cli.run(main)
