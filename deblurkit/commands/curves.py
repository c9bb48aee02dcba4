"""Draw the curves of a training, or of several side by side.

One page shows losses, scores, gradients and samples; a training may still be running.
"""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLE = "deblurkit curves work_dirs/madn work_dirs/madn_l1 --out madn.html"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    add = parser.add_argument
    add("work_dirs", nargs="+", type=Path, metavar="WORK_DIR", help="folders of trainings, also running ones")
    add("--out", type=Path, metavar="FILE", help="the page; default: curves.html in the first folder")


def run(args: argparse.Namespace) -> None:
    """Writes the page and prints where it is."""
    from deblurkit.report.curves.page import write_curves  # imports no torch: any machine can draw curves

    print(write_curves(args.work_dirs, args.out))
