"""The one reader of weight files: checked first, then read by torch."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from deblurkit.errors import CheckpointError
from deblurkit.torchfile.archive import SIGNATURE, read_archive
from deblurkit.torchfile.pickled import RefusedError, rehearse

MAX_VALUES = 1_000_000
MAX_DEPTH = 32
"""The most values in a file, and how deep they nest; a value in two places counts twice, as readers meet it twice."""

_SHARING = 4  # how often all that a file stores may be used: some weights stand under two names
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001  # how files begin that torch wrote before 1.6
_COUNT_BYTES = 8


def read(path: Path | str) -> Any:
    """Reads what a file of ``torch.save`` holds onto the CPU: plain types and dense tensors, whoever wrote it.

    Nothing in the file is executed. Every checksum is compared, and no more memory is taken than the file has bytes.
    Files that torch wrote before 1.6 have no checksums.

    Raises:
        CheckpointError: There is no such file, or it is damaged or holds anything else; one line.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise CheckpointError(f"{path}: there is no such checkpoint")
    try:
        with open(path, "rb") as file:
            # the same open file for both, so that nothing can be put in its place between check and use
            _rehearse(file)
            file.seek(0)
            content = torch.load(file, map_location="cpu", weights_only=True)
        made = tensor_bytes(content)
        if made > _SHARING * os.path.getsize(path):
            raise RefusedError(f"makes {made} bytes of tensors, more than {_SHARING} times what it has")
    except RefusedError as error:
        raise CheckpointError(f"{path}: refused, it {error}") from None
    except Exception as error:  # a damaged file makes torch raise whatever comes
        lines = str(error).strip().splitlines()
        cause = ascii(lines[0][:200])[1:-1] if lines else type(error).__name__
        raise CheckpointError(f"{path}: not a whole checkpoint ({cause})") from None
    return content


def digest(path: Path | str) -> str:
    """Returns the SHA-256 digest of a file's content, in hexadecimal digits."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def tensor_bytes(content: object) -> int:
    """Returns how many bytes of tensors a file's content holds; all of it is plain values and tensors.

    Raises:
        RefusedError: It is not, or is nested too deep, or has too many values.
    """
    return _Walk().measure(content, 0)[1]


def _rehearse(file: BinaryIO) -> None:
    """Goes through a file without making anything of it, and refuses one that asks for more than it holds."""
    begins_as_archive = file.read(len(SIGNATURE)) == SIGNATURE
    file.seek(0)
    if not begins_as_archive:
        _rehearse_older(file)
        return
    archive = read_archive(file)

    def stored(key: str, wanted: int) -> None:
        held = archive.sizes.get(key)
        if held != wanted:
            raise RefusedError(f"asks for {wanted} bytes of {key[:80]!a}, which has {held}")

    rehearse(io.BytesIO(archive.pickled), stored)


def _rehearse_older(file: BinaryIO) -> None:
    """Goes through a file that torch wrote before 1.6: pickles one after the other, then the bytes of each storage."""
    size = os.fstat(file.fileno()).st_size
    storages: dict[str, int] = {}

    # the bytes stand behind the pickles, so that what they ask for can only be added up here and compared at the end
    def announced(key: str, wanted: int) -> None:
        if wanted > size:
            raise RefusedError(f"asks for {wanted} bytes of {key[:80]!a}, and has {size} in all")
        if storages.setdefault(key, wanted) != wanted:
            raise RefusedError(f"asks for {wanted} and for {storages[key]} bytes of {key[:80]!a}")

    try:
        beginning = (rehearse(file, announced), rehearse(file, announced))
    except (ValueError, LookupError, TypeError):
        beginning = (None, None)
    if beginning != (_MAGIC, _VERSION):
        raise RefusedError("is no file of torch.save")
    rehearse(file, announced)  # the writer's machine
    rehearse(file, announced)
    keys = rehearse(file, announced)
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(storages):
        raise RefusedError("lists other storages than it uses")
    if file.tell() + sum(_COUNT_BYTES + wanted for wanted in storages.values()) > size:
        raise RefusedError("is shorter than it says")


class _Walk:
    """Sees that everything in a file is what others may rely on: plain, no loops, texts that can be printed."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[int, int]] = {}
        self.above: set[int] = set()

    def measure(self, value: object, depth: int) -> tuple[int, int]:
        """Returns how many values and how many bytes of tensors are in ``value``; refuses what is not plain."""
        if isinstance(value, Tensor):
            return 1, value.numel() * value.element_size()
        if isinstance(value, str):
            # half of a surrogate pair is a str to Python, and an error to every file and terminal that it is written to
            if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
                raise RefusedError(f"holds a text that is no Unicode: {value[:80]!a}")
            return 1, 0
        if value is None or isinstance(value, (bool, int, float, bytes, torch.device, torch.dtype)):
            return 1, 0
        if not isinstance(value, (dict, list, tuple, set)):
            raise RefusedError(f"holds more than plain types and tensors (a {type(value).__name__})")
        # What stands in two places is walked once and counted twice, as whoever reads it will meet it twice: nested
        # lists that each hold the next one ten times would take no bytes in the file and all the time there is.
        if id(value) in self.known:
            return self.known[id(value)]
        if depth >= MAX_DEPTH or id(value) in self.above:
            raise RefusedError(f"is nested deeper than {MAX_DEPTH} levels")
        self.above.add(id(value))
        count, tensor_bytes = 1, 0
        for item in itertools.chain.from_iterable(value.items()) if isinstance(value, dict) else value:
            items, more = self.measure(item, depth + 1)
            count, tensor_bytes = count + items, tensor_bytes + more
        if count > MAX_VALUES:
            raise RefusedError(f"holds more than {MAX_VALUES} values")
        self.above.discard(id(value))
        self.known[id(value)] = count, tensor_bytes
        return count, tensor_bytes
