"""Runs a script as if the system refused some calls: ``refusing.py flock=ENOLCK,fsync_folder=EINVAL SCRIPT ...``."""

from __future__ import annotations

import errno
import fcntl
import os
import runpy
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _always(*_: Any) -> bool:
    return True


def _folder(descriptor: int) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


CALLS: dict[str, tuple[tuple[tuple[Any, str], ...], Callable[..., bool]]] = {
    "flock": (((fcntl, "flock"),), _always),
    "fsync": (((os, "fsync"),), _always),
    "fsync_folder": (((os, "fsync"),), _folder),
    "chmod": (((os, "chmod"), (os, "fchmod"), (os, "utime")), _always),  # what only an owner may do
}
"""By name: functions, and whether a call of theirs is refused."""


def refuse(what: str, reason: str) -> None:
    """Make the functions raise the error that ``reason`` names, from now on."""
    functions, fits = CALLS[what]
    number = getattr(errno, reason)
    for module, name in functions:
        real = getattr(module, name)

        def refused(*args: Any, real: Callable[..., Any] = real, **more: Any) -> Any:
            if fits(*args):
                raise OSError(number, os.strerror(number))
            return real(*args, **more)

        setattr(module, name, refused)


if __name__ == "__main__":
    _, calls, *sys.argv = sys.argv
    for call in calls.split(","):
        refuse(*call.split("="))
    sys.path.insert(0, str(Path(sys.argv[0]).parent))  # as Python does for a script
    runpy.run_path(sys.argv[0], run_name="__main__")
