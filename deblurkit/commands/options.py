"""List the option files that come with deblurkit; show one, with its bases merged, or copy it to edit.

NAME is one of those listed. With --expand it may also be the path of an option file of your own.
"""

from __future__ import annotations

import argparse
import itertools
import posixpath
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from deblurkit.cli import UsageError
from deblurkit.errors import UserError
from deblurkit.options import shipped

EXAMPLE = "deblurkit options madn --expand"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="show this file; default: list them all")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--expand", action="store_true", help="with its bases merged, and where each value comes from")
    how.add_argument("--copy", metavar="DIR", help="copy it with its bases to DIR, to edit them there")


def run(args: argparse.Namespace) -> None:
    """Prints what was asked for."""
    if args.name is None and (args.expand or args.copy is not None):
        raise UsageError("--expand and --copy need a NAME, such as `deblurkit options madn --expand`")
    if args.name is None:
        lines = _listing()
    elif args.copy is not None:
        lines = _copy(args.name, Path(args.copy))
    elif args.expand:
        from deblurkit.options.expand import expanded

        lines = iter([expanded(shipped.find(args.name))])
    else:
        from deblurkit.options.read import text_of

        lines = iter([text_of(shipped.find(args.name))])
    sys.stdout.writelines(lines)


def _listing() -> Iterator[str]:
    """Yields a line for each shipped file, grouped by their folders."""
    # A line that wraps hides the columns; in a file or a pipe nothing is lost.
    cut = shutil.get_terminal_size().columns - 1 if sys.stdout.isatty() else None
    # The bases last: they are no experiments.
    ranked = sorted(shipped.names(), key=lambda name: (name.startswith("_base_/"), posixpath.dirname(name), name))
    for folder, group in itertools.groupby(ranked, key=posixpath.dirname):
        names = list(group)
        width = max(map(len, names))
        if folder == "":
            yield "Experiments, for `-opt NAME`:\n"
        elif folder == "_base_":
            yield "\nBases, for `_base_: deblurkit:_base_/NAME.yml`:\n"
        else:
            yield f"\nAblations of {posixpath.basename(folder)}:\n"
        for name in names:
            yield f"  {name:{width}}  {shipped.summary(name)}"[:cut] + "\n"


def _copy(name: str, folder: Path) -> Iterator[str]:
    from deblurkit.options.copying import copy

    file = shipped.find(name)
    if not file.is_shipped:
        alike = shipped.namesake(name)
        hint = f" (did you mean '{alike}'?)" if alike else ""
        raise UserError(f"{name}: --copy takes the name of a shipped option file, not a path{hint}")
    copied = copy(file, folder)
    for path in copied.written:
        yield f"wrote {path}\n"
    for path in copied.found:
        yield f"{path} is there already, the same\n"
    own = shlex.quote(str(copied.file))
    if name.removeprefix(shipped.PREFIX).startswith("_base_/"):
        yield f"Next: name it in an option file of yours, as `_base_: {own}` from here\n"
    else:
        yield f"Next: deblurkit train -opt {own} --dry-run\n"
