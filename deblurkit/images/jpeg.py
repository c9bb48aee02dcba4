"""JPEG files: decoded by libjpeg-turbo, of whose warnings none is passed over; written with the input's own tables."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Sequence

import numpy as np

from deblurkit.images import exif
from deblurkit.images.image import Block, Buffer, Header, Image, ImageReadError, JpegCoding, Metadata, Pixels
from deblurkit.images.orient import turned

MAX_SIDE = 65500
"""Of libjpeg; the format has 65535."""

_EXIF, _XMP, _PROFILE = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"
# What an encoder writes itself, and the list of further pictures in the file, which are not kept.
_NOT_KEPT = (b"JFIF\0", b"JFXX\0", b"Adobe", b"MPF\0")
_APP0, _APP1, _COMMENT = 0xE0, 0xE1, 0xFE
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the segments that say how large the image is
_TABLES, _SCAN = 0xDB, 0xDA
_END = b"\xff\xd9"
_SAMPLINGS: dict[tuple[int, ...], str] = {(0x21, 0x11, 0x11): "4:2:2", (0x22, 0x11, 0x11): "4:2:0"}
# The places of a table's numbers, row by row, in the order in which a file has them: along the diagonals, to and fro.
_ZIGZAG = np.array(sorted(range(64), key=lambda at: (sum(divmod(at, 8)), divmod(at, 8)[sum(divmod(at, 8)) % 2 == 0])))


Segment = tuple[int, bytes]
"""A segment: its marker's second byte, and its content."""


def probe(data: Buffer) -> Header:
    """Reads the header."""
    (height, width), _ = _frame(data)
    block = next((content for kind, content in segments(data) if _is_exif(kind, content)), b"")  # as in _said
    if exif.is_sideways(exif.orientation(block[len(_EXIF) :])):
        height, width = width, height
    return Header(height, width, whole=data[-2:] == _END)


def decode(data: bytes) -> Image:
    """Decodes a whole file; CMYK becomes RGB.

    Raises:
        ImageReadError: libjpeg could not, or warned that what it made is not all that was written.
    """
    pixels = decode_pixels(data)
    found = list(segments(data))
    metadata, blocks, notes = _said(found)
    if pixels.shape[2] == 4:
        pixels = _from_cmyk(data)
        notes.append("CMYK became RGB")
        if metadata.profile is not None:
            metadata = dataclasses.replace(metadata, profile=None)
            notes.append("the ICC profile, of CMYK, is not kept")
    if not data.rstrip(b"\0").endswith(_END):
        notes.append("what stands behind the image in the file is not kept")
    coding = _coding(found)
    if metadata.exif is not None and exif.is_sideways(exif.orientation(metadata.exif)) and coding.sampling == "4:2:2":
        coding = dataclasses.replace(coding, sampling="4:4:4")  # 4:2:2 would now halve the other side too
    return turned(Image(pixels, metadata=metadata, blocks=blocks, jpeg=coding, notes=tuple(notes)))


def decode_pixels(data: bytes) -> Pixels:
    """Decodes the channels of a whole file as they are: grey, RGB or CMYK.

    Raises:
        ImageReadError: libjpeg could not, or warned that what it made is not all that was written.
    """
    import simplejpeg

    _, channels = _frame(data)
    space = {1: "GRAY", 3: "RGB", 4: "CMYK"}.get(channels)
    if space is None:
        raise ImageReadError(f"{channels} channels; expected 1, 3 or 4")
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, space), np.uint8)
    except ValueError as error:
        raise ImageReadError(f"damaged or cut short: {error}") from None


def encode(image: Image, quality: int | None = None) -> bytes:
    """Returns a file with the tables and sampling of ``image.jpeg``, or at a ``quality`` from 1 to 100; 95 by default.

    The chroma of an image that was no JPEG file is not halved.
    """
    from PIL import Image as Pillow

    settings: dict[str, object] = {"quality": 95 if quality is None else quality, "subsampling": "4:4:4"}
    if image.jpeg is not None:
        settings["subsampling"] = image.jpeg.sampling
        if quality is None and image.jpeg.tables:
            # instead of a quality, by which they would be scaled
            del settings["quality"]
            settings["qtables"] = [list(table) for table in image.jpeg.tables]
    if image.metadata.density is not None:  # in whole numbers, as JFIF has it
        settings["dpi"] = tuple(round(side) for side in image.metadata.density)
    encoded = io.BytesIO()
    Pillow.fromarray(image.samples()).save(encoded, "JPEG", **settings)
    return _with_segments(encoded.getvalue(), image)


MAX_PROFILE = 255 * (65533 - len(_PROFILE) - 2)
"""Bytes of an ICC profile that the segments of a file have room for."""


def segments(data: Buffer) -> Iterator[Segment]:
    """Yields the segments in front of the first scan, each with its marker's second byte and its content.

    Raises:
        ImageReadError: The file ends before its first scan, or something else stands there.
    """
    for kind, start, end in _places(data):
        yield kind, data[start:end]


def _places(data: Buffer) -> Iterator[tuple[int, int, int]]:
    """Yields each segment's marker, and where its content begins and ends, up to the first scan's."""
    at = 2
    while True:
        # Any number of fill bytes may stand in front of a marker.
        while data[at : at + 2] == b"\xff\xff":
            at += 1
        head = data[at : at + 4]
        if len(head) < 4 or head[0] != 0xFF:
            raise ImageReadError("damaged or cut short: no JPEG segment where one should begin")
        length = int.from_bytes(head[2:], "big")
        if length < 2 or at + 2 + length > len(data):
            raise ImageReadError("damaged or cut short: a JPEG segment reaches beyond its end")
        yield head[1], at + 4, at + 2 + length
        if head[1] == _SCAN:
            return
        at += 2 + length


def _frame(data: Buffer) -> tuple[tuple[int, int], int]:
    """Returns ``(h, w)`` as stored and the number of channels."""
    for kind, content in segments(data):
        if kind in _FRAMES:
            if len(content) < 6:
                break
            if content[0] != 8:
                raise ImageReadError(f"{content[0]} bits a channel in a JPEG file; expected 8")
            size = int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big")
            return size, content[5]
    raise ImageReadError("damaged or cut short: a JPEG file that does not say how large it is")


def _is_exif(kind: int, content: bytes) -> bool:
    return kind == _APP1 and content.startswith(_EXIF)


def _said(found: Sequence[Segment]) -> tuple[Metadata, tuple[Block, ...], list[str]]:
    """Returns what the segments say, those that pass as they are, and in words what is not kept."""
    block, xmp, blocks, notes = None, None, [], []
    profile: dict[int, bytes] = {}
    for kind, content in found:
        if _is_exif(kind, content):
            block = block or content[len(_EXIF) :]
        elif kind == _APP1 and content.startswith(_XMP):
            xmp = xmp or content[len(_XMP) :]
        elif content.startswith(_PROFILE) and len(content) > len(_PROFILE) + 2:
            profile[content[len(_PROFILE)]] = content[len(_PROFILE) + 2 :]
        elif content.startswith(b"MPF\0"):
            notes.append("further pictures behind the first (MPF) are not kept")
        elif (_APP0 <= kind < _APP0 + 16 or kind == _COMMENT) and not content.startswith(_NOT_KEPT):
            blocks.append(Block(bytes([kind]), content))
    joined = b"".join(profile[part] for part in sorted(profile)) or None
    return Metadata(joined, block, xmp, _density(found)), tuple(blocks), notes


def _density(found: Sequence[Segment]) -> tuple[float, float] | None:
    """Returns the pixels an inch that the JFIF segment names."""
    for kind, content in found:
        if kind == _APP0 and content.startswith(b"JFIF\0") and len(content) >= 12:
            across, down = int.from_bytes(content[8:10], "big"), int.from_bytes(content[10:12], "big")
            scale = {1: 1.0, 2: 2.54}.get(content[7])  # else only the pixels' shape is meant
            if scale is not None and across and down:
                return across * scale, down * scale
    return None


def _coding(found: Sequence[Segment]) -> JpegCoding:
    """Returns the table of each channel, and the sampling: 4:4:4, of which nothing is lost, for one that is rare."""
    defined: dict[int, tuple[int, ...]] = {}
    channels: list[tuple[int, int]] = []  # each one's samples a block, across and down in half a byte each, and table
    for kind, content in found:
        if kind == _TABLES:
            defined |= _tables(content)
        elif kind in _FRAMES:
            channels = list(zip(content[7::3], content[8::3], strict=False))
    tables = tuple(defined[number] for _, number in channels if number in defined)
    # Chroma has one table as a rule, which then is written once.
    if len(tables) == 3 and tables[1] == tables[2]:
        tables = tables[:1] if tables[0] == tables[1] else tables[:2]
    sampling = _SAMPLINGS.get(tuple(samples for samples, _ in channels), "4:4:4")
    return JpegCoding(tables, sampling)


def _tables(content: bytes) -> dict[int, tuple[int, ...]]:
    """Returns the quantisation tables of a segment, row by row, by their numbers."""
    found = {}
    at = 0
    while at < len(content):
        deep, number = divmod(content[at], 16)
        values = np.frombuffer(content, ">u2" if deep else "u1", 64, at + 1)
        table = np.zeros(64, int)
        table[_ZIGZAG] = values
        found[number] = tuple(table.tolist())
        at += 1 + values.nbytes
    return found


def _from_cmyk(data: bytes) -> Pixels:
    import cv2

    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if decoded is None:
        raise ImageReadError("damaged or cut short: its CMYK cannot become RGB")
    return np.asarray(decoded, np.uint8)


def _with_segments(encoded: bytes, image: Image) -> bytes:
    """Adds what an image says besides its pixels to a JPEG file that says nothing yet."""
    metadata = image.metadata
    parts: list[tuple[int, bytes]] = []
    if metadata.exif is not None:
        parts.append((_APP1, _EXIF + metadata.exif))
    if metadata.xmp is not None:
        parts.append((_APP1, _XMP + metadata.xmp))
    if metadata.profile is not None:
        room = 65533 - len(_PROFILE) - 2
        pieces = [metadata.profile[at : at + room] for at in range(0, len(metadata.profile), room)]
        for number, piece in enumerate(pieces, 1):
            parts.append((0xE2, _PROFILE + bytes([number, len(pieces)]) + piece))
    parts += [(block.kind[0], block.content) for block in image.blocks]
    written = b"".join(bytes([0xFF, kind]) + (len(content) + 2).to_bytes(2, "big") + content for kind, content in parts)
    # behind the JFIF segment, which comes first
    _, _, end = next(_places(encoded))
    return encoded[:end] + written + encoded[end:]
