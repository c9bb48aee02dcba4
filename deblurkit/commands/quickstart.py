"""Train a small GAN for some minutes, and see what it does to photographs it has never seen.

The sample set is made, the machine measured, and the length of the training chosen so that all of it fits into the
minutes. Given again, the command goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import webbrowser
from pathlib import Path

from deblurkit import cli
from deblurkit.commands.arguments import add_device

EXAMPLE = "deblurkit quickstart --minutes 6"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("--minutes", metavar="M", type=float, default=6.0, help="for everything; default: 6")
    parser.add_argument("--work-dir", metavar="DIR", type=Path, help="the run's folder; default: work_dirs/quickstart")
    parser.add_argument("--overwrite", action="store_true", help="start anew in a folder that holds an earlier run")
    parser.add_argument("--open", action="store_true", help="open the report in a browser")
    add_device(parser)


def run(args: argparse.Namespace) -> None:
    """Trains and tests, then names the report and the next command."""
    if not args.minutes > 0:
        raise cli.UsageError(f"--minutes: expected more than 0, got {args.minutes:g}")
    from deblurkit.quickstart import quickstart

    # Flushed: the lines are news for somebody who waits, also where a pipe lies between.
    report = quickstart(args.minutes, args.work_dir, args.device, args.overwrite, lambda text: print(text, flush=True))
    weights = report.parents[1] / "checkpoints" / "best_psnr.pth"
    print(f"report: {report}")
    print(f"next: deblurkit deblur YOUR_PHOTOS/ --weights {weights} --out sharper --compare")
    if args.open:
        webbrowser.open(report.resolve().as_uri())
