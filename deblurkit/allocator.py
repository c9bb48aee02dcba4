"""Memory that is freed and taken again: kept in the process while networks run on the CPU."""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Iterator

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # parameters of glibc's mallopt, by their numbers in malloc.h
_KEPT = {_MMAP_THRESHOLD: 2**31 - 1, _TRIM_THRESHOLD: 2**31 - 1}  # the most that it takes
_USUAL = {_MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 64 << 20}  # where glibc's own, which move, end with large blocks

_lock = threading.Lock()
_users = 0


@contextlib.contextmanager
def keeping_freed_memory() -> Iterator[None]:
    """Has the process keep what it frees while active, instead of handing it to the system; results stay the same.

    By itself glibc maps each large tensor anew, and the system clears its pages one by one at their first use: a
    quarter to a half of the time that networks take on the CPU. The process then holds as much as it needed at the
    most; when the last one leaves, it is given back. Only tensors of the main thread are sure to gain. With another
    allocator than glibc's (macOS, Windows, musl, one that is preloaded) nothing changes.
    """
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            _set(_KEPT)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _hand_back()


@contextlib.contextmanager
def handing_freed_memory_back() -> Iterator[None]:
    """Lets the process do as usual within the block, though an outer one keeps what is freed: to compare the two."""
    with _lock:
        if _users:
            _hand_back()
    try:
        yield
    finally:
        with _lock:
            if _users:
                _set(_KEPT)


def _hand_back() -> None:
    if _set(_USUAL):
        ctypes.CDLL(None).malloc_trim(0)


def _set(thresholds: dict[int, int]) -> bool:
    """Sets the allocator's thresholds in bytes; tells whether it has any."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # no C library of this kind
        return False
    done = [mallopt(name, size) for name, size in thresholds.items()]
    return all(done)
