"""Formats of image files: how they are told apart, what they hold, and by which name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deblurkit.images import jpeg, others, png, tiff


@dataclass(frozen=True)
class Format:
    """A format of image files.

    Attributes:
        name: As people call it.
        suffixes: Endings of file names, in lower case, the usual one first.
        max_side: The longest side that can be written, in pixels; 0 where the format is only read.
        bits: Bits a channel that can be written, the most first.
        alpha: Whether it holds alpha.
        written_as: The ending of the format that stands in for one that is only read.
    """

    name: str
    suffixes: tuple[str, ...]
    max_side: int = 0
    bits: tuple[int, ...] = (8,)
    alpha: bool = False
    written_as: str = ""


PNG = Format("PNG", (".png",), png.MAX_SIDE, (16, 8), alpha=True)
JPEG = Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), jpeg.MAX_SIDE)
TIFF = Format("TIFF", (".tif", ".tiff"), tiff.MAX_SIDE, (16, 8), alpha=True)
WEBP = Format("WebP", (".webp",), others.MAX_SIDE["WEBP"], alpha=True)
AVIF = Format("AVIF", (".avif",), others.MAX_SIDE["AVIF"], alpha=True)
BMP = Format("BMP", (".bmp",), others.MAX_SIDE["BMP"])
HEIC = Format("HEIC", (".heic", ".heif"), written_as=".png")
RAW = Format("camera RAW", (".dng", ".arw", ".cr2", ".cr3", ".nef", ".orf", ".pef", ".raf", ".rw2"), written_as=".tif")

FORMATS = (PNG, JPEG, TIFF, WEBP, AVIF, BMP, HEIC, RAW)
_BY_SUFFIX = {suffix: kind for kind in FORMATS for suffix in kind.suffixes}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def named(path: str | Path) -> Format | None:
    """Returns the format that a file's name stands for."""
    return _BY_SUFFIX.get(Path(path).suffix.lower())


def told(data: bytes) -> Format | None:
    """Returns the format that a file begins like; camera RAW is told from TIFF by the name alone."""
    if data[:8] == png.SIGNATURE:
        return PNG
    if data[:3] == b"\xff\xd8\xff":
        return JPEG
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return TIFF
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WEBP
    if data[:2] == b"BM":
        return BMP
    if data[4:8] == b"ftyp":
        # the main brand, then all that the file is compatible with
        length = min(int.from_bytes(data[:4], "big"), 256)
        brands = {data[at : at + 4] for at in (8, *range(16, length, 4))}
        if brands & _AVIF_BRANDS:
            return AVIF
        if brands & _HEIC_BRANDS:
            return HEIC
    return None
