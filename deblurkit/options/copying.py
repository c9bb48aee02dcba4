"""Shipped option files as files of one's own, to be edited."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from deblurkit.errors import UserError
from deblurkit.files import write_atomically
from deblurkit.options.problems import OptionsError, finished
from deblurkit.options.read import Reader
from deblurkit.options.shipped import PREFIX, OptionFile


@dataclass(frozen=True, slots=True)
class Copied:
    """An option file and its bases in a folder of the user's, in the order of reading."""

    file: Path
    written: tuple[Path, ...]
    found: tuple[Path, ...]
    """Files that were there already, the same."""


def copy(file: OptionFile, folder: Path) -> Copied:
    """Copies a shipped option file with all its bases, in the layout that they have, so that it loads from there.

    Raises:
        UserError: A file that differs is there already, and nothing is written; or one cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; the copies need a folder, which is made where it is missing")
    reader = Reader()
    reader.read(file)
    if reader.problems:
        raise OptionsError(*finished(reader.problems))
    targets = {folder / read.shown.removeprefix(PREFIX): read for read in reader.texts}
    found, written, differing = [], [], []
    try:
        # All are compared before one is written: the user's own changes are never lost, nor mixed with new bases.
        for target, read in targets.items():
            if not os.path.lexists(target):
                written.append(target)
            elif target.read_bytes() == Path(read.path).read_bytes():
                found.append(target)
            else:
                differing.append(f"{target}: is there already and differs from {read.shown}")
        if differing:
            raise UserError(*(f"{problem}; move it away, or give another folder" for problem in differing))
        for target in written:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, Path(targets[target].path).read_bytes())
    except OSError as error:
        raise UserError(f"{error.filename or folder}: cannot be written ({error.strerror})") from None
    return Copied(next(iter(targets)), tuple(written), tuple(found))
