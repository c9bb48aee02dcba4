"""EXIF blocks, changed in place: orientation, size and program.

An EXIF block is a small TIFF file of directories, whose entries point to places in it. Makers' own notes hold such
places too, in ways that only they know, so a block that is written anew would break them. Here nothing moves: numbers
are replaced where they stand, and what grows is appended.
"""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

ORIENTATION = 0x0112
_SOFTWARE = 0x0131
_EXIF_DIRECTORY = 0x8769
_SIDES = (0xA002, 0xA003)  # PixelXDimension, PixelYDimension
_SHORT, _LONG, _ASCII = 3, 4, 2
_ENTRY = 12
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[1-8]")


@dataclass(frozen=True)
class _Entry:
    """An entry of a directory: its number, type and count of values, and where its 12 bytes stand."""

    tag: int
    kind: int
    count: int
    at: int


def orientation(block: bytes) -> int:
    """Returns the orientation, 1 to 8; 1 where the block does not say, or is damaged."""
    try:
        order = _order(block)
        for entry in _entries(block, order, _first(block, order)):
            if entry.tag == ORIENTATION and entry.count == 1:
                value = _number(block, order, entry)
                return value if 1 <= value <= 8 else 1
    except (struct.error, ValueError):
        pass
    return 1


def is_sideways(orientation: int) -> bool:
    """Tells whether an orientation swaps height and width."""
    return orientation in (5, 6, 7, 8)


def made_upright(block: bytes, size: tuple[int, int]) -> bytes:
    """Returns the block for an image that was turned upright: orientation 1, and the new size ``(h, w)``.

    Raises:
        ValueError: The block is damaged.
    """
    changed = bytearray(block)
    with _damage_as_value_error():
        order = _order(block)
        for entry in _entries(block, order, _first(block, order)):
            if entry.tag == ORIENTATION:
                struct.pack_into(order + "H2x", changed, entry.at + 8, 1)
            elif entry.tag == _EXIF_DIRECTORY:
                for inner in _entries(block, order, _number(block, order, entry)):
                    if inner.tag in _SIDES and inner.kind in (_SHORT, _LONG):
                        # across is first, and a short number stands at the beginning of its four bytes
                        side = size[1 - _SIDES.index(inner.tag)]
                        struct.pack_into(order + ("I" if inner.kind == _LONG else "H"), changed, inner.at + 8, side)
    return bytes(changed)


def signed(block: bytes, program: str) -> bytes:
    """Returns the block with ``program`` as the software that wrote the file, and without the thumbnail.

    The first directory is copied to the end, where there is room for one more entry. A thumbnail would go on showing
    the image as it was.

    Raises:
        ValueError: The block is damaged.
    """
    with _damage_as_value_error():
        order = _order(block)
        kept = {
            entry.tag: block[entry.at : entry.at + _ENTRY] for entry in _entries(block, order, _first(block, order))
        }
        text = program.encode("ascii", "replace") + b"\0"
        grown = bytearray(block) + b"\0" * (len(block) % 2)
        kept[_SOFTWARE] = struct.pack(order + "HHII", _SOFTWARE, _ASCII, len(text), len(grown))
        grown += text + b"\0" * (len(text) % 2)
        struct.pack_into(order + "I", grown, 4, len(grown))
        grown += struct.pack(order + "H", len(kept)) + b"".join(kept[tag] for tag in sorted(kept)) + bytes(4)
    return bytes(grown)


def made_upright_xmp(packet: bytes) -> bytes:
    """Returns the packet with orientation 1 where it names one; no byte moves."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", packet)


@contextlib.contextmanager
def _damage_as_value_error() -> Iterator[None]:
    try:
        yield
    except struct.error as error:
        raise ValueError(f"damaged EXIF: {error}") from None


def _order(block: bytes) -> str:
    """Returns struct's sign for the block's byte order."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        raise ValueError("damaged EXIF: it does not begin as a TIFF file")
    return order


def _first(block: bytes, order: str) -> int:
    """Returns where the first directory begins."""
    return int(struct.unpack_from(order + "I", block, 4)[0])


def _entries(block: bytes, order: str, directory: int) -> Iterator[_Entry]:
    """Yields a directory's entries."""
    (count,) = struct.unpack_from(order + "H", block, directory)
    if directory + 2 + count * _ENTRY > len(block):
        raise ValueError("damaged EXIF: a directory reaches beyond its end")
    for at in range(directory + 2, directory + 2 + count * _ENTRY, _ENTRY):
        yield _Entry(*struct.unpack_from(order + "HHI", block, at), at)


def _number(block: bytes, order: str, entry: _Entry) -> int:
    """Returns an entry's one number."""
    return int(struct.unpack_from(order + ("H" if entry.kind == _SHORT else "I"), block, entry.at + 8)[0])
