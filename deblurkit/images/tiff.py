"""TIFF files, classic and Big: read as their tags say, or refused by name; written by tifffile."""

from __future__ import annotations

import io
import logging
from contextlib import contextmanager
from mmap import mmap
from typing import TYPE_CHECKING, Any

import numpy as np

from deblurkit.images import exif
from deblurkit.images.image import Buffer, Header, Image, ImageReadError, Metadata, Pixels
from deblurkit.images.orient import turned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tifffile import TiffPage

MAX_SIDE = 2**31 - 1

_ORIENTATION, _EXTRA_SAMPLES, _XMP, _EXIF, _GPS, _PROFILE = 274, 338, 700, 0x8769, 0x8825, 34675
_REDUCED, _MASK = 1, 4  # bits of a page's kind: a smaller copy of another page, or a mask of it
_GREY, _GREY_INVERTED, _RGB, _PALETTE, _CMYK, _YCBCR = 1, 0, 2, 3, 5, 6
_PREMULTIPLIED = 1
_INCHES = {2: 1.0, 3: 2.54}  # by the unit of a density
# Tags of the first directory that say what is in the picture and who made it; the others say how it is stored.
_DESCRIBING = {270, 271, 272, 269, 285, 306, 315, 316, 33432, 33723, 36867, 40091, 40092, 40093, 40094, 40095, 18246}


def probe(data: Buffer) -> Header:
    """Reads the directories."""
    with _pages(data) as pages:
        page = pages[0]
        height, width = int(page.imagelength), int(page.imagewidth)
        if exif.is_sideways(_orientation(page)):
            height, width = width, height
        return Header(height, width, whole=_is_whole(page, len(data)), frames=len(pages))


def decode(data: bytes) -> Image:
    """Decodes the one page of a file, whatever its layout.

    Raises:
        ImageReadError: It is damaged or cut short, or its tags name something that is not supported.
    """
    with _pages(data) as pages:
        page = pages[0]
        kind = _supported(page)
        if not _is_whole(page, len(data)):
            raise ImageReadError("damaged or cut short: a part of its pixels lies beyond its end")
        try:
            decoded = np.asarray(page.asarray())
        except Exception as error:  # of one of many codecs, on bytes that nobody has checked
            raise ImageReadError(f"damaged, or compressed in a way that cannot be read: {_one_line(error)}") from None
        # Planar files have the channels in front.
        samples = page.samplesperpixel
        if page.planarconfig == 2 and samples > 1:
            decoded = decoded.reshape(samples, page.imagelength, page.imagewidth).transpose(1, 2, 0)
        decoded = decoded.reshape(page.imagelength, page.imagewidth, samples)
        pixels, notes = _as_grey_or_rgb(page, kind, decoded)
        colours = _colours(kind)
        alpha = decoded[:, :, colours] if samples > colours else None
        extra = tuple(page.extrasamples)
        try:
            block = _exif_block(data)
        except Exception as error:  # Pillow's reader of directories, on bytes that nobody has checked
            block = None
            notes.append(f"its EXIF directories are damaged ({_one_line(error)}), not kept")
        profile = _bytes(page, _PROFILE)
        if kind == _CMYK and profile:
            profile = None
            notes.append("the ICC profile, of CMYK, is not kept")
        metadata = Metadata(profile, block, _bytes(page, _XMP), _density(page))
        image = Image(
            np.ascontiguousarray(pixels),
            None if alpha is None else np.ascontiguousarray(alpha),
            premultiplied=alpha is not None and extra[:1] == (_PREMULTIPLIED,),
            metadata=metadata,
            notes=tuple(notes),
        )
        return turned(image, _orientation(page))


def encode(image: Image) -> bytes:
    """Returns a file that is compressed without loss (deflate with horizontal prediction)."""
    import tifffile

    pixels = image.pixels if image.alpha is None else np.dstack([image.pixels, image.alpha])
    extra: list[int] = [] if image.alpha is None else [_PREMULTIPLIED if image.premultiplied else 2]
    metadata = image.metadata
    described, directories = _directories(metadata.exif)
    tags = [*described]
    if metadata.xmp is not None:
        tags.append((_XMP, 1, len(metadata.xmp), metadata.xmp, True))
    # Directories of their own are appended, and pointed to from here; tifffile writes none.
    tags += [(tag, 4, 1, 0, True) for tag in directories]
    written = io.BytesIO()
    tifffile.imwrite(
        written,
        np.ascontiguousarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels),
        photometric="minisblack" if image.is_grey else "rgb",
        extrasamples=extra or None,
        planarconfig="contig" if pixels.shape[2] > 1 else None,
        compression="zlib",
        predictor=True,
        metadata=None,
        software=False,
        iccprofile=metadata.profile,
        resolution=metadata.density,
        resolutionunit="inch" if metadata.density is not None else None,
        extratags=tags,
    )
    for tag, directory in directories.items():
        place = written.seek(0, io.SEEK_END)
        place += place % 2
        written.seek(place)
        written.write(directory.tobytes(place))
        with tifffile.TiffFile(written, mode="r+b") as opened:
            opened.pages[0].tags[tag].overwrite(place)  # type: ignore[union-attr]
    return written.getvalue()


@contextmanager
def _pages(data: Buffer) -> Iterator[list[TiffPage]]:
    """Opens a file and gives its pages, without smaller copies and masks of others."""
    import tifffile

    # What tifffile finds amiss it logs, and reads on; that is looked for here.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        opened = tifffile.TiffFile(data if isinstance(data, mmap) else io.BytesIO(data))
    except Exception as error:  # of a parser of directories, on bytes that nobody has checked
        raise ImageReadError(f"damaged or cut short: {_one_line(error)}") from None
    with opened:
        try:
            pages: list[Any] = [page for page in opened.pages if not page.subfiletype & (_REDUCED | _MASK)]
        except Exception as error:
            raise ImageReadError(f"damaged or cut short: {_one_line(error)}") from None
        if not pages:
            raise ImageReadError("damaged: no page of it is an image")
        yield pages


def _supported(page: TiffPage) -> int:
    """Returns the kind of colour of a page.

    Raises:
        ImageReadError: Its tags name something else than 1 bit, or 8 or 16 of grey, RGB, a palette, CMYK or YCbCr.
    """
    kind = int(page.photometric)
    if kind not in (_GREY, _GREY_INVERTED, _RGB, _PALETTE, _CMYK, _YCBCR):
        raise ImageReadError(f"its colours are {_name(page.photometric)}; expected grey, RGB, a palette or CMYK")
    bits, sample = page.bitspersample, int(page.sampleformat)
    if isinstance(bits, tuple):
        raise ImageReadError(f"its channels have {', '.join(map(str, bits))} bits; expected as many each")
    if sample != 1:
        of = {2: "signed", 3: "floating-point"}.get(sample, "other than unsigned")
        raise ImageReadError(f"pixels are {of} ({page.dtype}); expected 8 or 16 bits a channel, unsigned")
    few = {_GREY: (1,), _GREY_INVERTED: (1,), _PALETTE: (1, 2, 4)}.get(kind, ())
    if bits not in (8, 16, *few):
        raise ImageReadError(f"{bits} bits a channel; expected 8 or 16")
    beyond = page.samplesperpixel - _colours(kind)
    if beyond not in (0, 1) or (beyond and kind in (_PALETTE, _CMYK, _YCBCR)):
        raise ImageReadError(f"{page.samplesperpixel} channels; expected {_colours(kind)}, and perhaps alpha")
    return kind


def _colours(kind: int) -> int:
    return {_RGB: 3, _YCBCR: 3, _CMYK: 4}.get(kind, 1)


def _as_grey_or_rgb(page: TiffPage, kind: int, decoded: Pixels) -> tuple[Pixels, list[str]]:
    """Returns the colours ``(h, w, 1 or 3)``, and what became of them in words."""
    notes = []
    highest = np.iinfo(decoded.dtype).max if decoded.dtype != bool else 1
    pixels = decoded[:, :, : _colours(kind)]
    if kind == _PALETTE:
        # ``(3, n)`` of 16 bits, whatever the image has; writers that took 8 for 16 left the upper half empty.
        palette = np.asarray(page.colormap)
        palette = palette if palette.max() < 256 else palette >> 8
        pixels = palette.astype(np.uint8).T[pixels[:, :, 0].astype(np.intp)]
        notes.append("its palette became RGB")
    elif kind == _CMYK:
        inverted = highest - pixels.astype(np.uint32)
        pixels = ((inverted[:, :, :3] * inverted[:, :, 3:] + highest // 2) // highest).astype(decoded.dtype)
        notes.append("CMYK became RGB")
    elif kind == _GREY_INVERTED:
        pixels = highest - pixels
    if decoded.dtype == bool and kind != _PALETTE:
        pixels = pixels.astype(np.uint8) * 255
        notes.append("its 1 bit a pixel became 8")
    return pixels, notes


def _is_whole(page: TiffPage, length: int) -> bool:
    """Tells whether all strips or tiles that there should be lie within the file."""
    places = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    expected = int(np.prod(page.chunked))
    if len(page.dataoffsets) != len(page.databytecounts) or len(places) < expected:
        return False
    if not all(start > 0 and size > 0 and start + size <= length for start, size in places):
        return False
    # A strip that is stored as it is could be shorter than it should be: the rest would be made up.
    return int(page.compression) != 1 or sum(page.databytecounts) >= (page.nbytes if page.bitspersample != 1 else 0)


def _orientation(page: TiffPage) -> int:
    tag = page.tags.get(_ORIENTATION)
    value = tag.value if tag is not None else 1
    return int(value) if value in range(1, 9) else 1


def _density(page: TiffPage) -> tuple[float, float] | None:
    """Returns the pixels an inch."""
    across, down = page.tags.get(282), page.tags.get(283)
    unit = page.tags.get(296)
    scale = _INCHES.get(2 if unit is None else int(unit.value))
    if across is None or down is None or scale is None:
        return None
    (across_of, across_by), (down_of, down_by) = across.value, down.value
    if not (across_of and across_by and down_of and down_by):
        return None
    return scale * across_of / across_by, scale * down_of / down_by


def _bytes(page: TiffPage, tag: int) -> bytes | None:
    found = page.tags.get(tag)
    return bytes(found.value) if found is not None and isinstance(found.value, bytes) else None


def _exif_block(data: bytes) -> bytes | None:
    """Returns what the file says of the picture as an EXIF block of its own; ``None`` where it says nothing."""
    from PIL import Image as Pillow
    from PIL import TiffImagePlugin

    opened = TiffImagePlugin.ImageFileDirectory_v2(data[:8] if data[2:4] in (b"*\0", b"\0*") else data[:16])
    stream = io.BytesIO(data)
    stream.seek(opened.next)
    opened.load(stream)
    block = Pillow.Exif()
    for tag, value in opened.items():
        if tag in _DESCRIBING:
            block[tag] = value
    for tag in (_EXIF, _GPS):
        if tag in opened:
            inner = TiffImagePlugin.ImageFileDirectory_v2(data[:8], group=tag)
            stream.seek(int(opened[tag]))
            inner.load(stream)
            block.get_ifd(tag).update(inner)
    return block.tobytes().removeprefix(b"Exif\0\0") if len(block) or block._ifds else None


def _directories(block: bytes | None) -> tuple[list[tuple[int, int, int, Any, bool]], dict[int, Any]]:
    """Returns an EXIF block as tifffile's extra tags, and as directories by the tag that points to them."""
    from PIL import Image as Pillow
    from PIL import TiffImagePlugin

    if block is None:
        return [], {}
    read = Pillow.Exif()
    read.load(b"Exif\0\0" + block)
    tags: list[tuple[int, int, int, Any, bool]] = []
    for tag, value in read.items():
        if tag in _DESCRIBING or tag == 305:
            if isinstance(value, str):
                tags.append((tag, 2, 0, value, True))
            elif isinstance(value, bytes):
                tags.append((tag, 1 if tag != 33723 else 7, len(value), value, True))
            elif isinstance(value, int):
                tags.append((tag, 3, 1, value, True))
    directories = {}
    for tag in (_EXIF, _GPS):
        if inner := read.get_ifd(tag):
            directory = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0", group=tag)
            for key, value in inner.items():
                directory[key] = value
            directories[tag] = directory
    return tags, directories


def _name(value: Any) -> str:
    return str(getattr(value, "name", value))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
