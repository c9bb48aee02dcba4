"""HEIC files and camera RAW, for which the extras ``heic`` and ``raw`` bring the decoders."""

from __future__ import annotations

import io
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from deblurkit.images.image import Buffer, Header, Image, ImageReadError, Metadata, split
from deblurkit.images.orient import turned

if TYPE_CHECKING:
    from pillow_heif import HeifFile


def probe_heic(data: Buffer) -> Header:
    """Reads the header."""
    opened = _heif(data)
    width, height = opened.size
    return Header(height, width, frames=len(opened))


def decode_heic(data: bytes) -> Image:
    """Decodes a whole file; more than 8 bits become 16.

    Raises:
        ImageReadError: It is damaged or cut short, or the extra ``heic`` is not installed.
    """
    opened = _heif(data)
    try:
        pixels, alpha = split(np.asarray(opened))
    except Exception as error:  # of libheif, on bytes that nobody has checked
        raise ImageReadError(f"damaged or cut short: {error}") from None
    info = opened.info
    block = info.get("exif")
    metadata = Metadata(
        info.get("icc_profile") or None,
        None if not block else block.removeprefix(b"Exif\0\0"),
        info.get("xmp") or None,
    )
    image = Image(
        pixels,
        alpha,
        premultiplied=alpha is not None and opened.premultiplied_alpha,
        metadata=metadata,
        notes=("written as PNG: HEIC is only read",),
    )
    # libheif has turned the pixels already, by what the format itself says; EXIF only repeats it.
    return turned(image, 1)


def probe_raw(data: Buffer) -> Header:
    """Reads the header."""
    rawpy = _imported("rawpy", "raw")
    try:
        with rawpy.imread(io.BytesIO(data[:])) as opened:
            sizes = opened.sizes
    except rawpy.LibRawError as error:
        raise ImageReadError(f"damaged or cut short: {_words(error)}") from None
    turned_sideways = sizes.flip in (5, 6)
    height, width = (sizes.iwidth, sizes.iheight) if turned_sideways else (sizes.iheight, sizes.iwidth)
    return Header(height, width)


def decode_raw(data: bytes) -> Image:
    """Develops a camera's RAW file to sRGB of 16 bits, with its own white balance and no automatic brightness.

    Raises:
        ImageReadError: It is damaged or of an unknown camera, or the extra ``raw`` is not installed.
    """
    rawpy = _imported("rawpy", "raw")
    try:
        with rawpy.imread(io.BytesIO(data)) as opened:
            developed = opened.postprocess(use_camera_wb=True, no_auto_bright=True, output_bps=16)
    except rawpy.LibRawError as error:
        raise ImageReadError(f"damaged or cut short: {_words(error)}") from None
    return Image(np.asarray(developed), notes=("developed to sRGB and written as TIFF, without its metadata",))


def _heif(data: Buffer) -> HeifFile:
    heif = _imported("pillow_heif", "heic")
    try:
        opened: HeifFile = heif.open_heif(io.BytesIO(data[:]), convert_hdr_to_8bit=False)
        return opened
    except Exception as error:  # of libheif, on bytes that nobody has checked
        raise ImageReadError(f"damaged or cut short: {error}") from None


def _words(error: Exception) -> str:
    """Returns what LibRaw says, which comes as bytes."""
    said = error.args[0] if error.args else ""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


def _imported(module: str, extra: str) -> ModuleType:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        raise ImageReadError(f"reading it needs {module}: pip install 'deblurkit[{extra}]'") from None
