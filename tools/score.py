"""Score images that were restored by any code against the sharp ones, and write the report that test.py writes."""

from __future__ import annotations

import argparse

from deblurkit import cli


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--restored",
        metavar="[NAME=]DIR",
        nargs="+",
        action="extend",
        required=True,
        help="restored images, named as the sharp ones; or a report of test.py --save-images",
    )
    truth = parser.add_mutually_exclusive_group(required=True)
    truth.add_argument(
        "--sharp", metavar="DIR", help="true images; where a protocol wants many of each, a folder for each image"
    )
    truth.add_argument("--data", metavar="SET", help="a data set: FILE.yml:test.NAME, or '{type: Kohler, root: ...}'")
    parser.add_argument("--blurred", metavar="DIR", help="blurred images, with --sharp; default: not scored")
    parser.add_argument("--protocol", metavar="ID", required=True, help="how to score; test.py --explain ID says what")
    parser.add_argument("--out", metavar="DIR", default="report", help="folder of the report; default: report")
    cli.add_scoring_arguments(parser)
    args = parser.parse_args()
    return args if not (args.data and args.blurred) else parser.error("--blurred goes with --sharp, not with --data")


def main() -> None:
    """Run the command."""
    args = parse()
    from deblurkit.evaluation.evaluate import Settings, score_folders  # heavy imports only once the arguments are right

    with cli.progress() as show:
        settings = Settings(**cli.scoring_settings(args), progress=show)
        report = score_folders(args.restored, settings, sharp=args.sharp, blurred=args.blurred, data=args.data)
    print(report.text())


cli.run(main)
