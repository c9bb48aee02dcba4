"""The networks that come with deblurkit, found by name; needs no torch, and no network access."""

from __future__ import annotations

import os
from pathlib import Path

from deblurkit.errors import UserError, did_you_mean

DEFAULT = "starter"
"""The network that restores where nobody names another."""

FOLDER = Path(__file__).parent
_SUFFIX = ".safetensors"


def names() -> list[str]:
    """Returns the names of all networks in the box, sorted."""
    return sorted(file.stem for file in FOLDER.glob(f"*{_SUFFIX}"))


def find(given: str | Path) -> Path:
    """Returns the weight file that the user names: one in the box by its name, any other by its path.

    Args:
        given: ``starter``; or a path, which holds a separator or ends in a suffix such as ``.pth``. A file without
            either is found too where nothing in the box has its name.

    Raises:
        UserError: It is a name, and nothing in the box has it.
    """
    text = os.fspath(given)
    is_path = os.path.basename(text) != text or bool(Path(text).suffix)
    if is_path or (text not in names() and os.path.exists(text)):
        return Path(text)
    return file_of(text)


def file_of(name: str) -> Path:
    """Returns the file of a network in the box.

    Raises:
        UserError: There is none of this name.
    """
    known = names()
    if name not in known:  # the one gate: nothing but a listed name is ever joined to the folder
        hint = did_you_mean(name, known) or f" (there is {', '.join(known)})"
        own = f"a file of your own is named by its path, such as ./{name}.pth"
        raise UserError(f"{name}: no weights in the box have this name{hint}; {own}")
    return FOLDER / f"{name}{_SUFFIX}"
