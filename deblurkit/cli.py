"""What all command lines share: how they end, with which exit code, and the progress they show."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import NoReturn

from deblurkit.errors import UserError

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
