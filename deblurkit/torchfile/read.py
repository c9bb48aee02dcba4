"""The one reader of weight files: checked first, then read by torch."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from deblurkit.errors import UserError
from deblurkit.torchfile.archive import SIGNATURE, read_archive
from deblurkit.torchfile.pickled import RefusedError, rehearse

MAX_VALUES = 1_000_000
MAX_DEPTH = 32
"""What a file may hold in all, and how deep; what stands in two places counts twice, as whoever walks through sees."""

_SHARING = 4  # how often all that a file stores may be used: some weights stand under two names
_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001  # how files begin that torch wrote before 1.6
_COUNT_BYTES = 8


class CheckpointError(UserError):
    """A checkpoint or a weight file cannot be read, or does not hold what is asked of it."""


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
            _rehearse(file)
            file.seek(0)
            content = torch.load(file, map_location="cpu", weights_only=True)
        _, tensor_bytes = _Walk().measure(content, 0)
        if tensor_bytes > _SHARING * os.path.getsize(path):
            raise RefusedError(f"makes {tensor_bytes} bytes of tensors, more than {_SHARING} times what it has")
    except RefusedError as error:
        raise CheckpointError(f"{path}: refused, it {error}") from None
    except Exception as error:  # a damaged file makes torch raise whatever comes
        raise CheckpointError(f"{path}: not a whole checkpoint ({_first(error)})") from None
    return content


def digest(path: Path | str) -> str:
    """Returns the SHA-256 digest of a file's content, in hexadecimal digits."""
    found = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return ascii(lines[0][:200])[1:-1] if lines else type(error).__name__


def _rehearse(file: BinaryIO) -> None:
    """Goes through a file without making anything of it.

    Raises:
        RefusedError: It asks for more than it holds, or for something else than tensors and plain types.
    """
    begins_as_archive = file.read(len(SIGNATURE)) == SIGNATURE
    file.seek(0)
    if begins_as_archive:
        archive = read_archive(file)

        def stored(key: str, wanted: int) -> None:
            held = archive.sizes.get(key)
            if held != wanted:
                raise RefusedError(f"asks for {wanted} bytes of {key[:80]!a}, which has {held}")

        rehearse(io.BytesIO(archive.pickled), stored)
    else:
        _rehearse_older(file)


def _rehearse_older(file: BinaryIO) -> None:
    """Goes through a file that torch wrote before 1.6: pickles one after the other, then the bytes of each storage."""
    size = os.fstat(file.fileno()).st_size
    storages: dict[str, int] = {}

    def announced(key: str, wanted: int) -> None:
        if wanted > size:
            raise RefusedError(f"asks for {wanted} bytes of {key[:80]!a}, and has {size} in all")
        if storages.setdefault(key, wanted) != wanted:
            raise RefusedError(f"asks for {wanted} and for {storages[key]} bytes of {key[:80]!a}")

    try:
        beginning = [rehearse(file, announced) for _ in range(2)]
    except (ValueError, LookupError, TypeError):
        beginning = []
    if beginning != [_MAGIC, _VERSION]:
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

    def measure(self, value: Any, depth: int) -> tuple[int, int]:
        """Returns how many values and how many bytes of tensors are in ``value``.

        Raises:
            RefusedError: There are too many, too deep, or of an unknown kind.
        """
        if isinstance(value, Tensor):
            return 1, value.numel() * value.element_size()
        if not isinstance(value, (dict, list, tuple, set)):
            _check_plain(value)
            return 1, 0
        if id(value) in self.known:
            return self.known[id(value)]
        if depth >= MAX_DEPTH or id(value) in self.above:
            raise RefusedError(f"is nested deeper than {MAX_DEPTH} levels")
        self.above.add(id(value))
        count, tensor_bytes = 1, 0
        for item in (part for entry in value.items() for part in entry) if isinstance(value, dict) else value:
            items, more = self.measure(item, depth + 1)
            count, tensor_bytes = count + items, tensor_bytes + more
        if count > MAX_VALUES:
            raise RefusedError(f"holds more than {MAX_VALUES} values")
        self.above.discard(id(value))
        self.known[id(value)] = count, tensor_bytes
        return count, tensor_bytes


def _check_plain(value: Any) -> None:
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise RefusedError(f"holds a text that is no Unicode: {value[:80]!a}")
    elif value is not None and not isinstance(value, (bool, int, float, bytes, torch.device, torch.dtype)):
        raise RefusedError(f"holds more than plain types and tensors (a {type(value).__name__})")
