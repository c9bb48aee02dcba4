# PYTHON_ARGCOMPLETE_OK
"""The command line: ``deblurkit COMMAND``, how its commands read their arguments, and how they end."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import shutil
import signal
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from deblurkit import __version__
from deblurkit.errors import UserError, did_you_mean, said_by_system

GROUPS = {
    "Start": ("quickstart", "doctor"),
    "Sharpen photographs": ("deblur", "weights", "look"),
    "Build and train a network": ("options", "list", "train", "curves", "measure", "export", "bench"),
    "Score and compare": ("test", "score"),
    "Look after data": ("check-data", "prepare-data", "blur"),
    "Extend": ("new-plugin", "completion"),
}
"""The commands, by what people want to do."""

OUR_FAULT, USERS_MISTAKE, INTERRUPTED = 1, 2, 130


class UsageError(UserError):
    """Arguments that do not go together; the message is printed with the command's name and its help."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose mistakes are one line each, with the closest valid word."""

    def parse_known_args(  # type: ignore[override]  # overloads that say the same
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parses, after flags that do not exist are told: argparse would first miss the required one they stand for."""
        words = list(sys.argv[1:] if args is None else args)
        known = self._option_string_actions
        for word in words if self._subparsers is None else ():
            if word == "--":  # behind it no word is a flag
                break
            flag = word.partition("=")[0]
            is_flag = len(word) > 1 and word.startswith("-") and " " not in flag
            if not is_flag or self._negative_number_matcher.match(word):
                continue
            if not any(option.startswith(flag) for option in known):  # argparse takes abbreviations
                self.error(f"there is no option {flag}{did_you_mean(flag, known)}")
        return super().parse_known_args(words, namespace)

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            hint = did_you_mean(str(value), choices)
            raise argparse.ArgumentError(action, f"got {value!r}, expected one of {', '.join(choices)}{hint}")

    def error(self, message: str) -> NoReturn:
        """Prints one line and exits with code 2."""
        print(f"{self.prog}: {message}; `{self.prog} --help` explains", file=sys.stderr)
        sys.exit(USERS_MISTAKE)


class Formatter(argparse.HelpFormatter):
    """Wraps each paragraph of a description by itself, and leaves indented lines, such as examples, as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        parts = text.split("\n\n")
        for index, paragraph in enumerate(parts):
            if "\n  " not in paragraph:
                parts[index] = textwrap.fill(" ".join(paragraph.split()), width)
        return "\n\n".join(parts)


class Program(Parser):
    """The parser of ``deblurkit`` itself; its help groups the commands by what people want to do."""

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is not None and value not in action.choices:
            self.error(f"there is no command {value!r}{did_you_mean(str(value), action.choices)}")

    def format_help(self) -> str:
        """Returns the help, wrapped to the terminal's width."""
        width = max(min(shutil.get_terminal_size().columns - 2, 100), 40)
        parts = [self.format_usage(), textwrap.fill(str(self.description), width)]
        for group, names in GROUPS.items():
            lines = [f"{group}:"]
            for name in names:
                lines.append(textwrap.fill(f"  {name:14}{summary_of(name)}", width, subsequent_indent=" " * 16))
            parts.append("\n".join(lines))
        return "\n\n".join([*(part.rstrip() for part in parts), str(self.epilog)]) + "\n"


def module_of(command: str) -> Any:
    """Returns a command's module; see :mod:`deblurkit.commands`."""
    return importlib.import_module(f"deblurkit.commands.{command.replace('-', '_')}")


def summary_of(command: str) -> str:
    """Returns the first line of a command's description."""
    return module_of(command).__doc__.partition("\n")[0]


def add_command(parser: argparse.ArgumentParser, command: str) -> None:
    """Gives a parser a command's description, example, arguments, and ``run`` as what they are for."""
    module = module_of(command)
    parser.formatter_class = Formatter
    parser.description = module.__doc__
    parser.epilog = f"example:\n  {module.EXAMPLE}"
    module.configure(parser)
    parser.set_defaults(run=module.run, parser=parser)


def program() -> Program:
    """Builds the parser of ``deblurkit`` with all of its commands."""
    parser = Program(
        prog="deblurkit",
        usage="deblurkit COMMAND ...",
        description="Build, train, compare and use image-deblurring GANs.",
        epilog="`deblurkit COMMAND --help` explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"deblurkit {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for names in GROUPS.values():
        for name in names:
            add_command(commands.add_parser(name, prog=f"deblurkit {name}", help=summary_of(name)), name)
    return parser


def main() -> NoReturn:
    """Runs the command that the command line names; without one, prints the help."""
    if "_ARGCOMPLETE" in os.environ:  # a shell asks, because somebody pressed Tab
        from deblurkit.completion import complete

        complete(program())
    words = sys.argv[1:]
    run(lambda: _run_command(program(), words or ["--help"], words[1:]))


def run_tool(command: str) -> NoReturn:
    """Runs one command with the arguments of the script in ``tools/`` that bears its name."""
    parser = Parser(prog=Path(sys.argv[0]).name)
    add_command(parser, command)
    run(lambda: _run_command(parser, sys.argv[1:], sys.argv[1:]))


def _run_command(parser: argparse.ArgumentParser, words: Sequence[str], typed: Sequence[str]) -> int | None:
    args = parser.parse_args(words)
    args.typed = list(typed)
    try:
        code: int | None = args.run(args)
    except UsageError as error:
        args.parser.error(str(error))
    return code


def run(main: Callable[[], int | None]) -> NoReturn:
    """Runs ``main`` and exits with its code: 0 done, 1 our fault, 2 the user's mistake, 130 interrupted.

    A :class:`~deblurkit.errors.UserError` is printed without a traceback, one unwrapped line for each problem; so is
    what the system refuses, such as a write to a full disk. A second Ctrl-C ends the process at once.
    """
    signal.signal(signal.SIGINT, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # a host process may have put something else there
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal may know no "x" or "é"
    try:
        code = main() or 0
        sys.stdout.flush()
    except UserError as error:
        for problem in error.problems:
            print(" ".join(line.strip() for line in problem.splitlines()), file=sys.stderr)
        code = USERS_MISTAKE
    except KeyboardInterrupt:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        print("interrupted", file=sys.stderr)
        code = INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output left; Python's own flush at exit would complain about that once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = OUR_FAULT
    except Exception as error:
        refused = said_by_system(error)
        if refused is None:
            traceback.print_exc()
        else:
            print(refused, file=sys.stderr)
        code = OUR_FAULT if refused is None else USERS_MISTAKE
    sys.exit(code)


def _interrupt(number: int, frame: object) -> NoReturn:
    # Nothing swallows the second one.
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
    if hasattr(signal, "setitimer"):  # not on Windows
        signal.signal(signal.SIGALRM, _interrupt_again)
        signal.setitimer(signal.ITIMER_REAL, 1, 1)
    raise KeyboardInterrupt


def _interrupt_again(number: int, frame: object) -> None:
    # A library swallows an interruption that it meets in a callback, or in C code while it is imported. Clean-up that
    # the first one has set off goes on undisturbed: there it is the exception that is being handled, or its context.
    handled = sys.exception()
    while handled is not None:
        if isinstance(handled, KeyboardInterrupt):
            return
        handled = handled.__context__
    raise KeyboardInterrupt


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Shows bars on standard error where that is a terminal, and nothing elsewhere.

    Yields what to call with a bar's name, the number of things done and the number of all.
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
