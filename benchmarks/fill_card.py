"""Puts measured scores into the model card of a network in the box, and writes the card into the docs.

    python benchmarks/fill_card.py starter sample=work_dirs/starter/report [SCORE=REPORT ...]

Each ``SCORE`` is a name below ``scores`` in ``deblurkit/weights/NAME.yml``, each ``REPORT`` the folder that ``deblurkit
test`` wrote with the command that stands there. Scores of other weights than those in the box are refused, and dropped
where they are in the card already. Without scores, only ``docs/NAME.md`` is written anew.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from deblurkit import cli
from deblurkit.errors import UserError, did_you_mean
from deblurkit.files import write_together
from deblurkit.report.card import card_markdown
from deblurkit.results import plain
from deblurkit.torchfile.read import digest
from deblurkit.weights import box
from deblurkit.weights.card import Card, measured_in, read_card, scores_file
from deblurkit.weights.description import describe

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main(words: Sequence[str]) -> None:
    """Reads the reports, and writes the scores and the page together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("reports", metavar="SCORE=REPORT", nargs="*")
    parser.add_argument("--docs", metavar="DIR", type=Path, default=DOCS, help="default: docs of this checkout")
    args = parser.parse_args(words)
    card = filled(args.name, args.reports)
    content = box.file_of(args.name).read_bytes()
    page = card_markdown(args.name, card, describe(content, args.name), len(content))
    scores = json.dumps(plain(card.measured), indent=2) + "\n"
    write_together({scores_file(args.name): scores, args.docs / f"{args.name}.md": page})
    print(f"{len(card.measured)} of {len(card.scores)} scores are in the card")


def filled(name: str, reports: Sequence[str]) -> Card:
    """Returns the card with the scores of the reports, and without those of other weights.

    Raises:
        UserError: A report is not one of these weights, or a score is not named in the card.
    """
    card, file = read_card(name), box.file_of(name)
    ours = digest(file)
    measured = {key: each for key, each in card.measured.items() if each.weights.sha256 == ours}
    for text in reports:
        key, _, report = text.partition("=")
        if key not in card.scores:
            raise UserError(f"{text}: the card names no score {key!r}{did_you_mean(key, card.scores)}")
        found = measured_in(Path(report), card.scores[key].dataset)
        if found.weights.sha256 != ours:
            raise UserError(f"{text}: scores of {found.weights.file}, not of the {file.name} that is in the box")
        measured[key] = found
    return dataclasses.replace(card, measured=measured)


if __name__ == "__main__":
    cli.run(lambda: main(sys.argv[1:]))
