"""Decoders whose logs are not heard: what they find amiss they log, and read on; it is looked for here."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_UNHEARD: ContextVar[bool] = ContextVar("_UNHEARD", default=False)


@contextmanager
def unheard() -> Iterator[None]:
    """Drops what imagecodecs and tifffile log in this thread meanwhile; all others hear it as before."""
    for name in ("imagecodecs", "tifffile"):
        logging.getLogger(name).addFilter(_is_heard)  # once, however often it is asked for
    token = _UNHEARD.set(True)
    try:
        yield
    finally:
        _UNHEARD.reset(token)


def _is_heard(record: logging.LogRecord) -> bool:
    return not _UNHEARD.get()
