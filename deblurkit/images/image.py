"""An image as its file holds it: pixels, alpha, and what the file says of itself."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from mmap import mmap

import numpy as np

from deblurkit.errors import UserError

Pixels = np.ndarray
"""Of ``uint8`` or ``uint16``."""

Buffer = bytes | mmap
"""A file's bytes, in memory or mapped."""


class ImageReadError(UserError):
    """A file that is no image, is damaged, too large, or holds something that is not supported."""


@dataclass(frozen=True)
class Header:
    """What is known of an image before it is decoded.

    Attributes:
        height: Of the upright image.
        width: Likewise.
        whole: Whether the file ends as its format does; where it does not, decoding it tells.
        frames: Pages or frames in the file.
    """

    height: int
    width: int
    whole: bool = True
    frames: int = 1


@dataclass(frozen=True)
class Metadata:
    """What a file says besides its pixels; ``None`` where it says nothing.

    Attributes:
        profile: The ICC profile: which colours the numbers mean.
        exif: A TIFF stream, without the ``Exif`` that JPEG puts in front of it; its orientation is 1.
        xmp: An XMP packet; its orientation is 1.
        density: Pixels an inch, across and down.
    """

    profile: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    density: tuple[float, float] | None = None


@dataclass(frozen=True)
class JpegCoding:
    """How a JPEG file was compressed.

    Attributes:
        tables: Its quantisation tables: one for all channels, one for brightness and one for chroma, or one for each
            channel; 64 numbers each, row by row.
        sampling: Of chroma: 4:4:4, 4:2:2 or 4:2:0.
    """

    tables: tuple[tuple[int, ...], ...]
    sampling: str


@dataclass(frozen=True)
class Block:
    """A part of a file that only a file of the same format takes, as it stands there: a JPEG segment or a PNG chunk."""

    kind: bytes
    content: bytes


def split(decoded: Pixels) -> tuple[Pixels, Pixels | None]:
    """Returns the colours ``(h, w, 1 or 3)`` of a decoder's ``(h, w)`` or ``(h, w, 1 to 4)``, and alpha, if any."""
    decoded = decoded.reshape(*decoded.shape[:2], -1)
    channels = decoded.shape[2]
    alpha = decoded[:, :, -1] if channels in (2, 4) else None
    return decoded[:, :, : 1 if channels < 3 else 3], alpha


@dataclass(frozen=True, eq=False)
class Image:
    """An image, upright.

    Attributes:
        pixels: As stored, ``uint8`` or ``uint16``: RGB ``(h, w, 3)``, or grey ``(h, w, 1)``.
        alpha: Opacity ``(h, w)`` of the same type. The colours under it are as stored; nothing is composited.
        premultiplied: Whether the stored colours were multiplied by alpha, as TIFF may say.
        metadata: What the file says besides, in terms that most formats share.
        blocks: What else it says, in terms of its own format.
        jpeg: How it was compressed, where it was a JPEG file.
        notes: What the file holds that is not kept, or became something else, in words.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    premultiplied: bool = False
    metadata: Metadata = field(default_factory=Metadata)
    blocks: tuple[Block, ...] = ()
    jpeg: JpegCoding | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        pixels, alpha = self.pixels, self.alpha
        if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or pixels.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"expected uint8 or uint16 (h, w, 1 or 3), got {pixels.dtype} {pixels.shape}")
        if alpha is not None and (alpha.shape != pixels.shape[:2] or alpha.dtype != pixels.dtype):
            raise ValueError(f"expected alpha {pixels.dtype} {pixels.shape[:2]}, got {alpha.dtype} {alpha.shape}")

    @property
    def is_grey(self) -> bool:
        """Whether there is one channel."""
        return self.pixels.shape[2] == 1

    @property
    def bits(self) -> int:
        """8 or 16 bits a channel."""
        return 8 * self.pixels.itemsize

    def rgb(self) -> Pixels:
        """Returns ``(h, w, 3)``; grey is repeated."""
        return np.repeat(self.pixels, 3, axis=2) if self.is_grey else self.pixels

    def samples(self) -> Pixels:
        """Returns colours and alpha as encoders take them: ``(h, w)`` for grey alone, else ``(h, w, 2 to 4)``."""
        joined = self.pixels if self.alpha is None else np.dstack([self.pixels, self.alpha])
        return np.ascontiguousarray(joined[:, :, 0] if joined.shape[2] == 1 else joined)

    def with_pixels(self, pixels: Pixels) -> Image:
        """Returns the same image with other pixels of the same size and type.

        RGB in place of grey is averaged: the mean of three equal channels is that channel.
        """
        if self.is_grey and pixels.shape[2] == 3:
            total = pixels.sum(axis=2, dtype=np.uint32, keepdims=True)
            pixels = ((total + 1) // 3).astype(pixels.dtype)  # to the nearest: halves do not occur in thirds
        return dataclasses.replace(self, pixels=pixels)
