"""Image files and tensors: the only place that decodes, encodes and converts pixels.

Everywhere in the package an image is an RGB array ``(h, w, 3)`` of ``uint8`` or ``uint16``, or a float32 tensor
``(3, h, w)`` in [0, 1].
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from deblurkit.errors import UserError
from deblurkit.files import saying, write_atomically

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
"""File name endings, in lower case, that are taken for images and can be written."""

_ENCODING = {
    ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95],
    ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, 95],
    ".webp": [cv2.IMWRITE_WEBP_QUALITY, 101],  # above 100 means lossless
}
_SIXTEEN_BIT = (".png", ".tif", ".tiff")
_ORIENTATION_TAG = 0x0112
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap height and width


class ImageReadError(UserError):
    """A file that is no image, is damaged, or holds pixels of a kind that is not supported."""


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
        ImageReadError: The file cannot be read or decoded, is cut short, or has floating-point pixels.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ImageReadError(f"{path}: it cannot be read: {error.strerror or error}") from error
    return decode_image(data, str(path))


def decode_image(data: bytes, place: str) -> np.ndarray:
    """Decodes a whole image file, which messages call ``place``, as :func:`read_image` does."""
    image = _decode_tiff_with_alpha(data)
    if image is None:
        with contextlib.suppress(cv2.error):  # reported below, with the file's name
            decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
            if decoded is not None:
                image = cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    if image is None:
        raise ImageReadError(f"{place}: it cannot be decoded: not an image, damaged or cut short")
    if image.dtype not in (np.uint8, np.uint16):
        raise ImageReadError(f"{place}: pixels are {image.dtype}; expected 8 or 16 bits a channel")
    return image


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Returns ``(h, w)`` as :func:`read_image` would give it, from the header alone where that is safe.

    The end of the file is looked at too; where it is not as its format ends, the file is decoded to find out.

    Raises:
        ImageReadError: As :func:`read_image`; damage in the middle of a file goes unnoticed.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            # The base class's method: PNG's own decodes all pixels to look for tags behind them.
            orientation = Image.Image.getexif(image).get(_ORIENTATION_TAG, 1)
            kind = image.format
        complete = _ends_well(path, kind)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        complete = False
    # Pillow's TIFF sizes are turned already in some versions and not in others.
    if not complete or (kind == "TIFF" and orientation in _SIDEWAYS):
        height, width = read_image(path).shape[:2]
        return height, width
    return (width, height) if orientation in _SIDEWAYS else (height, width)


def write_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Writes an image in the format that the file name's ending says, whole or not at all.

    JPEG is written with quality 95, all other formats without loss. The folder must exist.

    Args:
        path: Where to; replaced if it exists.
        image: RGB ``(h, w, 3)``, ``uint8``, or ``uint16`` for PNG and TIFF.

    Raises:
        UserError: The ending is not known, or the format cannot hold 16 bits, or the file cannot be written.
        ValueError: The array is no such image.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise UserError(f"{path}: images cannot be written as {suffix!r}; known: {', '.join(IMAGE_SUFFIXES)}")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"expected uint8 or uint16 (h, w, 3), got {image.dtype} {image.shape}")
    if image.dtype == np.uint16 and suffix not in _SIXTEEN_BIT:
        raise UserError(f"{path}: {suffix} cannot hold 16 bits a channel; use one of {', '.join(_SIXTEEN_BIT)}")
    with saying(f"{path}: it cannot be written"):
        write_atomically(path, encode_image(image, suffix, _ENCODING.get(suffix, [])), hidden=True)


def encode_image(image: np.ndarray, suffix: str, settings: Sequence[int] = ()) -> bytes:
    """Returns the bytes of an image file of the format that ``suffix``, a file name's ending, names.

    Takes the arrays that :func:`write_image` takes; ``settings`` are OpenCV's ``IMWRITE_`` keys and values.
    """
    bgr = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(suffix, bgr, settings)[1])


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


def _decode_tiff_with_alpha(data: bytes) -> np.ndarray | None:
    """Decodes an 8-bit TIFF with alpha, whose colours OpenCV would multiply by the alpha; else ``None``."""
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return None
    try:
        with Image.open(io.BytesIO(data)) as image:
            # Tag 258 is bits a sample: Pillow would round 16 to 8.
            if image.mode != "RGBA" or 16 in image.tag_v2.get(258, ()):  # type: ignore[attr-defined]
                return None
            return np.array(image)[:, :, :3].copy()
    except (OSError, ValueError, SyntaxError):
        return None


def _ends_well(path: str | os.PathLike[str], kind: str | None) -> bool:
    """Tells whether the file ends as its format does, unlike one that was cut short."""
    with open(path, "rb") as file:
        head = file.read(8)
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - 12))
        tail = file.read()
    if kind == "PNG":
        return tail[4:8] == b"IEND"
    if kind == "JPEG":
        return tail.endswith(b"\xff\xd9")
    if kind == "WEBP":
        return length >= int.from_bytes(head[4:8], "little") + 8
    return True
