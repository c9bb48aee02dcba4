"""List the networks that come with deblurkit, or show the model card of one.

They need no network access; `--weights NAME` uses one wherever a checkpoint can be named.
"""

from __future__ import annotations

import argparse

EXAMPLE = "deblurkit weights show starter"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    commands = parser.add_subparsers(dest="what")
    text = "print name, size, licence and a line of each; what happens without a word"
    commands.add_parser("list", help=text, description=text)
    text = "print a model card: data, licences, scores, limits"
    show = commands.add_parser("show", help=text, description=text)
    show.add_argument("box_name", metavar="NAME", help="such as starter")
    show.add_argument("--markdown", action="store_true", help="as Markdown")


def run(args: argparse.Namespace) -> None:
    """Prints the list, or a card."""
    from deblurkit.report.card import card_markdown, card_text
    from deblurkit.weights import box
    from deblurkit.weights.card import read_card
    from deblurkit.weights.description import describe

    if args.what == "show":
        card, content = read_card(args.box_name), box.file_of(args.box_name).read_bytes()
        description = describe(content, args.box_name)
        write = card_markdown if args.markdown else card_text
        print(write(args.box_name, card, description, len(content)), end="")
        return
    for name in box.names():
        card = read_card(name)
        print(f"{name:14} {box.file_of(name).stat().st_size / 1e6:5.2f} MB  {card.licence:12} {card.summary}")
