"""Reads image files: what they hold, upright, or one line that says why not."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deblurkit.errors import one_line
from deblurkit.images import jpeg, optional, others, png, tiff
from deblurkit.images.formats import AVIF, BMP, HEIC, JPEG, PNG, RAW, TIFF, WEBP, Format, named, told
from deblurkit.images.image import Buffer, Header, Image, ImageReadError
from deblurkit.images.quiet import unheard

MAX_MEGAPIXELS = 250.0
"""The largest image that is decoded, unless the environment variable ``DEBLURKIT_MAX_MEGAPIXELS`` says otherwise."""


def read(path: str | os.PathLike[str], max_megapixels: float | None = None) -> Image:
    """Reads an image file, upright, with all that it says; see :func:`decode`.

    Raises:
        ImageReadError: It cannot be read, is damaged, or holds something that is not supported.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ImageReadError(f"{path}: it cannot be read: {error.strerror or error}") from error
    return decode(data, str(path), max_megapixels)


def decode(data: bytes, place: str, max_megapixels: float | None = None) -> Image:
    """Decodes a whole image file, which messages call ``place``.

    Nothing is decoded before the size in the header was found to be within ``max_megapixels``. Of a file that is
    damaged anywhere nothing is returned.

    Raises:
        ImageReadError: It is damaged, too large, holds several images, or something that is not supported.
    """
    with _saying(place):
        kind = _format_of(data, place)
        _check(_CODECS[kind].probe(data), kind, max_megapixels)
        return _CODECS[kind].decode(data)


def probe(path: str | os.PathLike[str], max_megapixels: float | None = None) -> Header:
    """Reads the header of an image file alone.

    Raises:
        ImageReadError: It cannot be read, is too large, holds several images, or its header is damaged.
    """
    try:
        with open(path, "rb") as file, _saying(str(path)):
            if not os.fstat(file.fileno()).st_size:
                raise ImageReadError(_NO_IMAGE)
            # Mapped, as only a few of its pages are looked at.
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                kind = _format_of(data, str(path))
                header = _CODECS[kind].probe(data)
                _check(header, kind, max_megapixels)
                return header
    except OSError as error:
        raise ImageReadError(f"{path}: it cannot be read: {error.strerror or error}") from error


_NO_IMAGE = "not an image, damaged or cut short"


@dataclass(frozen=True)
class _Codec:
    """How the files of a format are read: the header alone, and all of it."""

    probe: Callable[[Buffer], Header]
    decode: Callable[[bytes], Image]


def _by_pillow(kind: others.Kind) -> _Codec:
    return _Codec(partial(others.probe, kind=kind), partial(others.decode, kind=kind))


_CODECS: dict[Format, _Codec] = {
    PNG: _Codec(png.probe, png.decode),
    JPEG: _Codec(jpeg.probe, jpeg.decode),
    TIFF: _Codec(tiff.probe, tiff.decode),
    WEBP: _by_pillow("WEBP"),
    AVIF: _by_pillow("AVIF"),
    BMP: _by_pillow("BMP"),
    HEIC: _Codec(optional.probe_heic, optional.decode_heic),
    RAW: _Codec(optional.probe_raw, optional.decode_raw),
}


def _format_of(data: Buffer, place: str) -> Format:
    """Returns the format that the file begins like, and camera RAW by its name."""
    kind = RAW if named(place) is RAW else told(data[:256])
    if kind is None:
        raise ImageReadError(_NO_IMAGE)
    return kind


def _check(header: Header, kind: Format, max_megapixels: float | None) -> None:
    """Refuses what is too large, and files of several images, before anything is decoded."""
    if header.frames > 1:
        raise ImageReadError(f"{header.frames} images in one {kind.name} file; expected one")
    if not header.height or not header.width:
        raise ImageReadError(f"damaged: its header names {header.width}x{header.height} pixels")
    if max_megapixels is None:
        max_megapixels = _limit()
    megapixels = header.height * header.width / 1e6
    if megapixels > max_megapixels:
        rounded = f"{megapixels:.0f}" if megapixels >= 10 else f"{megapixels:.2g}"
        size = f"{header.width}x{header.height} pixels are {rounded} megapixels"
        raise ImageReadError(
            f"{size}, more than {max_megapixels:g}: raise --max-megapixels, or DEBLURKIT_MAX_MEGAPIXELS"
        )


def _limit() -> float:
    """Returns the megapixels that the environment allows."""
    said = os.environ.get("DEBLURKIT_MAX_MEGAPIXELS", "").strip()
    if not said:
        return MAX_MEGAPIXELS
    try:
        limit = float(said)
    except ValueError:
        limit = 0.0
    if not limit > 0:
        raise ImageReadError(f"DEBLURKIT_MAX_MEGAPIXELS is {said!r}; expected a number above 0")
    return limit


@contextmanager
def _saying(place: str) -> Iterator[None]:
    """Puts the file's name in front of what is wrong with it, in one line, whatever a decoder raises."""
    try:
        with unheard():
            yield
    except ImageReadError as error:
        raise ImageReadError(f"{place}: it cannot be decoded: {one_line(error)}") from error.__cause__
    except MemoryError:
        raise ImageReadError(f"{place}: the memory does not suffice to decode it") from None
    except ImportError:  # of an installation, not of the file
        raise
    except Exception as error:  # decoders raise anything on bytes that nobody has checked
        why = one_line(error)[:200]
        raise ImageReadError(f"{place}: it cannot be decoded: damaged or cut short ({why})") from error
