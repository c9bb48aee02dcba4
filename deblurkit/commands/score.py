"""Score images that any code restored, and write the same report."""

from __future__ import annotations

import argparse

from deblurkit import cli
from deblurkit.commands.arguments import add_scoring, scoring_settings

EXAMPLE = "deblurkit score --restored theirs/ --sharp gopro/sharp/ --blurred gopro/blur/ --protocol gopro-basicsr-v1"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add = parser.add_argument
    help = "restored images, named as the sharp ones; or a report of `test --save-images`"
    add("--restored", metavar="[NAME=]DIR", nargs="+", action="extend", required=True, help=help)
    truth = parser.add_mutually_exclusive_group(required=True)
    help = "true images; where a protocol wants many of each, a folder for each image"
    truth.add_argument("--sharp", metavar="DIR", help=help)
    truth.add_argument("--data", metavar="SET", help="a data set: FILE.yml:test.NAME, or '{type: Kohler, root: ...}'")
    add("--blurred", metavar="DIR", help="blurred images, with --sharp; default: not scored")
    add("--protocol", metavar="ID", required=True, help="how to score; `test --explain ID` says what it computes")
    add("--out", metavar="DIR", default="report", help="folder of the report; default: report")
    add_scoring(parser)


def run(args: argparse.Namespace) -> None:
    """Scores the folders."""
    if args.data and args.blurred:
        raise cli.UsageError("--blurred goes with --sharp, not with --data")
    from deblurkit.evaluation.evaluate import Settings, score_folders

    with cli.progress() as show:  # the same settings as `test` has, so that both write the same report
        settings = Settings(**scoring_settings(args), progress=show)
        report = score_folders(args.restored, settings, sharp=args.sharp, blurred=args.blurred, data=args.data)
    print(report.text())
