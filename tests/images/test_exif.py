"""EXIF blocks are changed in place: all but what is to change stays byte for byte where it was."""

from __future__ import annotations

import struct

import pytest
from exif_blocks import BYTE, LONG, MAKER_NOTE, SHORT, Block, exif_block

from deblurkit.images import directories, exif

ORDERS = ["<", ">"]
PROGRAM = "deblurkit 9.9"


def changed(before: bytes, after: bytes) -> set[int]:
    """The places at which two blocks differ."""
    assert len(before) == len(after)
    return {at for at, (old, new) in enumerate(zip(before, after, strict=True)) if old != new}


def four(block: Block, *places: tuple[object, int]) -> set[int]:
    """The four bytes at each place."""
    return {at for place in places for at in range(block.places[place], block.places[place] + 4)}


def number(block: Block, data: bytes, place: tuple[object, int], order: str, kind: int = LONG) -> int:
    code = {LONG: "I", SHORT: "H", BYTE: "B"}[kind]
    return int(struct.unpack_from(order + code, data, block.places[place])[0])


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", [SHORT, LONG, BYTE])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_read(order: str, kind: int, orientation: int) -> None:
    assert exif.orientation(exif_block(order, orientation, orientation_kind=kind).data) == orientation
    assert exif.is_sideways(orientation) == (orientation > 4)


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_no_such_orientation(orientation: int) -> None:
    assert exif.orientation(exif_block("<", orientation).data) == 1


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", [SHORT, LONG, BYTE])
@pytest.mark.parametrize("side_kind", [SHORT, LONG])
def test_made_upright(order: str, kind: int, side_kind: int) -> None:
    block = exif_block(order, 6, orientation_kind=kind, side_kind=side_kind)
    upright = exif.made_upright(block.data, (53, 37), sideways=True)
    assert exif.orientation(upright) == 1
    assert number(block, upright, (0, 0x0112), order, kind) == 1
    assert number(block, upright, ("exif", 0xA002), order, side_kind) == 37
    assert number(block, upright, ("exif", 0xA003), order, side_kind) == 53
    assert number(block, upright, (0, 0), order) == 0  # of the thumbnail's directory
    assert exif.density(block.data) == (300, 200)
    assert exif.density(upright) == (200, 300)
    turned = [(0, 0x0112), ("exif", 0xA002), ("exif", 0xA003), (0, 0), (0, 0x011A), (0, 0x011B)]
    assert changed(block.data, upright) <= four(block, *turned)
    assert exif.made_upright(upright, (53, 37)) == upright


def test_made_upright_where_nothing_is_swapped() -> None:
    block = exif_block("<", 3)
    assert exif.density(exif.made_upright(block.data, (37, 53))) == (300, 200)


def test_a_side_that_a_short_number_cannot_hold_stays() -> None:
    block = exif_block("<", 6, side_kind=SHORT)
    upright = exif.made_upright(block.data, (70_000, 37))
    assert number(block, upright, ("exif", 0xA002), "<", SHORT) == 37
    assert number(block, upright, ("exif", 0xA003), "<", SHORT) == 37


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("program", [PROGRAM, "dk", "x" * 301])
def test_signed(order: str, program: str) -> None:
    block = exif_block(order)
    signed = exif.signed(block.data, program)
    # The header now points to the new directory, and the old one to no thumbnail; nothing else moved.
    assert changed(block.data, signed[: len(block.data)]) <= {4, 5, 6, 7} | four(block, (0, 0))
    at = block.contents["exif", 0x927C]
    assert signed[at : at + len(MAKER_NOTE)] == MAKER_NOTE
    how = directories.layout(signed)
    before = directories.read(block.data, how, directories.first(block.data, how))
    after = directories.read(signed, how, directories.first(signed, how))
    assert after.entries.pop(0x0131) == (2, len(program) + 1, program.encode() + b"\0")
    assert before.entries.pop(0x0131)[2] == b"camera 1.0\0"
    assert after == before
    assert exif.orientation(signed) == 6
    assert exif.signed(signed, program) == signed


def test_signed_where_no_program_was_named() -> None:
    how = directories.Layout("<")
    block = directories.block(how, directories.Directory({0x0112: (SHORT, 1, b"\3\0")}))
    signed = exif.signed(block, PROGRAM)
    assert directories.read(signed, how, directories.first(signed, how)).entries == {
        0x0112: (SHORT, 1, b"\3\0"),
        0x0131: (2, len(PROGRAM) + 1, PROGRAM.encode() + b"\0"),
    }


def test_a_block_that_ends_with_its_entries() -> None:
    """Some writers leave out where the next directory would stand."""
    block = b"II*\0" + struct.pack("<IH", 8, 1) + struct.pack("<HHIHH", 0x0112, SHORT, 1, 8, 0)
    upright = exif.made_upright(block, (5, 4))
    assert (len(upright), exif.orientation(upright)) == (len(block), 1)
    assert exif.orientation(exif.signed(block, PROGRAM)) == 8


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("big", [False, True])
def test_directories_pass_from_file_to_file(order: str, big: bool) -> None:
    block = exif_block(order)
    how = directories.layout(block.data)
    read = directories.read(block.data, how, directories.first(block.data, how))
    assert set(read.inner) == {directories.EXIF, directories.GPS}
    assert read.inner[directories.EXIF].entries[0x927C][2] == MAKER_NOTE
    assert set(read.inner[directories.EXIF].inner) == {directories.INTEROPERABILITY}
    copied = directories.block(how, read)
    assert directories.read(copied, how, directories.first(copied, how)) == read
    into = directories.Layout(order, big)
    empty = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HHHQ", 43, 8, 0, 16) + bytes(16)
    if not big:
        empty = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HI", 42, 8) + bytes(6)
    written = directories.appended(empty, into, read)
    assert directories.layout(written) == into
    assert directories.read(written, into, directories.first(written, into)) == read


@pytest.mark.parametrize("order", ORDERS)
def test_damage(order: str) -> None:
    """A block that is cut, at each length, or has a byte changed ends in no other error than the one that is told."""
    whole = exif_block(order).data
    cut = [whole[:length] for length in range(len(whole))]
    flipped = [whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :] for at in range(600)]
    refused = []
    for block in cut + flipped:
        assert 1 <= exif.orientation(block) <= 8
        exif.density(block)
        for action in (lambda b: exif.made_upright(b, (9, 8), True), lambda b: exif.signed(b, PROGRAM), exif.check):
            try:
                action(block)
            except ValueError as error:
                refused.append(str(error))
    assert len(refused) > 200
    assert all(line.startswith("damaged EXIF: ") for line in refused)


@pytest.mark.parametrize("at", ["first", "exif"])
def test_directories_that_point_to_themselves(at: str) -> None:
    block = exif_block("<")
    data = bytearray(block.data)
    struct.pack_into("<I", data, block.places[0, 0], 8)
    struct.pack_into("<I", data, block.places[("exif", 0xA005) if at == "exif" else (0, 0x8769)], 8)
    looped = bytes(data)
    assert exif.orientation(looped) == 6
    how = directories.layout(looped)
    directories.read(looped, how, 8)
    assert exif.orientation(exif.made_upright(looped, (9, 8))) == 1
    assert exif.orientation(exif.signed(looped, PROGRAM)) == 6


@pytest.mark.parametrize(
    ("packet", "upright"),
    [
        (b'<x tiff:Orientation="6" a="6"/>', b'<x tiff:Orientation="1" a="6"/>'),
        (b"<x tiff:Orientation = '8'/>", b"<x tiff:Orientation = '1'/>"),
        (b"<tiff:Orientation>3</tiff:Orientation>", b"<tiff:Orientation>1</tiff:Orientation>"),
        (b"<tiff:Orientation> 3 </tiff:Orientation>", b"<tiff:Orientation> 1 </tiff:Orientation>"),
        (b"<x exif:Orientation='6'/>", b"<x exif:Orientation='6'/>"),
        (b"", b""),
    ],
)
def test_xmp(packet: bytes, upright: bytes) -> None:
    assert exif.made_upright_xmp(packet) == upright
    assert exif.made_upright_xmp(upright) == upright
