"""The networks that have names: those that come with deblurkit, and those that were fetched.

Needs no torch, and no network access.
"""

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
    """Returns the weight file that the user names: in the box or fetched by its name, any other by its path.

    A fetched file is compared with its digest. Nothing is ever fetched here.

    Args:
        given: ``starter``; or a path, which holds a separator or ends in a suffix such as ``.pth``. A file without
            either is found too where no network has its name.

    Raises:
        UserError: It is a name, and nothing in the box has it, nor anything that was fetched; or what was fetched is
            damaged.
    """
    text = os.fspath(given)
    if os.path.basename(text) != text or Path(text).suffix:
        return Path(text)
    if text in names():
        return file_of(text)
    # Here, and not above: who names a path or a network in the box needs no index, nor what reads one.
    from deblurkit.weights import fetched

    if (file := fetched.find(text)) is not None:
        return file
    if os.path.exists(text):
        return Path(text)
    raise _not_found(text)


def file_of(name: str) -> Path:
    """Returns the file of a network in the box.

    Raises:
        UserError: There is none of this name.
    """
    if name not in names():  # the one gate: nothing but a listed name is ever joined to the folder
        raise _not_found(name)
    return FOLDER / f"{name}{_SUFFIX}"


def _not_found(name: str) -> UserError:
    from deblurkit.weights import fetched, index

    offered = index.read_shipped().entries
    if name in offered:
        entry = offered[name]
        return UserError(
            f"{name}: not fetched yet; `deblurkit weights get {name}` does ({entry.megabytes}, {entry.licence})"
        )
    known = [*names(), *fetched.names()]
    hint = did_you_mean(name, [*known, *offered]) or f" (there is {', '.join(known)})"
    own = f"a file of your own is named by its path, such as ./{name}.pth"
    return UserError(f"{name}: no weights in the box have this name{hint}; nor were any fetched under it; {own}")
