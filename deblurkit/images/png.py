"""PNG files: decoded and encoded by libpng; the other chunks pass from file to file as they are."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from deblurkit.images import exif
from deblurkit.images.image import Block, Buffer, Header, Image, ImageReadError, Metadata, split
from deblurkit.images.orient import turned

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_SIDE = 1_000_000
"""Of libpng, unless it is told otherwise; the format has 2^31 - 1."""

_XMP = b"XML:com.adobe.xmp"
_INCH = 0.0254  # metres
_PALETTE = 3
# What colours the numbers mean, where no profile says it, and texts: true of another image of the same size too.
_KEPT = (b"cHRM", b"cICP", b"cLLI", b"gAMA", b"iTXt", b"mDCV", b"sRGB", b"tEXt", b"zTXt")
_SAID = (*_KEPT, b"eXIf", b"iCCP", b"pHYs")
_MAX_UNPACKED = 64 << 20  # bytes of a compressed profile


@dataclass(frozen=True)
class _Chunk:
    """A chunk's kind, and where its content begins and ends."""

    kind: bytes
    start: int
    end: int


def probe(data: Buffer) -> Header:
    """Reads the header, and where the chunks lie."""
    height, width, _, _ = _shape(data)
    chunks = list(_chunks(data))
    found: dict[bytes, bytes] = {}
    for chunk in chunks:
        if chunk.kind in (b"eXIf", b"acTL") and _is_sound(data, chunk):
            found.setdefault(chunk.kind, data[chunk.start : chunk.end])  # the first, as in decode
    if exif.is_sideways(exif.orientation(found.get(b"eXIf", b""))):
        height, width = width, height
    frames = int.from_bytes(found[b"acTL"][:4], "big") if b"acTL" in found else 1
    return Header(height, width, whole=bool(chunks) and chunks[-1].kind == b"IEND", frames=frames)


def decode(data: bytes) -> Image:
    """Decodes a whole file; a palette becomes RGB, and fewer than 8 bits become 8.

    Raises:
        ImageReadError: It is damaged or cut short.
    """
    import imagecodecs

    _, _, bits, colour = _shape(data)
    chunks = list(_chunks(data))
    if not chunks or chunks[-1].kind != b"IEND":
        raise ImageReadError("cut short")
    try:
        pixels, alpha = split(np.asarray(imagecodecs.png_decode(data)))
    except imagecodecs.PngError as error:
        raise ImageReadError(f"damaged or cut short: {error}") from None

    notes = []
    if colour == _PALETTE:
        notes.append("its palette became RGB")
    elif bits < 8:
        notes.append(f"its {bits} bits a pixel became 8")
    first: dict[bytes, bytes] = {}
    blocks, xmp = [], None
    for chunk in chunks:
        if chunk.kind not in _SAID:
            continue
        if not _is_sound(data, chunk):
            notes.append(f"its {chunk.kind.decode()} is damaged, not kept")
            continue
        content = data[chunk.start : chunk.end]
        if chunk.kind == b"iTXt" and content.startswith(_XMP + b"\0"):
            xmp = xmp or _text(content)
        elif chunk.kind in _KEPT:
            blocks.append(Block(chunk.kind, content))
        first.setdefault(chunk.kind, content)
    metadata = Metadata(_profile(first), first.get(b"eXIf"), xmp, _density(first))
    return turned(Image(pixels, alpha, metadata=metadata, blocks=tuple(blocks), notes=tuple(notes)))


def encode(image: Image, level: int = 1) -> bytes:
    """Returns a file; ``level`` from 0 to 9 says how long to look for a shorter one."""
    import imagecodecs

    fast: dict[str, int] = {}
    if level == 1:  # photographs repeat nothing: to look for runs alone is twice as fast, and the file no larger
        fast = {"strategy": imagecodecs.PNG.STRATEGY.RLE, "filter": imagecodecs.PNG.FILTER.PAETH}
    encoded = bytes(imagecodecs.png_encode(image.samples(), level, **fast))
    metadata = image.metadata
    chunks = []
    if metadata.profile is not None:
        chunks.append(Block(b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.profile)))
    chunks += image.blocks
    if metadata.density is not None:
        across, down = (round(side / _INCH) for side in metadata.density)
        chunks.append(Block(b"pHYs", struct.pack(">IIB", across, down, 1)))
    if metadata.xmp is not None:
        chunks.append(Block(b"iTXt", _XMP + bytes(5) + metadata.xmp))  # neither compressed nor in a named language
    if metadata.exif is not None:
        chunks.append(Block(b"eXIf", metadata.exif))
    behind_header = len(SIGNATURE) + 12 + 13
    return encoded[:behind_header] + b"".join(map(_written, chunks)) + encoded[behind_header:]


def _written(chunk: Block) -> bytes:
    body = chunk.kind + chunk.content
    return struct.pack(">I", len(chunk.content)) + body + struct.pack(">I", zlib.crc32(body))


def _shape(data: Buffer) -> tuple[int, int, int, int]:
    """Returns height, width, bits a channel and the kind of colour."""
    try:
        width, height, bits, colour = struct.unpack_from(">IIBB", data, len(SIGNATURE) + 8)
    except struct.error:
        raise ImageReadError("cut short") from None
    if bits not in (1, 2, 4, 8, 16) or not width or not height:
        raise ImageReadError("damaged: its header is none of a PNG file")
    return height, width, bits, colour


def _chunks(data: Buffer) -> Iterator[_Chunk]:
    """Yields the chunks up to the last one that is whole."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + length > len(data):
            return
        yield _Chunk(kind, at + 8, at + 8 + length)
        if kind == b"IEND":
            return
        at += 12 + length


def _is_sound(data: Buffer, chunk: _Chunk) -> bool:
    """Tells whether a chunk is as it was written; libpng sees to those that the pixels need."""
    return zlib.crc32(data[chunk.start - 4 : chunk.end]) == int.from_bytes(data[chunk.end : chunk.end + 4], "big")


def _profile(chunks: Mapping[bytes, bytes]) -> bytes | None:
    name, _, rest = chunks.get(b"iCCP", b"").partition(b"\0")
    return _unpacked(rest[1:]) if name and rest else None


def _text(content: bytes) -> bytes | None:
    """Returns the text of an iTXt chunk."""
    _, _, rest = content.partition(b"\0")
    parts = rest[2:].split(b"\0", 2)  # language, translated keyword, text
    if len(parts) < 3:
        return None
    return _unpacked(parts[2]) if rest[0] else parts[2]


def _unpacked(packed: bytes) -> bytes | None:
    """Returns what a few bytes may stand for, up to a limit; ``None`` where they are damaged."""
    unpacking = zlib.decompressobj()
    try:
        unpacked = unpacking.decompress(packed, _MAX_UNPACKED)
    except zlib.error:
        return None
    return unpacked if unpacked and unpacking.eof else None


def _density(chunks: Mapping[bytes, bytes]) -> tuple[float, float] | None:
    """Returns the pixels an inch."""
    content = chunks.get(b"pHYs", b"")
    if len(content) != 9 or content[8] != 1:
        return None
    across, down = struct.unpack_from(">II", content)
    return (across * _INCH, down * _INCH) if across and down else None
