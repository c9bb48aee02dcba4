"""TIFF files, classic and Big: read as their tags say, or refused by name; written by tifffile."""

from __future__ import annotations

import io
from contextlib import contextmanager
from mmap import mmap
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from deblurkit.errors import one_line
from deblurkit.images import directories, exif, jpeg
from deblurkit.images.directories import Directory
from deblurkit.images.image import Buffer, Header, Image, ImageReadError, Metadata, Pixels
from deblurkit.images.orient import turned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tifffile import TiffPage

MAX_SIDE = 2**31 - 1

_ORIENTATION, _XMP, _PROFILE = 274, 700, 34675
_REDUCED, _MASK = 1, 4  # bits of a page's kind: a smaller copy of another page, or a mask of it
_GREY, _GREY_INVERTED, _RGB, _PALETTE, _CMYK, _YCBCR = 1, 0, 2, 3, 5, 6
_PREMULTIPLIED = 1
_STORED, _OLD_JPEG, _JPEG = 1, 6, (7, 34892, 33007)  # kinds of compression
# Tags of the first directory that say what is in the picture and who made it; the others say how it is stored.
_DESCRIBING = {269, 270, 271, 272, 285, 305, 306, 315, 316, 18246, 18249, 33432, 33723, *range(40091, 40096)}
_MOST_TILES = 1 << 20  # pixels of a tile that may be larger than the image


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
        decoded = _decoded(page, data)
        pixels, notes = _as_grey_or_rgb(page, kind, decoded)
        colours = _colours(kind)
        alpha = decoded[:, :, colours] if decoded.shape[2] > colours else None
        block, density = _said(data, notes)
        profile = _bytes(page, _PROFILE)
        if kind == _CMYK and profile:
            profile = None
            notes.append("the ICC profile, of CMYK, is not kept")
        image = Image(
            np.ascontiguousarray(pixels),
            None if alpha is None else np.ascontiguousarray(alpha),
            premultiplied=alpha is not None and tuple(page.extrasamples)[:1] == (_PREMULTIPLIED,),
            metadata=Metadata(profile, block, _bytes(page, _XMP), density),
            notes=tuple(notes),
        )
        return turned(image, _orientation(page))


def encode(image: Image) -> bytes:
    """Returns a file that is compressed without loss (deflate with horizontal prediction)."""
    import tifffile

    samples = image.samples()
    extra: list[int] = [] if image.alpha is None else [_PREMULTIPLIED if image.premultiplied else 2]
    metadata = image.metadata
    order, described = "<", Directory()
    if metadata.exif is not None:
        how = directories.layout(metadata.exif)
        read = directories.read(metadata.exif, how, directories.first(metadata.exif, how))
        # The file takes the block's byte order, so that the numbers in it need no turning.
        order, described = how.order, _describing(read)
    if metadata.xmp is not None:
        described.entries[_XMP] = (directories.BYTE, len(metadata.xmp), metadata.xmp)
    written = io.BytesIO()
    tifffile.imwrite(
        written,
        samples,
        byteorder=order,  # type: ignore[arg-type]
        photometric="minisblack" if image.is_grey else "rgb",
        extrasamples=extra or None,
        planarconfig="contig" if samples.ndim == 3 else None,
        compression="zlib",
        predictor=True,
        metadata=None,
        software=False,
        iccprofile=metadata.profile,
        resolution=metadata.density,
        resolutionunit="inch" if metadata.density is not None else None,
    )
    encoded = written.getvalue()
    return directories.appended(encoded, directories.layout(encoded), described)


@contextmanager
def _pages(data: Buffer) -> Iterator[list[TiffPage]]:
    """Opens a file and gives its pages, without smaller copies and masks of others."""
    import tifffile

    try:
        stream = cast("IO[bytes]", data) if isinstance(data, mmap) else io.BytesIO(data)
        with tifffile.TiffFile(stream) as opened:
            listed = cast("Sequence[TiffPage]", opened.pages)
            pages = [page for page in listed if not page.subfiletype & (_REDUCED | _MASK)]
            if not pages:
                raise ImageReadError("damaged or cut short: no page of it is an image")
            yield pages
    except ImageReadError:
        raise
    except Exception as error:  # of a parser of directories, on bytes that nobody has checked
        raise ImageReadError(f"damaged or cut short: {one_line(error)[:200]}") from None


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
    if page.compression == _OLD_JPEG or (kind == _YCBCR and page.compression not in _JPEG):
        raise ImageReadError(f"its colours are {_name(page.photometric)}, compressed as {_name(page.compression)}")
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


def _decoded(page: TiffPage, data: bytes) -> Pixels:
    """Returns all samples of a page ``(h, w, samples)``.

    Raises:
        ImageReadError: A part of them is not there, or is damaged.
    """
    if not _is_whole(page, len(data)):
        raise ImageReadError("damaged or cut short: a part of its pixels lies beyond its end")
    if page.compression in _JPEG:
        # The decoder below reads on where data are missing, and makes something up.
        tables = page.jpegtables or b"\xff\xd8\xff\xd9"
        for start, size in zip(page.dataoffsets, page.databytecounts, strict=True):
            jpeg.decode_pixels(tables[:-2] + data[start + 2 : start + size])
    try:
        # In this thread alone, which is the one that tifffile's log is not heard of.
        decoded = np.asarray(page.asarray(maxworkers=1))
    except Exception as error:  # of one of many codecs, on bytes that nobody has checked
        raise ImageReadError(f"damaged, or compressed in a way that cannot be read: {one_line(error)[:200]}") from None
    # Planar files have the channels in front.
    samples = page.samplesperpixel
    if page.planarconfig == 2 and samples > 1:
        return decoded.reshape(samples, page.imagelength, page.imagewidth).transpose(1, 2, 0)
    return decoded.reshape(page.imagelength, page.imagewidth, samples)


def _is_whole(page: TiffPage, length: int) -> bool:
    """Tells whether all strips or tiles that there should be lie within the file."""
    places = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    expected = int(np.prod(page.chunked))
    if len(page.dataoffsets) != len(page.databytecounts) or len(places) != expected:
        return False
    if not all(start > 0 and size > 0 and start + size <= length for start, size in places):
        return False
    if page.is_tiled and page.tilelength * page.tilewidth > max(4 * page.imagelength * page.imagewidth, _MOST_TILES):
        return False
    # A strip that is stored as it is could be shorter than it should be: the rest would be made up.
    return page.compression != _STORED or all(
        size >= _stored_bytes(page, number) for number, (_, size) in enumerate(places)
    )


def _stored_bytes(page: TiffPage, number: int) -> int:
    """Returns the bytes of a strip or tile that is not compressed."""
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    across, down = page.imagewidth, page.rowsperstrip
    if page.is_tiled:
        across, down = page.tilewidth, page.tilelength
    else:
        # the last strip of a channel has the rows that are left
        strips = -(-page.imagelength // down)
        down = min(down, page.imagelength - number % strips * down)
    return down * -(-across * samples * int(page.bitspersample) // 8)


def _orientation(page: TiffPage) -> int:
    tag = page.tags.get(_ORIENTATION)
    value = tag.value if tag is not None else 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _bytes(page: TiffPage, tag: int) -> bytes | None:
    found = page.tags.get(tag)
    return bytes(found.value) if found is not None and isinstance(found.value, bytes) else None


def _said(data: bytes, notes: list[str]) -> tuple[bytes | None, tuple[float, float] | None]:
    """Returns what the file says of the picture, as an EXIF block of its own, and the pixels an inch."""
    how = directories.layout(data)
    try:
        read = directories.read(data, how, directories.first(data, how), wanted=_DESCRIBING | exif.DENSITY)
    except directories.DamageError as error:
        notes.append(f"its EXIF directories are damaged ({error}), not kept")
        return None, None
    if read.damaged:
        notes.append("damaged entries of EXIF are not kept")
    describing = _describing(read)
    block = directories.block(how, describing) if describing.entries or describing.inner else None
    return block, exif.density_of(read, how)


def _describing(directory: Directory) -> Directory:
    """Returns the part of a first directory that goes from file to file."""
    kept = {tag: entry for tag, entry in directory.entries.items() if tag in _DESCRIBING}
    return Directory(kept, directory.inner)


def _name(value: Any) -> str:
    return str(getattr(value, "name", value))
