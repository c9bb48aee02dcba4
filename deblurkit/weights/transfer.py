"""The bytes of a file here or on a server, from any of them on; the one module that opens a socket for weights."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deblurkit import __version__
from deblurkit.errors import UserError, one_line
from deblurkit.files import saying
from deblurkit.weights.index import is_remote, local_path

if TYPE_CHECKING:
    import requests

TIMEOUTS = [10.0, 60.0]
"""Seconds until a server is reached, and until it sends something more."""

_BLOCK = 1 << 14  # what is lost of a transfer that ends in the middle of one
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_NO_SUCH_FILE = (404, 410)
_NOT_SATISFIABLE = 416


class TransferError(UserError):
    """A server or a file does not give what it should; trying again may help."""


class NotThereError(UserError):
    """There is no such file in this place."""


@dataclass(frozen=True)
class Body:
    """What comes of a file.

    Attributes:
        start: Which of its bytes is the first that comes.
        size: Of the whole file; ``None`` where the server does not say.
        etag: By which the server knows this version of the file again; empty where it does not say.
        blocks: The bytes; raises a TransferError where no more come.
    """

    start: int
    size: int | None
    etag: str
    blocks: Iterator[bytes]


@contextlib.contextmanager
def opened(place: str, start: int = 0, etag: str = "") -> Iterator[Body]:
    """Gives the block what comes of a file.

    Args:
        place: An http or https address, a ``file:`` address, or a path.
        start: From which byte on it is wanted. It comes from the beginning where a server cannot do otherwise.
        etag: Of the version of which the rest is wanted; it comes from the beginning where the server has another.

    Raises:
        NotThereError: There is no such file.
        TransferError: It cannot be had for another reason.
    """
    if is_remote(place):
        with _opened_remote(place, start, etag) as body:
            yield body
        return
    path = local_path(place)
    if not path.is_file():
        raise NotThereError(f"{path}: there is no such file")
    with saying(f"{path}: cannot be read"):
        stream = open(path, "rb")  # noqa: SIM115 (only what fails here is about reading)
    with stream:
        size = stream.seek(0, 2)
        begin = start if start <= size else 0
        stream.seek(begin)
        yield Body(begin, size, "", iter(lambda: stream.read(_BLOCK), b""))


def read_start(place: str, most: int) -> bytes:
    """Returns the first ``most`` bytes of a file, or all that it has; see :func:`opened`."""
    content = b""
    with opened(place) as body:
        for block in body.blocks:
            content += block
            if len(content) >= most:
                break
    return content[:most]


@contextlib.contextmanager
def _opened_remote(place: str, start: int, etag: str) -> Iterator[Body]:
    import requests  # here: lists and cards need no network

    # Compressed, the bytes would be others than those that digest and ranges are of.
    headers = {"Accept-Encoding": "identity", "User-Agent": f"deblurkit/{__version__}"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if etag:
            headers["If-Range"] = etag
    try:
        response = requests.get(place, headers=headers, stream=True, timeout=(TIMEOUTS[0], TIMEOUTS[1]))
    except requests.RequestException as error:
        raise TransferError(f"{place}: {_cause(error)}") from None
    with response:
        found = response.headers.get("ETag", "")
        is_part = response.status_code == requests.codes.partial_content
        part = _RANGE.fullmatch(response.headers.get("Content-Range", "")) if is_part else None
        fits = part is not None and int(part[1]) == start and (not etag or found in ("", etag))
        if start and (response.status_code == _NOT_SATISFIABLE or (is_part and not fits)):
            response.close()
            with _opened_remote(place, 0, "") as whole:
                yield whole
            return
        if response.status_code in _NO_SUCH_FILE:
            raise NotThereError(f"{place}: HTTP {response.status_code}: there is no such file")
        if not response.ok or (is_part and not start):
            raise TransferError(f"{place}: HTTP {response.status_code} {response.reason}")
        size = response.headers.get("Content-Length", "") if part is None else part[2]
        yield Body(
            start=0 if part is None else start,
            size=int(size) if size.isdecimal() else None,
            etag="" if found.startswith("W/") else found,  # a weak one promises nothing of single bytes
            blocks=_blocks(response, place),
        )


def _blocks(response: requests.Response, place: str) -> Iterator[bytes]:
    import requests

    try:
        yield from response.iter_content(_BLOCK)
    except requests.RequestException as error:
        raise TransferError(f"{place}: {_cause(error)}") from None


def _cause(error: Exception) -> str:
    """Returns in one line why a server gave nothing: what lies beneath all that was raised because of it."""
    import requests

    if isinstance(error, requests.Timeout):
        return "it does not answer"
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return one_line(cause)[:200] if isinstance(cause, Exception) else one_line(error)[:200]
