"""Score checkpoints on test sets, and write a report.

Several checkpoints are compared on the same images. A run that was interrupted goes on where it stopped when the same
command is given again.
"""

from __future__ import annotations

import argparse

from deblurkit import cli
from deblurkit.commands.arguments import INFERENCE_MODES, add_option_file, add_precision, add_scoring, scoring_settings

EXAMPLE = "deblurkit test --weights ours=work_dirs/madn/checkpoints/best_psnr.pth theirs=other.pth"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add = parser.add_argument
    several: dict = {"nargs": "+", "action": "extend", "default": []}
    add_option_file(parser, "default: the options inside the (first) checkpoint")
    help = "checkpoints, exported files or networks in the box; default: the experiment's best, else its newest"
    add("--weights", metavar="[NAME=]CKPT", **several, help=help)
    help = "where in a published file the weights stand, such as params; default: the averaged ones"
    add("--key", metavar="[NAME=]KEY", **several, help=help)
    add("--dataset", metavar="NAME", **several, help="test sets; default: all that are here")
    add("--inference", metavar="MODE", help=f"{INFERENCE_MODES}; default: val.inference, else the protocol's")
    add("--save-images", action="store_true", help="also write the restored images")
    add("--out", metavar="DIR", help="folder of the report; default: report in the work dir")
    add_precision(parser)
    add("--explain", metavar="ID", help="print what a protocol computes, and stop")
    add("--protocol", metavar="ID", help="for sets that name no protocol; default: val.protocol")
    add_scoring(parser)


def run(args: argparse.Namespace) -> None:
    """Restores and scores; or explains a protocol."""
    if not (args.opt or args.weights or args.explain):
        raise cli.UsageError("give -opt, --weights, or both")
    from deblurkit.evaluation.evaluate import Settings, evaluate_all
    from deblurkit.evaluation.protocols.protocol import find_protocol
    from deblurkit.options.load import load_options
    from deblurkit.plugins import load_plugins

    load_plugins(args.plugin)  # before the option file is checked and a protocol looked up: both may name theirs
    if args.explain:
        print(find_protocol(args.explain, "--explain").definition())
        return
    with cli.progress() as show:
        settings = Settings(
            **scoring_settings(args),
            keys=args.key,
            datasets=args.dataset or None,
            inference=args.inference,
            save_images=args.save_images,
            precision=args.precision,
            progress=show,
        )
        report = evaluate_all(load_options(args.opt) if args.opt else None, args.weights, settings)
    print(report.text())
