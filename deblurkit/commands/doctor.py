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

    findings = list(examine())
    if args.json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            advice = f"  -> {finding.advice}" if finding.advice else ""
            print(f"{finding.state:8}{finding.subject:9}{finding.name:24} {finding.value}{advice}")
    return cli.OUR_FAULT if any(finding.state == "problem" for finding in findings) else 0
