"""Weights that were fetched: where they lie, and whether they are still what they were; no torch, no network access.

Each has a folder of its own in the user's cache, with the file under its own name and what the index said of it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from deblurkit.errors import CheckpointError, UserError
from deblurkit.files import saying, user_cache, write_atomically
from deblurkit.weights.index import Entry, parse_entry

_RECORD = ".entry.json"


def folder() -> Path:
    """Returns the folder of all that was fetched; it need not exist."""
    return user_cache() / "weights"


def names() -> list[str]:
    """Returns the names of all weights that are there, sorted."""
    found = []
    for record in folder().glob(f"*/{_RECORD}"):
        entry = entry_of(record.parent.name)
        if entry is not None and place_of(entry).is_file():
            found.append(entry.name)
    return sorted(found)


def entry_of(name: str) -> Entry | None:
    """Returns what the index said of weights of this name when they were fetched; ``None`` where they never were.

    Raises:
        UserError: What was written down is damaged.
    """
    record = folder() / name / _RECORD
    if not record.is_file():
        return None
    with saying(f"{record}: cannot be read"):
        text = record.read_text(encoding="utf-8", errors="replace")
    entry = parse_entry(text, record)
    if entry.name != name:
        raise UserError(f"{record}: damaged: it is about {entry.name}, expected {name}")
    return entry


def place_of(entry: Entry) -> Path:
    """Returns where the file of an entry lies, or will."""
    return folder() / entry.name / entry.file


def is_there(entry: Entry) -> bool:
    """Tells whether exactly this file was fetched; its digest is not computed."""
    known = entry_of(entry.name)
    return known is not None and known.sha256 == entry.sha256 and place_of(known).is_file()


def find(name: str) -> Path | None:
    """Returns the file that was fetched under a name; ``None`` where there is none. Its digest is computed each time.

    Raises:
        CheckpointError: It is no longer the file that was fetched; one line.
    """
    entry = entry_of(name)
    if entry is None or not place_of(entry).is_file():
        return None
    file = place_of(entry)
    # some tenths of a second for the largest, where reading the network takes seconds
    with saying(f"{file}: cannot be read"):
        problem = difference(file, entry)
    if problem:
        raise CheckpointError(
            f"{file}: damaged: {problem}; fetch it again as before, with `deblurkit weights get {name}`"
        )
    return file


def difference(file: Path, entry: Entry) -> str:
    """Returns in what a file differs from the one that an entry describes; an empty string where it is that file."""
    if (size := file.stat().st_size) != entry.size:
        return f"{size} bytes, expected {entry.size}"
    with open(file, "rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    return "" if found == entry.sha256 else f"its SHA-256 is {found}, expected {entry.sha256}"


def place_for(entry: Entry) -> Path:
    """Returns where the file of an entry is to be put, and makes the folder.

    Raises:
        UserError: Another file was fetched under this name, which is kept; or the folder cannot be made.
    """
    known = entry_of(entry.name)
    if known is not None and known.sha256 != entry.sha256 and place_of(known).is_file():
        other = f"another file was fetched under this name, {place_of(known)}"
        raise UserError(f"{entry.name}: {other}; remove it, or have this one elsewhere with --out DIR")
    place = place_of(entry)
    with saying(f"{place.parent}: cannot be written"):
        place.parent.mkdir(parents=True, exist_ok=True)
    return place


def remember(entry: Entry) -> None:
    """Writes down what an index says of a file that is there now: from then on it is found by its name."""
    record = folder() / entry.name / _RECORD
    with saying(f"{record}: cannot be written"):
        write_atomically(record, entry.to_text(), hidden=True)
