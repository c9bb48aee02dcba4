"""Say what this machine has, what is missing, and what to do.

Exit code: 0 nothing stands in the way; 1 something will fail.
"""

from __future__ import annotations

import argparse
import dataclasses
import json

from deblurkit import cli

EXAMPLE = "deblurkit doctor --json > report.json"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.add_argument("--json", action="store_true", help="print all of it as JSON, for a bug report")


def run(args: argparse.Namespace) -> int:
    """Prints one line for each finding."""
    from deblurkit.doctor import examine

    findings = list(examine())  # whole before a word is printed: JSON that stops in the middle is of no use
    if args.json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        for found in findings:
            advice = f"  -> {found.advice}" if found.advice else ""
            print(f"{found.state:8}{found.subject:9}{found.name:24} {found.value}{advice}")
    return cli.OUR_FAULT if "problem" in {found.state for found in findings} else 0
