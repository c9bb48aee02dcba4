"""Images as arrays and tensors: RGB, whatever the file holds besides.

Everywhere in the package an image is an RGB array ``(h, w, 3)`` of ``uint8`` or ``uint16``, or a float32 tensor
``(3, h, w)`` in [0, 1]. :mod:`deblurkit.images` reads and writes the files.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from deblurkit.errors import UserError
from deblurkit.images import reading, writing
from deblurkit.images.formats import named
from deblurkit.images.image import Image, ImageReadError

__all__ = [
    "IMAGE_SUFFIXES",
    "ImageReadError",
    "beside",
    "decode_image",
    "encode_image",
    "image_size",
    "is_image",
    "read_image",
    "to_tensor",
    "to_uint8",
    "write_image",
]

IMAGE_SUFFIXES = tuple(suffix for kind in writing.WRITTEN for suffix in kind.suffixes)
"""File name endings, in lower case, that are taken for images and can be written."""

_DECODING = threading.Lock()


def is_image(path: str | os.PathLike[str]) -> bool:
    """Tells whether the name ends as an image's; hidden files (``._0001.png``) are none."""
    path = Path(path)
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads an image as it is meant to be seen.

    Grey is repeated over three channels, palettes and CMYK become RGB, EXIF orientation is applied. An alpha
    channel is dropped and the colours under it are kept as stored: nothing is composited.

    Returns:
        RGB ``(h, w, 3)``, ``uint16`` where the file has 16 bits a channel, else ``uint8``.

    Raises:
        ImageReadError: See :func:`deblurkit.images.reading.decode`.
    """
    return reading.read(path).rgb()


def decode_image(data: bytes, place: str) -> np.ndarray:
    """Decodes a whole image file, which messages call ``place``, as :func:`read_image` does."""
    return reading.decode(data, place).rgb()


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Returns ``(h, w)`` as :func:`read_image` would give it, from the header alone where that is safe.

    The end of the file is looked at too; where it is not as its format ends, the file is decoded to find out.

    Raises:
        ImageReadError: As :func:`read_image`; damage in the middle of a file goes unnoticed.
    """
    header = reading.probe(path)
    if not header.whole:
        # Many threads may ask for sizes; one image at a time is what the memory holds for certain.
        with _DECODING:
            reading.read(path)
    return header.height, header.width


def write_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Writes an image in the format that the file name's ending says, whole or not at all.

    JPEG is written with quality 95 and AVIF with 90, all other formats without loss. The folder must exist.

    Args:
        path: Where to; replaced if it exists.
        image: RGB ``(h, w, 3)``, ``uint8``, or ``uint16`` for PNG and TIFF.

    Raises:
        UserError: The ending is not known, the format cannot hold the image, or the file cannot be written.
        ValueError: The array is no such image.
    """
    writing.write(Path(path), Image(image))


def encode_image(image: np.ndarray, suffix: str, quality: int | None = None, level: int = 1) -> bytes:
    """Returns the bytes of an image file of the format that ``suffix``, a file name's ending, names.

    Takes the arrays that :func:`write_image` takes; ``quality`` and ``level`` as
    :func:`deblurkit.images.writing.encode`.

    Raises:
        UserError: The format cannot hold the image.
    """
    kind, held = named(f"image{suffix}"), Image(image)
    if kind is None:
        raise ValueError(f"no format of images has files that end in {suffix!r}")
    misfit = writing.does_not_fit(held, kind)
    if misfit:
        raise UserError(misfit)
    return writing.encode(held, kind, quality, level)


def to_tensor(image: np.ndarray) -> torch.Tensor:
    """Turns ``uint8`` or ``uint16`` ``(h, w, c)`` into float32 ``(c, h, w)`` in [0, 1]."""
    if image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"expected uint8 or uint16, got {image.dtype}")
    highest = np.float32(np.iinfo(image.dtype).max)
    planes = np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32)
    planes /= highest
    return torch.from_numpy(planes)


def to_uint8(tensor: torch.Tensor) -> np.ndarray:
    """Turns ``(c, h, w)`` into ``uint8`` ``(h, w, c)``: clipped to [0, 1], rounded to the nearest, halves up.

    >>> to_uint8(torch.tensor([[[0.5 / 255, 1.5]]])).tolist()
    [[[1], [255]]]
    """
    levels = tensor.detach().float().clamp(0, 1).mul(255).add(0.5).floor()
    return np.ascontiguousarray(levels.to(torch.uint8).permute(1, 2, 0).cpu().numpy())


def beside(images: Sequence[np.ndarray], gap_px: int) -> np.ndarray:
    """Puts images side by side, white between them and below those that are not as high as the highest.

    They are ``(h, w, 3)``, all ``uint8`` or all ``uint16``; one at least.

    >>> beside([np.zeros((1, 1, 3), np.uint8), np.zeros((2, 1, 3), np.uint8)], 1)[..., 0].tolist()
    [[0, 255, 0], [255, 255, 0]]
    """
    height = max(image.shape[0] for image in images)
    width = sum(image.shape[1] for image in images) + gap_px * (len(images) - 1)
    joined = np.full((height, width, 3), np.iinfo(images[0].dtype).max, images[0].dtype)
    left = 0
    for image in images:
        joined[: image.shape[0], left : left + image.shape[1]] = image
        left += image.shape[1] + gap_px
    return joined
