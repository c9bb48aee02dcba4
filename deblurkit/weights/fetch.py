"""Fetches a weight file: taken up where it was left, whole and verified before it has its name, one process at a time.

What has come lies beside the file's place as ``FILE.part``, and in ``FILE.part.json`` from where it came.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from deblurkit.errors import UserError
from deblurkit.files import Lock, saying, sync_folder
from deblurkit.weights.fetched import difference
from deblurkit.weights.index import Entry, is_remote
from deblurkit.weights.transfer import Body, NotThereError, TransferError, opened

MIRROR = "DEBLURKIT_WEIGHTS"
"""The environment's variable that names a folder or an address where copies of the files lie, by their names."""


@dataclass(frozen=True)
class Told:
    """Who is told what happens.

    Attributes:
        say: Takes a line.
        show: Takes a name, the kilobytes that are there, and those of the whole file.
    """

    say: Callable[[str], None]
    show: Callable[[str, int, int], None]


def fetch(entry: Entry, target: Path, offline: bool, told: Told) -> bool:
    """Puts the file of an entry where it is wanted, unless it is there.

    Another process that does the same is waited for. A file there that is another one is replaced.

    Args:
        entry: Says what the file must be.
        target: The file to write; its folder must exist.
        offline: Whether no socket may be opened: then only files of this machine are taken.
        told: Who hears of it.

    Returns:
        Whether it had to be fetched.

    Raises:
        UserError: It cannot be had, is another file, or cannot be written; one line. Nothing lies at ``target`` then
            that did not before. What came of the file is kept where the rest may come another time.
    """
    with _alone(target, told):
        with saying(f"{target}: cannot be read"):
            if target.is_file() and not difference(target, entry):
                return False
        lacking = [f"{entry.name}: not fetched"]
        for place in places(entry):
            if offline and is_remote(place):
                lacking.append(f"{place}: not asked, because of --offline")
                continue
            try:
                part = _complete(place, entry, target, told)
            except NotThereError as error:
                lacking.append(str(error))
                continue
            with saying(f"{target}: cannot be written"):
                os.replace(part, target)
                sync_folder(target.parent)
                _source_file(part).unlink(missing_ok=True)
            return True
    raise UserError("; ".join(lacking))


def places(entry: Entry) -> list[str]:
    """Returns where to look for a file: on the mirror, if there is one, and where the index says."""
    mirror = os.environ.get(MIRROR)
    if not mirror:
        return [entry.url]
    if is_remote(mirror):
        return [f"{mirror.rstrip('/')}/{quote(entry.file)}", entry.url]
    return [f"{mirror.rstrip('/')}/{entry.file}", entry.url]


@contextlib.contextmanager
def _alone(target: Path, told: Told) -> Iterator[None]:
    """Lets one process at a time fetch a file."""
    file = target.with_name(f".{target.name}.lock")
    with saying(f"{target.parent}: cannot be written"):
        try:
            lock = Lock(file, "taken")
        except UserError:
            told.say(f"{target}: another process is fetching it, which is waited for")
            lock = Lock(file)
    with lock:
        yield
    # Only once all is there: whoever still waits for the old lock then finds nothing to do.
    with contextlib.suppress(OSError):
        file.unlink()


def _complete(place: str, entry: Entry, target: Path, told: Told) -> Path:
    """Makes the ``.part`` file whole, and returns it once its digest is right."""
    part = target.with_name(f"{target.name}.part")
    while True:
        kept = _continue(place, entry, part, told)
        with saying(f"{part}: cannot be read"):
            problem = difference(part, entry)
            if not problem:
                return part
            part.unlink()
            _source_file(part).unlink(missing_ok=True)
        if not kept:
            raise UserError(f"{place}: not the file that the index means, nothing of it is kept: {problem}")
        told.say(f"{part}: what was there before is not of this file; it is fetched from the beginning")


def _continue(place: str, entry: Entry, part: Path, told: Told) -> int:
    """Adds to the ``.part`` file what it lacks, and returns how many of its bytes were there before."""
    have = part.stat().st_size if part.is_file() else 0
    if have == entry.size:
        return have
    source = _source_file(part)
    with opened(place, have if have < entry.size else 0, _etag_of(place, source)) as body:
        if body.size not in (None, entry.size):
            raise UserError(f"{place}: has {body.size} bytes, expected {entry.size}: not the file that the index means")
        if body.start:
            told.say(f"{part}: goes on after {body.start} of {entry.size} bytes")
        with saying(f"{part}: cannot be written"):
            source.write_text(json.dumps([place, body.etag]), encoding="utf-8")
            # Not buffered: what has come is there even where this process is killed.
            stream = open(part, "r+b" if body.start else "wb", buffering=0)  # noqa: SIM115
        with stream:
            stream.seek(body.start)
            done = _append(body, stream, entry, told)
            os.fsync(stream.fileno())
    if done > entry.size:
        part.unlink()
        stated = f"the {entry.size} bytes that the index states"
        raise UserError(f"{place}: sends more than {stated}; nothing of it is kept")
    if done < entry.size:
        raise TransferError(f"{place}: ends too early; {_kept(entry, done)}")
    return body.start


def _append(body: Body, stream: BinaryIO, entry: Entry, told: Told) -> int:
    """Writes what comes behind what is there, no more than the whole file, and returns how many bytes came in all."""
    done = body.start
    try:
        for block in body.blocks:
            done += len(block)
            if done > entry.size:
                break
            left = memoryview(block)
            with saying(f"{stream.name}: cannot be written"):
                while left:  # a disk that is nearly full takes a part, and refuses the rest
                    left = left[stream.write(left) :]
            told.show(entry.name, done >> 10, entry.size >> 10)
    except TransferError as error:
        raise TransferError(f"{error}; {_kept(entry, done)}") from None
    return done


def _kept(entry: Entry, done: int) -> str:
    return f"{done} of {entry.size} bytes are kept, and the same command goes on from there"


def _source_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _etag_of(place: str, source: Path) -> str:
    """Returns by what a server knows the version of which a part lies here; empty where it came from elsewhere."""
    with contextlib.suppress(OSError, ValueError, TypeError):  # without it, the digest tells in the end
        known, etag = json.loads(source.read_text(encoding="utf-8"))
        if known == place and isinstance(etag, str):
            return etag
    return ""
