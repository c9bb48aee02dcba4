"""List the networks that come with deblurkit and those that can be fetched, show one, or fetch one.

The networks in the box need no network access; `--weights NAME` uses one wherever a checkpoint can be named. Those of
an index are downloaded by `get` alone, and then used in the same way. Without --index it is the index that comes with
deblurkit; DEBLURKIT_WEIGHTS names a folder or an address with copies of its files. docs/weights.md says more.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deblurkit import cli
from deblurkit.errors import UserError

if TYPE_CHECKING:
    from deblurkit.weights.index import Entry, Index

EXAMPLE = "deblurkit weights show starter"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.set_defaults(index=None, offline=False)
    _add_sources(parser)
    commands = parser.add_subparsers(dest="what")
    text = "print name, size, licence and a line of each; what happens without a word"
    _add_sources(commands.add_parser("list", help=text, description=text))
    text = "print a model card: data, licences, scores, limits; or what an index says"
    show = commands.add_parser("show", help=text, description=text)
    show.add_argument("box_name", metavar="NAME", help="such as starter")
    show.add_argument("--markdown", action="store_true", help="as Markdown")
    _add_sources(show)
    text = "download one that an index offers, verified; started again, it goes on"
    get = commands.add_parser("get", help=text, description=text)
    get.add_argument("offered_name", metavar="NAME", help="such as nafnet-gopro-width32")
    get.add_argument("--out", type=Path, metavar="DIR", help="where to put the file; default: the user's cache")
    help = "the licence as the index names it, where it is not a permissive one"
    get.add_argument("--accept-licence", metavar="LICENCE", help=help)
    _add_sources(get)


def _add_sources(parser: argparse.ArgumentParser) -> None:
    # No defaults: those of a subcommand would replace what was said before it.
    help = "an index of weights, a file or an http or https address; default: the one that comes along"
    parser.add_argument("--index", metavar="FILE_OR_URL", default=argparse.SUPPRESS, help=help)
    help = "open no socket"
    parser.add_argument("--offline", action="store_true", default=argparse.SUPPRESS, help=help)


def run(args: argparse.Namespace) -> None:
    """Prints the list or a card, or fetches a file."""
    from deblurkit.weights import box, fetched

    if args.what == "get":
        _get(args)
    elif args.what != "show":
        _list(args)
    elif args.box_name in box.names():
        _show_card(args.box_name, args.markdown)
    else:
        # An index that was named is asked first; otherwise what was fetched is known without one.
        known = None if args.index else fetched.entry_of(args.box_name)
        index = _read_index(args)
        if known is None and args.index is None and args.box_name not in index.entries:
            box.find(args.box_name)  # says what there is
        print(_described(known or index.entry(args.box_name), args.markdown))


def _show_card(name: str, markdown: bool) -> None:
    from deblurkit.report.card import card_markdown, card_text
    from deblurkit.weights import box
    from deblurkit.weights.card import read_card
    from deblurkit.weights.description import describe

    card, content = read_card(name), box.file_of(name).read_bytes()
    write = card_markdown if markdown else card_text
    print(write(name, card, describe(content, name), len(content)), end="")


def _read_index(args: argparse.Namespace) -> Index:
    from deblurkit.weights import index, transfer

    if args.index is None:
        return index.read_shipped()
    if not index.is_remote(args.index):
        return index.read_file(index.local_path(args.index))
    if args.offline:
        raise UserError(f"--index {args.index}: not asked, because of --offline; expected a file")
    return index.parse(transfer.read_start(args.index, index.MAX_BYTES + 1), args.index)


def _list(args: argparse.Namespace) -> None:
    from deblurkit.weights import box, fetched
    from deblurkit.weights.card import read_card

    index = _read_index(args)
    for name in box.names():
        card = read_card(name)
        print(f"{name:21} {box.file_of(name).stat().st_size / 1e6:6.2f} MB  {card.licence:12} {card.summary}")
    print(f"\nto be fetched with `deblurkit weights get NAME`, as {args.index or 'the index that comes along'} says:")
    for offered in index.entries.values():
        print(_row(offered))
    others = []
    for name in fetched.names():
        entry = fetched.entry_of(name)
        if entry is not None and name not in index.entries:
            others.append(entry)
    if others:
        print("\nfetched as other indexes say:")
    for other in others:
        print(_row(other))


def _row(entry: Entry) -> str:
    from deblurkit.weights import fetched

    told = [entry.summary]
    if entry.published:
        first = entry.published[0]
        told.append(f"published: {first.psnr:.2f} dB on {first.dataset}")
    if fetched.is_there(entry):
        told.append("fetched")
    return f"{entry.name:21} {entry.megabytes:>9}  {entry.licence:12} {'; '.join(told)}"


def _described(entry: Entry, markdown: bool) -> str:
    """Returns everything about weights of an index, a line a fact."""
    from deblurkit.weights import fetched

    place = fetched.place_of(entry)
    there = f"fetched: {place}" if fetched.is_there(entry) else f"not fetched: `deblurkit weights get {entry.name}`"
    kind = "" if entry.is_permissive else ", which has to be accepted by name"
    facts = [
        f"architecture: {entry.architecture}",
        f"file: {entry.url}",
        f"{entry.megabytes} ({entry.size} bytes), SHA-256 {entry.sha256}",
        f"licence of the weights: {entry.licence}{kind}",
    ]
    for data in entry.data:
        facts.append(f"trained on {data.what}; licence of the data: {data.licence}")
    for score in entry.published:
        ssim = "" if score.ssim is None else f", SSIM {score.ssim}"
        facts.append(f"published, not measured here: PSNR {score.psnr} dB{ssim} on {score.dataset} ({score.source})")
    if not entry.published:
        facts.append("no score was published")
    if entry.home:
        facts.append(f"page: {entry.home}")
    if entry.note:
        facts.append(entry.note)
    if entry.extra:
        facts.append(f"needs pip install 'deblurkit[{entry.extra}]'")
    facts += [there, f"used as {_usage(entry, entry.name)}"]
    title = f"# {entry.name}" if markdown else entry.name
    return "\n".join([title, "", entry.summary, "", *(f"- {fact}" for fact in facts)])


def _usage(entry: Entry, weights: str) -> str:
    return f"--weights {weights}{f' --key {entry.key}' if entry.key else ''}"


def _get(args: argparse.Namespace) -> None:
    from deblurkit.files import saying
    from deblurkit.weights import box, fetched
    from deblurkit.weights.fetch import Told, fetch
    from deblurkit.weights.index import refuse_licence

    if args.offered_name in box.names():
        raise UserError(f"{args.offered_name}: is in the box already, and never fetched")
    entry = _read_index(args).entry(args.offered_name)
    refuse_licence(entry, args.accept_licence)
    if args.out is None:
        target, weights = fetched.place_for(entry), entry.name
    else:
        target = args.out / entry.file
        weights = os.path.join(".", target)
        with saying(f"{args.out}: cannot be written"):
            args.out.mkdir(parents=True, exist_ok=True)
            if target.exists() and fetched.difference(target, entry):
                raise UserError(f"{target}: exists already, and is another file; choose another --out")
    with cli.progress() as show:
        told = Told(lambda line: print(line, file=sys.stderr, flush=True), show)
        is_new = fetch(entry, target, args.offline, told)
    if args.out is None:
        fetched.remember(entry)
    print(f"{target}: {'verified' if is_new else 'there already, verified'}; {_usage(entry, weights)}")
