"""Write curves.html: losses, scores, gradients and samples of one training, or of several side by side."""

from __future__ import annotations

import argparse
from pathlib import Path

from deblurkit import cli


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "work_dirs", nargs="+", type=Path, metavar="WORK_DIR", help="folders of trainings, also running ones"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page (default: curves.html in the first folder)")
    return parser.parse_args()


def main() -> None:
    """Run the command."""
    args = parse()
    from deblurkit.report.curves.page import write_curves

    print(write_curves(args.work_dirs, args.out))


if __name__ == "__main__":
    cli.run(main)
