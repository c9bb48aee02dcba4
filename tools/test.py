"""Restore the test sets of an experiment with one or several checkpoints, score them and write a report.

A run that was interrupted goes on where it stopped when the same command is given again.
"""

from __future__ import annotations

import argparse

from deblurkit import cli


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    several: dict = {"nargs": "+", "action": "extend", "default": []}
    parser.add_argument("-opt", metavar="FILE", help="option file; default: the options inside the (first) checkpoint")
    parser.add_argument(
        "--weights", metavar="[NAME=]CKPT", **several, help="default: the experiment's best checkpoint, else its newest"
    )
    parser.add_argument("--dataset", metavar="NAME", **several, help="test sets; default: all that are here")
    parser.add_argument("--inference", metavar="MODE", help=cli.INFERENCE_HELP)
    parser.add_argument("--save-images", action="store_true", help="also write the restored images")
    parser.add_argument("--out", metavar="DIR", help="folder of the report; default: report in the work dir")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "tf32", "bf16", "fp16"))
    parser.add_argument("--explain", metavar="ID", help="print what a protocol computes, and stop")
    parser.add_argument("--protocol", metavar="ID", help="for sets that name no protocol; default: val.protocol")
    cli.add_scoring_arguments(parser)
    args = parser.parse_args()
    return args if args.opt or args.weights or args.explain else parser.error("give -opt, --weights, or both")


def main() -> None:
    """Run the command."""
    args = parse()
    from deblurkit.evaluation.evaluate import Settings, evaluate_all  # heavy imports only once the arguments are right
    from deblurkit.evaluation.protocols.protocol import find_protocol
    from deblurkit.options.load import load_options
    from deblurkit.registry import load_plugins

    load_plugins(args.plugin)
    if args.explain:
        print(find_protocol(args.explain, "--explain").definition())
        return
    with cli.progress() as show:
        settings = Settings(
            **cli.scoring_settings(args),
            datasets=args.dataset or None,
            inference=args.inference,
            save_images=args.save_images,
            precision=args.precision,
            progress=show,
        )
        report = evaluate_all(load_options(args.opt) if args.opt else None, args.weights, settings)
    print(report.text())


cli.run(main)
