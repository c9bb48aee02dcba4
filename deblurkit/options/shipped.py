"""The option files that come with deblurkit, found by name: ``madn``, ``ablations/bag/plain``."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from pathlib import Path

from deblurkit.errors import did_you_mean
from deblurkit.options.problems import OptionsError

PREFIX = "deblurkit:"
_SUFFIX = ".yml"


@dataclass(frozen=True, slots=True)
class OptionFile:
    """Where an option file lies, and what messages call it: ``deblurkit:NAME.yml``, or the path as it was given."""

    path: str
    shown: str

    @property
    def is_shipped(self) -> bool:
        """Tells whether it was found by its name."""
        return self.shown.startswith(PREFIX)


def folder() -> Path:
    """Returns the folder of the shipped files: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "option_files"
    return installed if installed.is_dir() else package.with_name("options")


def names() -> list[str]:
    """Returns the names of all shipped files, sorted: ``madn``, ``ablations/bag/plain``, ``_base_/gopro``."""
    root = folder()
    return sorted(file.relative_to(root).with_suffix("").as_posix() for file in root.rglob(f"*{_SUFFIX}"))


def summary(name: str) -> str:
    """Returns what a shipped file says of itself in its first line, which is a comment."""
    with open(folder() / f"{name}{_SUFFIX}", encoding="utf-8") as lines:
        return next(lines, "").removeprefix("#").strip()


def find(text: str) -> OptionFile:
    """Returns the option file that the user names: a shipped one by its name, any other by its path.

    Args:
        text: ``madn`` or ``deblurkit:madn.yml``; or a path, which ends in ``.yml`` or ``.yaml``, begins with a dot or
            is absolute. A file without such an ending is found too where no shipped one has its name.

    Raises:
        OptionsError: It is a name, and no shipped file has it.
    """
    is_path = os.path.isabs(text) or text.startswith(".") or text.lower().endswith((_SUFFIX, ".yaml"))
    if not text.startswith(PREFIX) and (is_path or (text not in names() and os.path.exists(text))):
        return OptionFile(text, text)
    return _shipped(text)


def base_of(file: OptionFile, entry: str) -> OptionFile:
    """Returns the base that ``file`` names by ``entry``; whether it exists is not looked at where it is a path.

    The bases of a shipped file are shipped files: no entry leads out of their folder.

    Raises:
        OptionsError: It names a shipped file, and there is none.
    """
    if entry.startswith(PREFIX):
        return _shipped(entry)
    if file.is_shipped:
        here = posixpath.dirname(file.shown.removeprefix(PREFIX))
        return _shipped(PREFIX + posixpath.normpath(posixpath.join(here, entry)))
    path = os.path.normpath(os.path.join(os.path.dirname(file.path), entry))
    return OptionFile(path, path)


def namesake(path: str) -> str | None:
    """Returns the name of the shipped file that ends as ``path`` does, whatever the folders, if there is one."""
    stem = Path(path).stem
    return next((name for name in names() if posixpath.basename(name) == stem), None)


def _shipped(text: str) -> OptionFile:
    name = text.removeprefix(PREFIX).removesuffix(_SUFFIX)
    known = names()
    if name not in known:  # the one gate: nothing but a listed name is ever joined to the folder
        alike = namesake(name)
        hint = f" (did you mean '{alike}'?)" if alike else did_you_mean(name, known)
        own = f"a file of your own is named by its path, ./{Path(name).name}{_SUFFIX}"
        raise OptionsError(f"{text}: no shipped option file has this name{hint}; `deblurkit options` lists them; {own}")
    return OptionFile(str(folder() / f"{name}{_SUFFIX}"), f"{PREFIX}{name}{_SUFFIX}")
