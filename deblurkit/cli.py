"""What all command lines share: how they end, with which exit code, and the progress they show."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from deblurkit.errors import UserError

INFERENCE_HELP = (
    "whole, tile:SIZE,OVERLAP, grid:SIZE, tlc:SIZE[,FACTOR], x8, joined by +; "
    "default: val.inference, else the protocol's"
)

OUR_FAULT, USERS_MISTAKE, INTERRUPTED = 1, 2, 130


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run ``main`` and exit with its code: 0 done, 1 our fault, 2 the user's mistake, 130 interrupted.

    A :class:`~deblurkit.errors.UserError` is printed without a traceback, one unwrapped line for each problem.
    """
    try:
        code = main() or 0
        sys.stdout.flush()
    except UserError as error:
        print_problems(error)
        code = USERS_MISTAKE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output left; Python's own flush at exit would complain about that once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = OUR_FAULT
    except Exception:
        traceback.print_exc()
        code = OUR_FAULT
    sys.exit(code)


def print_problems(error: UserError) -> None:
    """Print each problem as one line on standard error."""
    for problem in error.problems:
        print(" ".join(line.strip() for line in problem.splitlines()), file=sys.stderr)


def add_scoring_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what all tools that score have: ``--plugin``, ``--backbone``, ``--single`` and ``--device``."""
    parser.add_argument("--plugin", metavar="P", nargs="+", action="extend", default=[], help="import these first")
    parser.add_argument(
        "--backbone",
        metavar="NET=FILE|random",
        nargs="+",
        action="extend",
        default=[],
        help="weights of the networks inside metrics, such as alex=alexnet.pth; random ones are labelled",
    )
    parser.add_argument("--single", action="store_true", help="metrics in single precision: faster, a deviation")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1 ...; default: cuda where there is one")


def scoring_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return what :func:`add_scoring_arguments` read, with ``protocol`` and ``out``, as arguments by name.

    Raises:
        UserError: A backbone is not ``NET=FILE``.
    """
    pairs = [text.partition("=") for text in args.backbone]
    wrong = ["".join(pair) for pair in pairs if not all(pair)]
    if wrong:
        raise UserError(*(f"--backbone {text}: expected NET=FILE or NET=random, such as alex=random" for text in wrong))
    return {
        "protocol": args.protocol,
        "plugins": args.plugin,
        "out": args.out,
        "device": args.device,
        "backbones": {net: file for net, _, file in pairs},
        "single": args.single,
    }


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show bars on standard error where that is a terminal, and nothing elsewhere.

    Yields:
        What to call with a bar's name, the number of things done and the number of all.
    """
    if not sys.stderr.isatty():
        yield lambda name, done, total: None
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TextColumn("left:"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, TaskID] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done)

        yield show
