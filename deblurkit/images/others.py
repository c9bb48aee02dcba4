"""WebP, AVIF and BMP files, through Pillow."""

from __future__ import annotations

import io
import threading
import warnings
from contextlib import contextmanager
from mmap import mmap
from typing import IO, TYPE_CHECKING, Literal, cast

import numpy as np

from deblurkit.images import exif
from deblurkit.images.image import Buffer, Header, Image, ImageReadError, Metadata, Pixels
from deblurkit.images.orient import turned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from PIL.ImageFile import ImageFile

Kind = Literal["WEBP", "AVIF", "BMP"]
MAX_SIDE = {"WEBP": 16383, "AVIF": 65536, "BMP": 2**31 - 1}
AVIF_QUALITY = 90
_GREY = ("1", "L", "LA")
_FILTERS = threading.Lock()
_DEEP, _MONOCHROME = 0x40, 0x10  # of an AVIF file: more than 8 bits, which Pillow drops in silence; and no colour


def probe(data: Buffer, kind: Kind) -> Header:
    """Reads the header."""
    if kind == "WEBP":
        return _probe_webp(data)
    with _opened(data, kind) as opened:
        width, height = opened.size
        if exif.is_sideways(_orientation(opened.info.get("exif") or b"")):
            height, width = width, height
        # Some writers of BMP files leave the length 0.
        length = _end_of_boxes(data) if kind == "AVIF" else int.from_bytes(data[2:6], "little")
        return Header(height, width, len(data) >= length, getattr(opened, "n_frames", 1))


def _end_of_boxes(data: Buffer) -> int:
    """Returns where the last of an AVIF file's boxes ends, by what they say of their lengths."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size < 8:  # 0 is that of the last one, which ends with the file
            break
        at += size
    return at


def _probe_webp(data: Buffer) -> Header:
    """Reads the header without libwebp, which makes room for the whole image before it tells how large it is."""
    size, frames, block = None, 0, b""
    for kind, start, end in _webp_chunks(data):
        head = data[start : start + 10]
        if kind == b"VP8X" and len(head) == 10:
            size = int.from_bytes(head[7:10], "little") + 1, int.from_bytes(head[4:7], "little") + 1
        elif kind == b"VP8L" and len(head) >= 5:
            sides = int.from_bytes(head[1:5], "little")
            size = size or ((sides >> 14 & 0x3FFF) + 1, (sides & 0x3FFF) + 1)
        elif kind == b"VP8 " and len(head) == 10:
            sides = int.from_bytes(head[6:10], "little")
            size = size or (sides >> 16 & 0x3FFF, sides & 0x3FFF)
        elif kind == b"EXIF":
            block = block or data[start:end]
        frames += kind == b"ANMF"
    if size is None:
        raise ImageReadError("damaged or cut short: a WebP file that does not say how large it is")
    height, width = size[::-1] if exif.is_sideways(_orientation(block)) else size
    whole = len(data) >= int.from_bytes(data[4:8], "little") + 8
    return Header(height, width, whole, max(1, frames))


def _webp_chunks(data: Buffer) -> Iterator[tuple[bytes, int, int]]:
    """Yields the chunks' kinds, and where their contents begin and end."""
    at = 12
    while at + 8 <= len(data):
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        yield data[at : at + 4], at + 8, end
        at = end + end % 2


def decode(data: bytes, kind: Kind) -> Image:
    """Decodes a whole file; palettes become RGB.

    Raises:
        ImageReadError: It is damaged or cut short, or has more than 8 bits a channel.
    """
    with _opened(data, kind) as opened:
        notes = []
        try:
            # before the pixels are decoded: it may be refused for its depth
            if kind == "AVIF" and _coded_as(data) & _DEEP:
                raise ImageReadError("10 or 12 bits a channel in an AVIF file; expected 8")
            opened.load()
            if opened.mode in ("P", "PA"):
                notes.append("its palette became RGB")
            elif opened.mode == "1":
                notes.append("its 1 bit a pixel became 8")
            has_alpha = opened.has_transparency_data
            mode = "RGBA" if has_alpha else "RGB"
            if opened.mode in _GREY:
                mode = "LA" if has_alpha else "L"
            is_grey = opened.mode in _GREY or (kind == "AVIF" and bool(_coded_as(data) & _MONOCHROME))
            decoded = np.asarray(opened if opened.mode == mode else opened.convert(mode))
        except (OSError, ValueError, SyntaxError) as error:
            raise ImageReadError(f"damaged or cut short: {error}") from None
        decoded = decoded.reshape(*decoded.shape[:2], -1)
        alpha = decoded[:, :, -1] if has_alpha else None
        pixels: Pixels = decoded[:, :, : 1 if is_grey else 3]
        info = opened.info
        block = info.get("exif") or None
        dots = info.get("dpi")
        density = None if dots is None else (float(dots[0]), float(dots[1]))
        metadata = Metadata(
            info.get("icc_profile") or None,
            None if block is None else block.removeprefix(b"Exif\0\0"),
            info.get("xmp") or None,
            density,
        )
        return turned(Image(pixels, alpha, metadata=metadata, notes=tuple(notes)))


def encode(image: Image, kind: Kind, quality: int | None = None) -> bytes:
    """Returns a file: BMP without loss, WebP too unless it is given a ``quality`` up to 100, AVIF at 90 by default."""
    from PIL import Image as Pillow

    settings: dict[str, object] = {}
    metadata = image.metadata
    if kind != "BMP":
        if metadata.profile is not None:
            settings["icc_profile"] = metadata.profile
        if metadata.exif is not None:
            settings["exif"] = metadata.exif
            if kind == "AVIF":
                # AVIF has an orientation of its own. Pillow would write the whole block anew to take it out.
                settings["exif"] = b"Exif\0\0" + exif.without_orientation(metadata.exif)
        if metadata.xmp is not None:
            settings["xmp"] = metadata.xmp
    if kind == "WEBP":
        settings |= {"lossless": True, "exact": True} if quality is None else {"quality": quality}
    elif kind == "AVIF":
        # One quality for both, and alpha is to be exact, which it is at 100.
        usual = AVIF_QUALITY if image.alpha is None else 100
        settings |= {"quality": quality or usual, "subsampling": "4:0:0" if image.is_grey else "4:4:4"}
    elif metadata.density is not None:
        settings["dpi"] = metadata.density
    encoded = io.BytesIO()
    with _unwarned():
        Pillow.fromarray(image.samples()).save(encoded, kind, **settings)
    return encoded.getvalue()


def _opened(data: Buffer, kind: Kind) -> ImageFile:
    """Opens a file without decoding its pixels."""
    from PIL import AvifImagePlugin, BmpImagePlugin, WebPImagePlugin

    classes: dict[Kind, Callable[[IO[bytes]], ImageFile]] = {
        "AVIF": AvifImagePlugin.AvifImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "WEBP": WebPImagePlugin.WebPImageFile,
    }
    stream = cast("IO[bytes]", data) if isinstance(data, mmap) else io.BytesIO(data)
    try:
        # The class, not Image.open: that has a limit of its own, for the whole process.
        with _unwarned():
            return classes[kind](stream)
    except (OSError, ValueError, SyntaxError, IndexError, KeyError, TypeError) as error:
        raise ImageReadError(f"damaged or cut short: {error}") from None


@contextmanager
def _unwarned() -> Iterator[None]:
    """Drops Pillow's warnings of damaged EXIF blocks, for which the user's terminal is no place."""
    # Python's filters are the whole process's: two threads that each put them back would leave them changed.
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _orientation(block: bytes) -> int:
    return exif.orientation(block.removeprefix(b"Exif\0\0"))


def _coded_as(data: bytes) -> int:
    """Returns the byte of an AVIF file's configuration that names depth and channels, which Pillow does not tell."""
    at = data.find(b"av1C")
    return data[at + 6] if 0 <= at < len(data) - 6 else 0
