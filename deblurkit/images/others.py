"""WebP, AVIF and BMP files, through Pillow."""

from __future__ import annotations

import io
from mmap import mmap
from typing import TYPE_CHECKING, Literal

import numpy as np

from deblurkit.images import exif
from deblurkit.images.image import Buffer, Header, Image, ImageReadError, Metadata, Pixels
from deblurkit.images.orient import turned

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

Kind = Literal["WEBP", "AVIF", "BMP"]
MAX_SIDE = {"WEBP": 16383, "AVIF": 65536, "BMP": 2**31 - 1}
AVIF_QUALITY = 90
_GREY = ("1", "L", "LA")


def probe(data: Buffer, kind: Kind) -> Header:
    """Reads the header."""
    with _opened(data, kind) as opened:
        width, height = opened.size
        if exif.is_sideways(_orientation(opened)):
            height, width = width, height
        whole = kind != "WEBP" or len(data) >= int.from_bytes(data[4:8], "little") + 8
        return Header(height, width, whole=whole, frames=getattr(opened, "n_frames", 1))


def decode(data: bytes, kind: Kind) -> Image:
    """Decodes a whole file; palettes become RGB.

    Raises:
        ImageReadError: It is damaged or cut short, or has more than 8 bits a channel.
    """
    with _opened(data, kind) as opened:
        notes = []
        try:
            # before the pixels are decoded: it may be refused for its depth
            if kind == "AVIF" and _is_deep(data):
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
            decoded = np.asarray(opened if opened.mode == mode else opened.convert(mode))
        except (OSError, ValueError, SyntaxError) as error:
            raise ImageReadError(f"damaged or cut short: {error}") from None
        decoded = decoded.reshape(*decoded.shape[:2], -1)
        alpha = decoded[:, :, -1] if has_alpha else None
        pixels: Pixels = decoded[:, :, : 1 if opened.mode in _GREY else 3]
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

    pixels = image.pixels if image.alpha is None else np.dstack([image.pixels, image.alpha])
    settings: dict[str, object] = {}
    metadata = image.metadata
    if kind != "BMP":
        if metadata.profile is not None:
            settings["icc_profile"] = metadata.profile
        if metadata.exif is not None:
            settings["exif"] = metadata.exif if kind == "WEBP" else b"Exif\0\0" + metadata.exif
        if metadata.xmp is not None:
            settings["xmp"] = metadata.xmp
    if kind == "WEBP":
        settings |= {"lossless": True, "exact": True} if quality is None else {"quality": quality}
    elif kind == "AVIF":
        settings |= {"quality": quality or AVIF_QUALITY, "subsampling": "4:4:4"}
    elif metadata.density is not None:
        settings["dpi"] = metadata.density
    encoded = io.BytesIO()
    Pillow.fromarray(np.ascontiguousarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)).save(
        encoded, kind, **settings
    )
    return encoded.getvalue()


def _opened(data: Buffer, kind: Kind) -> ImageFile:
    """Opens a file without decoding its pixels."""
    from PIL import AvifImagePlugin, BmpImagePlugin, WebPImagePlugin

    classes = {
        "AVIF": AvifImagePlugin.AvifImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "WEBP": WebPImagePlugin.WebPImageFile,
    }
    stream = data if isinstance(data, mmap) else io.BytesIO(data)
    try:
        # The class, not Image.open: that has a limit of its own, for the whole process.
        return classes[kind](stream)
    except (OSError, ValueError, SyntaxError, IndexError, KeyError, TypeError) as error:
        raise ImageReadError(f"damaged or cut short: {error}") from None


def _orientation(opened: ImageFile) -> int:
    block = opened.info.get("exif") or b""
    return exif.orientation(block.removeprefix(b"Exif\0\0"))


def _is_deep(data: Buffer) -> bool:
    """Tells whether an AVIF file's configuration names more than 8 bits; Pillow would drop them in silence."""
    at = data.find(b"av1C")
    return at >= 0 and len(data) > at + 6 and bool(data[at + 6] & 0x40)
