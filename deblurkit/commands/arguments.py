"""The arguments that several commands share, so that they read and mean the same everywhere."""

from __future__ import annotations

import argparse
from typing import Any

from deblurkit.device import PRECISIONS
from deblurkit.errors import UserError

INFERENCE_MODES = "whole, tile:SIZE,OVERLAP, grid:SIZE, tlc:SIZE[,FACTOR], x8, joined by +"


def add_option_file(parser: argparse.ArgumentParser, note: str = "", required: bool = False) -> None:
    """Adds ``-opt``: a shipped option file's name, or a path; its help says the note besides."""
    help = "option file: a name that `deblurkit options` lists, such as madn, or a path"
    parser.add_argument("-opt", metavar="FILE", required=required, help=f"{help}; {note}" if note else help)


def add_set(parser: argparse.ArgumentParser, note: str = "") -> None:
    """Adds ``--set``: changes of single options, from left to right."""
    help = f"change options{note}, such as train.iters=100"
    parser.add_argument("--set", nargs="+", default=[], action="extend", metavar="KEY=VALUE", help=help)


def add_weights(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Adds ``--weights`` and ``--key`` of a command that uses one network; required where there is no ``default``."""
    help = "checkpoint, exported file, a name that `deblurkit weights` lists, or published weights (docs/inference.md)"
    if default is not None:
        help += f"; default: {default}, which is in the box"
    parser.add_argument("--weights", metavar="CKPT", required=default is None, help=help)
    add_key(parser)


def add_key(parser: argparse.ArgumentParser) -> None:
    """Adds ``--key``: which network of a published file is meant."""
    help = "where in a published file the weights stand, such as params; default: the averaged ones"
    parser.add_argument("--key", metavar="KEY", help=help)


def add_plugins(parser: argparse.ArgumentParser) -> None:
    """Adds ``--plugin``: what to import before names are looked up."""
    # What a checkpoint names is never imported by itself: it may be anybody's.
    help = "Python files or modules to import first"
    parser.add_argument("--plugin", metavar="P", nargs="+", action="extend", default=[], help=help)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds ``--device``."""
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1 ...; default: cuda where there is one")


def add_precision(parser: argparse.ArgumentParser) -> None:
    """Adds ``--precision``."""
    help = "default: %(default)s"
    parser.add_argument("--precision", default="fp32", choices=PRECISIONS, help=help)


def add_memory(parser: argparse.ArgumentParser) -> None:
    """Adds ``--memory``: the bound within which photographs are restored."""
    parser.add_argument("--memory", metavar="GIB", type=float, help="what one photograph may take above the weights")


def add_scoring(parser: argparse.ArgumentParser) -> None:
    """Adds what all commands that score have: ``--plugin``, ``--backbone``, ``--single`` and ``--device``."""
    add_plugins(parser)
    help = "weights of the networks inside metrics, such as alex=alexnet.pth; random ones are labelled"
    parser.add_argument("--backbone", metavar="NET=FILE|random", nargs="+", action="extend", default=[], help=help)
    parser.add_argument("--single", action="store_true", help="metrics in single precision: faster, a deviation")
    add_device(parser)


def scoring_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Returns what :func:`add_scoring` read, with ``protocol`` and ``out``, as arguments of evaluation's ``Settings``.

    Raises:
        UserError: A backbone is not ``NET=FILE``.
    """
    backbones, wrong = {}, []
    for text in args.backbone:
        net, _, file = text.partition("=")
        backbones[net] = file
        if not (net and file):
            wrong.append(f"--backbone {text}: expected NET=FILE or NET=random, such as alex=random")
    if wrong:
        raise UserError(*wrong)
    return {
        "protocol": args.protocol,
        "plugins": args.plugin,
        "out": args.out,
        "device": args.device,
        "backbones": backbones,
        "single": args.single,
    }
