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

from deblurkit.images import directories
from deblurkit.images.directories import DamageError, Directory, Entry, Layout

ORIENTATION = 0x0112
_SOFTWARE = 0x0131
_SIDES = ((0x0100, 0x0101), (0xA002, 0xA003))  # across and down, in the first directory and below it
_RESOLUTION, _RESOLUTION_UNIT = (0x011A, 0x011B), 0x0128  # across and down
DENSITY = {*_RESOLUTION, _RESOLUTION_UNIT}
"""Tags that name pixels an inch."""

_INCHES = {2: 1.0, 3: 2.54}
_NUMBERS = {directories.BYTE: "B", directories.SHORT: "H", directories.LONG: "I"}
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[1-8]")


def orientation(block: bytes) -> int:
    """Returns the orientation, 1 to 8; 1 where the block does not say, or is damaged."""
    with contextlib.suppress(ValueError):
        how = _layout(block)
        for entry in directories.entries(block, how, directories.first(block, how)):
            if entry.tag == ORIENTATION and entry.count == 1:
                value = directories.number(block, how, entry)
                return value if 1 <= value <= 8 else 1
    return 1


def is_sideways(orientation: int) -> bool:
    """Tells whether an orientation swaps height and width."""
    return orientation in (5, 6, 7, 8)


def density(block: bytes) -> tuple[float, float] | None:
    """Returns the pixels an inch, across and down; ``None`` where the block does not say, or is damaged."""
    with contextlib.suppress(ValueError):
        how = _layout(block)
        return density_of(directories.read(block, how, directories.first(block, how), wanted=DENSITY), how)
    return None


def density_of(directory: Directory, how: Layout) -> tuple[float, float] | None:
    """Returns the pixels an inch that a directory names, across and down."""
    _, _, unit = directory.entries.get(_RESOLUTION_UNIT, (0, 0, b""))
    scale = _INCHES.get(struct.unpack(how.order + "H", unit)[0] if len(unit) == 2 else 2)
    sides = []
    for tag in _RESOLUTION:
        kind, count, values = directory.entries.get(tag, (0, 0, b""))
        if (kind, count) != (directories.RATIONAL, 1) or scale is None:
            return None
        of, by = struct.unpack(how.order + "II", values)
        sides.append(scale * of / by if by else 0.0)
    return (sides[0], sides[1]) if all(sides) else None


def made_upright(block: bytes, size: tuple[int, int], sideways: bool = False) -> bytes:
    """Returns the block for an image that was turned upright: orientation 1, and the new size ``(h, w)``.

    A thumbnail is no longer pointed to: it would go on showing the image as it was.

    Args:
        block: An EXIF block.
        size: Of the upright image.
        sideways: Whether height and width were swapped; the densities are then, too.

    Raises:
        ValueError: The block is damaged.
    """
    changed = bytearray(block)
    with _named():
        how = _layout(block)
        start = directories.first(block, how)
        found = {entry.tag: entry for entry in directories.entries(block, how, start)}
        if ORIENTATION in found:
            _replace(changed, how, found[ORIENTATION], 1)
        _replace_sides(changed, how, found, _SIDES[0], size)
        if directories.EXIF in found:
            below = directories.number(block, how, found[directories.EXIF])
            inner = {entry.tag: entry for entry in directories.entries(block, how, below)}
            _replace_sides(changed, how, inner, _SIDES[1], size)
        across, down = (found.get(tag) for tag in _RESOLUTION)
        if sideways and across is not None and down is not None:
            # what they point to stays where it is
            changed[across.values : across.values + 4] = block[down.values : down.values + 4]
            changed[down.values : down.values + 4] = block[across.values : across.values + 4]
        _forget_thumbnail(changed, how, start)
    return bytes(changed)


def signed(block: bytes, program: str) -> bytes:
    """Returns the block with ``program`` as the software that wrote the file, and without the thumbnail.

    The first directory is copied to the end, where there is room for one more entry. A thumbnail would go on showing
    the image as it was. A block that says so already is returned as it is.

    Raises:
        ValueError: The block is damaged.
    """
    text = program.encode("ascii", "replace") + b"\0"
    with _named():
        how = _layout(block)
        start = directories.first(block, how)
        found = {entry.tag: entry for entry in directories.entries(block, how, start)}
        unlinked = bytearray(block)
        _forget_thumbnail(unlinked, how, start)
        before = found.get(_SOFTWARE)
        with contextlib.suppress(DamageError):  # of what is replaced
            if before is not None and directories.content(block, how, before) == text:
                return bytes(unlinked)
        added = Directory({_SOFTWARE: (directories.ASCII, len(text), text)})
        return directories.appended(bytes(unlinked), how, added)


def damaged_entries(block: bytes) -> int:
    """Returns how many entries of a block lie beyond its end; 0 where the block as a whole is damaged."""
    with contextlib.suppress(ValueError):
        how = _layout(block)
        return directories.read(block, how, directories.first(block, how)).damaged
    return 0


def without_orientation(block: bytes) -> bytes:
    """Returns the block without its orientation, where it names one; nothing else moves.

    Raises:
        ValueError: The block is damaged.
    """
    with _named():
        how = _layout(block)
        tags = {entry.tag for entry in directories.entries(block, how, directories.first(block, how))}
        return directories.appended(block, how, Directory(), {ORIENTATION}) if ORIENTATION in tags else block


def check(block: bytes) -> None:
    """Sees that a block begins as one and its first directory is whole.

    Raises:
        ValueError: It is damaged.
    """
    with _named():
        how = _layout(block)
        for _ in directories.entries(block, how, directories.first(block, how)):
            pass


def made_upright_xmp(packet: bytes) -> bytes:
    """Returns the packet with orientation 1 where it names one; no byte moves."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", packet)


@contextlib.contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except (struct.error, DamageError) as error:
        raise ValueError(f"damaged EXIF: {error}") from None


def _layout(block: bytes) -> Layout:
    how = directories.layout(block)
    if how.big:
        raise DamageError("it begins as a BigTIFF file")
    return how


def _replace_sides(
    changed: bytearray, how: Layout, found: dict[int, Entry], tags: tuple[int, int], size: tuple[int, int]
) -> None:
    for tag, side in zip(tags, reversed(size), strict=True):
        if tag in found:
            _replace(changed, how, found[tag], side)


def _replace(changed: bytearray, how: Layout, entry: Entry, value: int) -> None:
    """Replaces an entry's one number where it stands; a short one stands at the beginning of its four bytes."""
    kind = _NUMBERS.get(entry.kind)
    if kind is not None and entry.count == 1 and value < 1 << (8 * struct.calcsize(kind)):
        struct.pack_into(how.order + kind, changed, entry.values, value)


def _forget_thumbnail(changed: bytearray, how: Layout, directory: int) -> None:
    """Ends the list of directories behind the first one."""
    at = directories.end(changed, how, directory)
    changed[at : at + how.place.size] = bytes(len(changed[at : at + how.place.size]))  # some blocks end before it
