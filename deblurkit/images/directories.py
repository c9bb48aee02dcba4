"""Directories of TIFF files, which EXIF blocks are too: read and written entry by entry, whatever the entries mean."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field

from deblurkit.images.image import Buffer

EXIF, GPS, INTEROPERABILITY = 0x8769, 0x8825, 0xA005
"""Tags that point to a directory further down."""

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7
_LAST_CLASSIC, _UTF8 = 12, 129
_BYTES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
    _UTF8: 1,
}
_INNER = {0: (EXIF, GPS), EXIF: (INTEROPERABILITY,)}  # by the tag that points to a directory; 0 is the first one


class DamageError(ValueError):
    """Directories that point beyond the end, or do not begin as such."""


@dataclass(frozen=True)
class Layout:
    """How the numbers of a TIFF file are written.

    Attributes:
        order: struct's sign for the byte order.
        big: Whether it is a BigTIFF file, whose counts and places are longer.
    """

    order: str
    big: bool = False

    @property
    def place(self) -> struct.Struct:
        """A place in the file."""
        return struct.Struct(self.order + ("Q" if self.big else "I"))

    @property
    def length(self) -> struct.Struct:
        """The number of a directory's entries."""
        return struct.Struct(self.order + ("Q" if self.big else "H"))

    @property
    def head(self) -> struct.Struct:
        """An entry's tag, type and number of values, in front of the values or their place."""
        return struct.Struct(self.order + ("HHQ" if self.big else "HHI"))

    @property
    def header(self) -> int:
        """Where the place of the first directory stands."""
        return 8 if self.big else 4


@dataclass(frozen=True)
class Entry:
    """An entry of a directory, where it stands in the file.

    Attributes:
        tag: Its number.
        kind: The type of its values.
        count: How many there are.
        at: Where the entry begins.
        values: Where the values are, or their place.
    """

    tag: int
    kind: int
    count: int
    at: int
    values: int


@dataclass
class Directory:
    """A directory by itself.

    Attributes:
        entries: Types, numbers and bytes of the entries' values, by tag.
        inner: The directories below it, by the tag that points to each.
        damaged: How many entries of all of them were left out.
    """

    entries: dict[int, tuple[int, int, bytes]] = field(default_factory=dict)
    inner: dict[int, Directory] = field(default_factory=dict)
    damaged: int = 0


def layout(data: Buffer) -> Layout:
    """Returns how a file or block is written.

    Raises:
        DamageError: It begins as no TIFF file does.
    """
    known = {b"II*\0": Layout("<"), b"MM\0*": Layout(">"), b"II+\0": Layout("<", True), b"MM\0+": Layout(">", True)}
    found = known.get(data[:4])
    if found is None:
        raise DamageError("it does not begin as a TIFF file")
    return found


def first(data: Buffer, how: Layout) -> int:
    """Returns where the first directory begins."""
    with damage():
        return int(how.place.unpack_from(data, how.header)[0])


def entries(data: Buffer, how: Layout, directory: int) -> Iterator[Entry]:
    """Yields a directory's entries.

    Raises:
        DamageError: It reaches beyond the end.
    """
    start, stop = directory + how.length.size, end(data, how, directory)
    if stop > len(data):
        raise DamageError("a directory reaches beyond its end")
    for at in range(start, stop, how.head.size + how.place.size):
        tag, kind, count = how.head.unpack_from(data, at)
        yield Entry(tag, kind, count, at, at + how.head.size)


def end(data: Buffer | bytearray, how: Layout, directory: int) -> int:
    """Returns where a directory's entries end; the place of the next directory follows."""
    with damage():
        (count,) = how.length.unpack_from(data, directory)
    return directory + how.length.size + int(count) * (how.head.size + how.place.size)


def number(data: Buffer, how: Layout, entry: Entry) -> int:
    """Returns an entry's one number."""
    with damage():
        kind = {BYTE: "B", SHORT: "H"}.get(entry.kind, "I")
        return int(struct.unpack_from(how.order + kind, data, entry.values)[0])


def content(data: Buffer, how: Layout, entry: Entry) -> bytes:
    """Returns the bytes of an entry's values.

    Raises:
        DamageError: They are beyond the end, or of an unknown type.
    """
    size = entry.count * _BYTES.get(entry.kind, 0)
    place = entry.values
    if size > how.place.size:
        place = int(how.place.unpack_from(data, entry.values)[0])
    if not size or place + size > len(data):
        raise DamageError("an entry's values are beyond its end")
    return data[place : place + size]


def read(data: Buffer, how: Layout, at: int, tag: int = 0, wanted: Container[int] = range(1 << 16)) -> Directory:
    """Returns a directory, which ``tag`` points to, and those below it; entries that are damaged are left out.

    Args:
        data: A file or block.
        how: Its layout.
        at: Where the directory begins.
        tag: 0 for the first one.
        wanted: The entries to be read, but for those that point to directories below it.

    Raises:
        DamageError: The directory itself is damaged.
    """
    found = Directory()
    room = len(data)
    for entry in entries(data, how, at):
        try:
            if entry.tag in _INNER.get(tag, ()):  # which no directory has that it points to: there is no circle
                found.inner[entry.tag] = read(data, how, number(data, how, entry), entry.tag)
                found.damaged += found.inner[entry.tag].damaged
            elif entry.tag in wanted and (entry.kind <= _LAST_CLASSIC or entry.kind == _UTF8):
                values = content(data, how, entry)
                found.entries[entry.tag] = (entry.kind, entry.count, values)
                room -= len(values)
        except DamageError:
            found.damaged += 1
        if room < 0:  # so much can only be there if it is read more than once
            raise DamageError("a directory names more than there is")
    return found


def appended(data: bytes, how: Layout, directory: Directory, without: Container[int] = ()) -> bytes:
    """Returns a file whose first directory has the entries of ``directory`` too; nothing of it moves.

    The first directory is written anew behind the end, but for the entries that are to be left out, and the place of
    the old one is forgotten.
    """
    old = first(data, how)
    each = how.head.size + how.place.size
    kept = {
        entry.tag: data[entry.at : entry.at + each] for entry in entries(data, how, old) if entry.tag not in without
    }
    behind = end(data, how, old)
    following = data[behind : behind + how.place.size].ljust(how.place.size, b"\0")
    grown = bytearray(data)
    kept |= _laid_out(grown, how, directory)
    at = _put(grown, _joined(how, kept, following))
    how.place.pack_into(grown, how.header, at)
    return bytes(grown)


def block(how: Layout, directory: Directory) -> bytes:
    """Returns an EXIF block of a directory's own; its values are bytes in the order that ``how`` names."""
    how = Layout(how.order)
    empty = (b"II*\0" if how.order == "<" else b"MM\0*") + how.place.pack(8)
    return appended(empty + how.length.pack(0) + how.place.pack(0), how, directory)


def _laid_out(grown: bytearray, how: Layout, directory: Directory) -> dict[int, bytes]:
    """Puts a directory's values and those below it at the end; returns its entries as they are to be written."""
    written = {}
    for tag, below in directory.inner.items():
        at = _put(grown, _joined(how, _laid_out(grown, how, below), bytes(how.place.size)))
        written[tag] = struct.pack(how.order + "HH", tag, LONG) + (
            struct.pack(how.order + "QI4x", 1, at) if how.big else struct.pack(how.order + "II", 1, at)
        )
    for tag, (kind, count, values) in directory.entries.items():
        inside = values if len(values) <= how.place.size else how.place.pack(_put(grown, values))
        written[tag] = how.head.pack(tag, kind, count) + inside.ljust(how.place.size, b"\0")
    return written


def _joined(how: Layout, written: Mapping[int, bytes], following: bytes) -> bytes:
    return how.length.pack(len(written)) + b"".join(written[tag] for tag in sorted(written)) + following


def _put(grown: bytearray, values: bytes) -> int:
    """Puts bytes at the end, at an even place, which is returned."""
    grown += bytes(len(grown) % 2)
    at = len(grown)
    grown += values
    return at


@contextlib.contextmanager
def damage() -> Iterator[None]:
    """Raises a DamageError where the block reads beyond the end."""
    try:
        yield
    except struct.error as error:
        raise DamageError(str(error)) from None
