"""Files and folders that are whole or not there, locks, and journals that only grow.

Each survives a process that is killed at any moment; a crash of the machine too where it is ``durable`` or synced. What
cannot be written raises the system's OSError, which :func:`saying` turns into one line for the user. Locks and flushing
are best effort: some file systems have neither, which is told once in a process.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

from deblurkit.errors import UserError

Content = bytes | str | Callable[[BinaryIO], object]
"""The content of a file: bytes, text that is encoded in UTF-8 as it stands, or a function that writes to the file."""

_LACKING = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}  # how a file system says that it lacks a call
_missed: set[str] = set()  # what this process has been told to do without


@contextlib.contextmanager
def saying(words: str) -> Iterator[None]:
    """Raises a UserError where the system refuses what the block does: ``words``, then the system's reason."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{words}: {error.strerror or error}") from error


def write_atomically(path: Path, content: Content, *, durable: bool = False, hidden: bool = False) -> None:
    """Writes one file; see :func:`write_together`."""
    write_together({path: content}, durable=durable, hidden=hidden)


def write_together(contents: Mapping[Path, Content], *, durable: bool = False, hidden: bool = False) -> None:
    """Writes files under temporary names, and renames them once all are there: each is replaced whole or not at all.

    Args:
        contents: By path. The folders must exist. Only a process that is killed leaves temporary files in them.
        durable: Flush each file to the disk before it is renamed, so that no crash of the machine leaves it empty.
        hidden: Name the temporary files ``.RANDOM.tmp``, not ``NAME.tmp``: for long names, and for several writers.
    """
    temporary: dict[Path, Path] = {}
    try:
        for file, content in contents.items():
            temporary[file] = file.with_name(f".{secrets.token_hex(4)}.tmp" if hidden else f"{file.name}.tmp")
            # A plain open heeds the user's umask; files of mkstemp are the owner's alone.
            with open(temporary[file], "xb" if hidden else "wb") as opened:
                if callable(content):
                    content(opened)
                elif isinstance(content, str):
                    opened.write(content.encode())
                else:
                    opened.write(content)
                if durable:
                    opened.flush()
                    sync_file(opened.fileno(), file.parent)
        for file, beside in temporary.items():
            os.replace(beside, file)
    except BaseException:
        for beside in temporary.values():
            with contextlib.suppress(OSError):
                beside.unlink()
        raise


def sync_folder(folder: Path) -> None:
    """Flushes a folder's entries to the disk, where the system can, so that a rename survives a power cut."""
    if os.name == "nt":  # it opens no folders
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        _miss("flushed to the disk", folder, error)


def sync_file(descriptor: int, folder: Path) -> None:
    """Flushes an open file of a folder to the disk, where the file system can."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _LACKING:  # a full disk may say so only here
            raise
        _miss("flushed to the disk", folder, error)


def _miss(what: str, path: Path, error: OSError) -> None:
    """Says what a file system cannot do, for the first path only: the next ones mostly lie on the same disk."""
    if what not in _missed:
        _missed.add(what)
        logging.getLogger("deblurkit").warning(f"{path}: cannot be {what}: {error.strerror or error}; goes on without")


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Gives the block a new folder to fill, which is renamed to ``folder`` when it ends, and removed when it fails."""
    making = unfinished_folder(folder)
    try:
        yield making
        making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def unfinished_folder(folder: Path) -> Path:
    """Makes an empty hidden folder beside ``folder``, which :func:`remove_unfinished` finds."""
    making = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.making")
    making.mkdir()
    return making


def remove_unfinished(folder: Path) -> None:
    """Removes what killed processes left beside ``folder``; only for who knows that no process is making it now."""
    for left in folder.parent.glob(f".{glob.escape(folder.name)}.*.making"):
        shutil.rmtree(left, ignore_errors=True)


def user_cache() -> Path:
    """Returns the folder for what can be had again, ``deblurkit`` in the user's cache; it need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "deblurkit"


class Lock:
    """A file that one process at a time holds: until it lets go, its ``with`` block ends, or it ends, however it ends.

    On a file system without locks it holds nothing off, which is told.

    Args:
        file: Stays, empty: others may be waiting for it.
        taken: What the UserError says where another process holds it; ``{pid}`` stands for which. Without it, waits.
    """

    def __init__(self, file: Path, taken: str = "") -> None:
        from filelock import FileLock, Timeout

        self.file = file
        self._pid_file = file.with_name(f"{file.name}.pid")
        # Without the fallback, whose file outlives a process that is killed.
        self._lock = FileLock(file, fallback_to_soft=False)
        try:
            self._lock.acquire(timeout=0 if taken else -1)
        except Timeout:  # which is an OSError too
            pid = "unknown"
            if self._pid_file.is_file():
                pid = self._pid_file.read_text("ascii", "replace").strip()
            raise UserError(taken.replace("{pid}", pid)) from None
        except OSError as error:
            with open(file, "ab"):  # where not even this is allowed, the disk is at fault and not its locks
                pass
            _miss("locked", file, error)

    def tell_pid(self) -> None:
        """Writes down beside the lock who holds it, for the words of those that find it taken."""
        self._pid_file.write_text(f"{os.getpid()}\n")

    def release(self) -> None:
        """Lets the lock go; what the disk refuses then is of no consequence, since the process's end lets go too."""
        with contextlib.suppress(OSError):
            self._pid_file.unlink()
        with contextlib.suppress(OSError):
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


class JsonLines:
    """A file of JSON values, one a line, that only grows. A line that was cut short counts as not written."""

    def __init__(self, file: Path) -> None:
        self._folder = file.parent
        # Not buffered: what a full disk has refused would be written once more when the file is closed.
        self._stream = open(file, "a+b", buffering=0)  # noqa: SIM115 (held until it is closed)

    def read(self) -> list[Any]:
        """Returns the values up to the first line that is not whole, and cuts off what lies behind them."""
        values: list[Any] = []
        length = 0
        self._stream.seek(0)
        with contextlib.suppress(ValueError):
            for line in self._stream.read().split(b"\n")[:-1]:
                values.append(json.loads(line))
                length += len(line) + 1
        self._stream.truncate(length)
        return values

    def clear(self) -> None:
        """Drops all values."""
        self._stream.truncate(0)

    def append(self, values: Iterable[Any]) -> None:
        """Adds values; when it returns, no crash of this process takes them back."""
        left = "".join(json.dumps(value) + "\n" for value in values).encode()
        while left:  # a disk that is nearly full takes a part, and refuses the rest
            left = left[self._stream.write(left) :]

    def sync(self) -> None:
        """Flushes what was added to the disk, so that no crash of the machine takes it back."""
        sync_file(self._stream.fileno(), self._folder)

    def close(self) -> None:
        """Adds no more."""
        self._stream.close()
