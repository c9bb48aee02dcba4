"""The zip archive that ``torch.save`` writes: every byte that counts is checked before torch reads it.

torch itself compares no checksum and inflates without limit; but it never writes a deflated entry.
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

SIGNATURE = b"PK\x03\x04"
"""How every such archive begins; torch takes files that begin otherwise for older ones."""

_END_BYTES, _LOCATOR_BYTES, _END64_BYTES = 22, 20, 56
_BLOCK = 1 << 20


class DamagedError(ValueError):
    """The file is not as it was written; says in which way."""


@dataclass(frozen=True)
class Archive:
    """An archive whose checksums are right."""

    pickled: bytes  # describes the content, with a key for each storage
    sizes: Mapping[str, int]  # bytes of each storage, by its key


def read_archive(file: BinaryIO) -> Archive:
    """Checks an archive whole: one directory, stored entries that fit into the file, each with the right CRC-32.

    Raises:
        DamagedError: Any of that does not hold.
        zipfile.BadZipFile: It is no archive, or a checksum is wrong.
    """
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        _check_directory(file, size, archive)
        folder = entries[0].filename.partition("/")[0] + "/"
        pickled = b""
        for entry in entries:
            with archive.open(entry) as stream:  # read to its end, where zipfile compares the checksum
                if entry.filename == f"{folder}data.pkl":
                    pickled = stream.read()
                while stream.read(_BLOCK):
                    pass
    if not pickled:
        raise DamagedError("it holds no data.pkl")
    below = f"{folder}data/"
    sizes = {entry.filename.removeprefix(below): entry.file_size for entry in entries}
    return Archive(pickled, sizes)


def _check_directory(file: BinaryIO, size: int, archive: zipfile.ZipFile) -> None:
    """Refuses an archive that another reader, such as torch's, could read in another way than Python's."""
    entries = archive.infolist()
    file.seek(max(0, size - _END_BYTES - _LOCATOR_BYTES))
    locator, end = file.read(_LOCATOR_BYTES), file.read(_END_BYTES)
    # Python finds the archive from the end and allows anything before and behind it; torch's reader need not agree
    begins = min((entry.header_offset for entry in entries), default=None) == 0
    if not begins or archive.comment or not end.startswith(b"PK\x05\x06"):
        raise DamagedError("something stands before or behind its archive")
    if locator.startswith(b"PK\x06\x07"):
        place = size - _END_BYTES - _LOCATOR_BYTES - _END64_BYTES
        if struct.unpack("<IQI", locator[4:]) != (0, place, 1):
            raise DamagedError("the end of its archive is damaged")
    if len({entry.filename for entry in entries}) != len(entries):
        raise DamagedError("an entry of its archive is there twice")
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise DamagedError(f"its entry {entry.filename!a} is compressed, which torch never does")
    if sum(entry.file_size for entry in entries) > size:
        raise DamagedError("its entries are larger than the file")
