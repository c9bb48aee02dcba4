"""Names that become parts of paths. Every one passes through here, whoever gives it: a user, an option file or a file
that somebody else made.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from deblurkit.errors import UserError

STRIP = "iter_{:08d}.jpg"
"""A sample strip's file by the iteration of its validation."""

_MAX_CHARACTERS = 100
_MAX_BYTES = 200  # file systems take 255; endings and numbers are added to a name
_FORBIDDEN_IN_FOLDERS = set('/\\:*?"<>|')
_RESERVED_ON_WINDOWS = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_ENTRY = re.compile(r"\w[\w-]*")
_DRIVE = re.compile(r"[A-Za-z]:")
_CHECKPOINT = re.compile(r"[A-Za-z0-9_-]{1,96}\.pth")
_POINTER_BYTES = 200


def folder_name(name: str) -> str:
    """Returns ``name`` where it can be that of a folder on every system; a ``ValueError`` says why it cannot."""
    refused = sorted({char for char in name if char in _FORBIDDEN_IN_FOLDERS or not char.isprintable()})
    if refused:
        raise ValueError(f"names a folder, so it may not hold {' '.join(map(ascii, refused[:6]))}")
    if not name.strip() or name != name.strip() or name.endswith("."):
        raise ValueError("names a folder: 1 to 100 characters, no space at either end, no dot at the end")
    if len(name) > _MAX_CHARACTERS or len(name.encode()) > _MAX_BYTES:
        raise ValueError(f"names a folder: up to {_MAX_CHARACTERS} characters and {_MAX_BYTES} bytes")
    if _RESERVED_ON_WINDOWS.fullmatch(name):
        raise ValueError("names a folder, and Windows keeps this name for itself")
    return name


def entry_name(name: str) -> str:
    """Returns ``name`` where an entry of an option file can have it; a ``ValueError`` says why it cannot.

    The entry is a data set, a loss or a critic, which names files and folders too.
    """
    if not _ENTRY.fullmatch(name):
        raise ValueError("a name here is made of letters, digits, '_' and '-'")
    return folder_name(name)


def folder_name_from(text: str, otherwise: str) -> str:
    """Returns a folder's name that resembles ``text``, such as a file's name; ``otherwise`` where nothing is left."""
    try:
        return folder_name(re.sub(r"\W+", "_", text).strip("_")[:40])
    except ValueError:
        return otherwise


def image_path(key: str) -> PurePosixPath:
    """Returns an image's key as a path below a folder; its parts are folders and, last, the image without ending.

    A ``ValueError`` says that it leads out of the folder, or cannot be written on every system.
    """
    parts = key.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError("its name does not stay inside a folder")
    for part in parts:
        if "\\" in part or _DRIVE.match(part) or not part.isprintable():
            raise ValueError("its name does not stay inside a folder on every system, or cannot be shown")
        if len(part.encode()) > _MAX_BYTES or _RESERVED_ON_WINDOWS.fullmatch(part):
            raise ValueError(f"a part of its name is longer than {_MAX_BYTES} bytes, or Windows keeps it for itself")
    return PurePosixPath(*parts)


def checkpoint_name(text: str) -> str:
    """Returns the file name of a checkpoint beside the file that names it: ``iter_00000100.pth``, ``best_psnr.pth``.

    It is a plain name of letters, digits, ``_`` and ``-`` that ends in ``.pth``; anything else is a ``ValueError``.
    """
    if not _CHECKPOINT.fullmatch(text):
        raise ValueError(f"should name a checkpoint beside it, such as iter_00000100.pth, not {text[:100]!a}")
    return text


def read_pointer(file: Path) -> str:
    """Returns the checkpoint's name that a file such as ``checkpoints/last`` holds; anything else is a UserError."""
    try:
        with open(file, "rb") as stream:
            return checkpoint_name(stream.read(_POINTER_BYTES).decode("utf-8").strip())
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{file}: should name a checkpoint beside it, such as iter_00000100.pth; not text") from None
    except ValueError as error:
        raise UserError(f"{file}: {error}") from None


def strip_files(folder: Path) -> dict[int, Path]:
    """Returns a folder's sample strips by iteration, in their order; files of other names are none."""
    found = {}
    for file in folder.glob("iter_*.jpg"):
        match = re.fullmatch(r"iter_([0-9]+)\.jpg", file.name)
        if match:
            found[int(match[1])] = file
    return dict(sorted(found.items()))
