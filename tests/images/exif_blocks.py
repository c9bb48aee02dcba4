"""EXIF blocks made by the tests' own code, in both byte orders."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SIGNED_RATIONAL = 1, 2, 3, 4, 5, 7, 10
MAKER_NOTE = b"Unknown\0" + bytes(range(256)) * 3
USER_COMMENT = b"ASCII\0\0\0a comment of the user"


@dataclass
class Block:
    """A block and where things stand in it.

    Attributes:
        data: Its bytes.
        places: By name of a directory (0, "exif", "gps", 1) and tag, where an entry's 4 bytes of value stand.
        contents: Likewise, where values stand that do not fit into them.
    """

    data: bytes
    places: dict[tuple[object, int], int] = field(default_factory=dict)
    contents: dict[tuple[object, int], int] = field(default_factory=dict)


def exif_block(
    order: str = "<",
    orientation: int = 6,
    *,
    size: tuple[int, int] = (37, 53),
    orientation_kind: int = SHORT,
    side_kind: int = LONG,
    thumbnail: bytes = b"\xff\xd8 a thumbnail \xff\xd9",
    software: str = "camera 1.0",
    density: tuple[int, int] = (300, 200),
) -> Block:
    """A camera's block of four directories, with a maker's note that nobody knows.

    ``size`` is ``(h, w)`` as it is stored.
    """

    def ascii(text: str) -> tuple[int, int, bytes]:
        return ASCII, len(text) + 1, text.encode() + b"\0"

    def short(value: int) -> tuple[int, int, bytes]:
        return SHORT, 1, struct.pack(order + "H", value)

    def long(value: int) -> tuple[int, int, bytes]:
        return LONG, 1, struct.pack(order + "I", value)

    def rational(*values: int, kind: int = RATIONAL) -> tuple[int, int, bytes]:
        sign = "i" if kind == SIGNED_RATIONAL else "I"
        return kind, len(values) // 2, struct.pack(f"{order}{len(values)}{sign}", *values)

    side = long if side_kind == LONG else short
    turn = {SHORT: short, LONG: long, BYTE: lambda value: (BYTE, 1, bytes([value]))}[orientation_kind]
    directories: dict[object, dict[int, tuple[int, int, bytes]]] = {
        0: {
            0x010E: ascii("A cat on a wall"),
            0x010F: ascii("Maker"),
            0x0110: ascii("Model 3"),
            0x0112: turn(orientation),
            0x011A: rational(density[0], 1),
            0x011B: rational(density[1], 1),
            0x0128: short(2),
            0x0131: ascii(software),
            0x0132: ascii("2024:05:06 07:08:09"),
            0x013B: ascii("An artist"),
            0x8298: ascii("All rights"),
            0x8769: long(0),
            0x8825: long(0),
        },
        "exif": {
            0x829A: rational(1, 250),
            0x829D: rational(28, 10),
            0x8827: short(400),
            0x9000: (UNDEFINED, 4, b"0232"),
            0x9003: ascii("2024:05:06 07:08:09"),
            0x9204: rational(-1, 3, kind=SIGNED_RATIONAL),
            0x920A: rational(50, 1),
            0x927C: (UNDEFINED, len(MAKER_NOTE), MAKER_NOTE),
            0x9286: (UNDEFINED, len(USER_COMMENT), USER_COMMENT),
            0xA002: side(size[1]),
            0xA003: side(size[0]),
            0xA005: long(0),
            0xA300: (UNDEFINED, 1, b"\x03"),
            0xA432: rational(24, 1, 70, 1, 28, 10, 28, 10),
            0xA434: ascii("A lens 24-70"),
        },
        "interoperability": {0x0001: ascii("R98"), 0x0002: (UNDEFINED, 4, b"0100")},
        "gps": {
            0x0000: (BYTE, 4, bytes([2, 3, 0, 0])),
            0x0001: ascii("N"),
            0x0002: rational(52, 1, 31, 1, 1234, 100),
            0x0003: ascii("E"),
            0x0004: rational(13, 1, 24, 1, 4321, 100),
            0x0006: rational(3456, 100),
        },
    }
    if thumbnail:
        directories[1] = {0x0103: short(6), 0x0112: short(orientation), 0x0201: long(0), 0x0202: long(len(thumbnail))}
    return _laid_out(order, directories, thumbnail)


_LINKS = {(0, 0x8769): "exif", (0, 0x8825): "gps", ("exif", 0xA005): "interoperability"}


def _laid_out(order: str, directories: dict[object, dict[int, tuple[int, int, bytes]]], thumbnail: bytes) -> Block:
    starts, at = {}, 8
    for name, entries in directories.items():
        starts[name] = at
        at += 2 + 12 * len(entries) + 4
        at += sum(len(values) + len(values) % 2 for _, _, values in entries.values() if len(values) > 4)
    made = Block(b"")
    data = bytearray((b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8))
    for name, entries in directories.items():
        behind = starts[name] + 2 + 12 * len(entries) + 4
        data += struct.pack(order + "H", len(entries))
        rest = bytearray()
        for tag, (kind, count, given) in sorted(entries.items()):
            values = given
            if (name, tag) in _LINKS:
                values = struct.pack(order + "I", starts[_LINKS[name, tag]])
            elif name == 1 and tag == 0x0201:
                values = struct.pack(order + "I", at)
            made.places[name, tag] = len(data) + 8
            if len(values) > 4:
                made.contents[name, tag] = behind + len(rest)
                rest += values + b"\0" * (len(values) % 2)
                values = struct.pack(order + "I", made.contents[name, tag])
            data += struct.pack(order + "HHI", tag, kind, count) + values.ljust(4, b"\0")
        made.places[name, 0] = len(data)  # of the next directory
        data += struct.pack(order + "I", starts.get(1, 0) if name == 0 else 0) + rest
    made.data = bytes(data + thumbnail)
    return made
