"""Writes image files: whole or not at all, with all that the format holds, and says what it does not hold."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from deblurkit.errors import UserError, one_line
from deblurkit.files import saying, write_atomically
from deblurkit.images import exif, jpeg, others, png, tiff
from deblurkit.images.formats import AVIF, BMP, FORMATS, JPEG, PNG, TIFF, WEBP, Format, named
from deblurkit.images.image import Image, Metadata

WRITTEN = tuple(kind for kind in FORMATS if kind.max_side)
"""The formats that can be written."""

_MAX_SEGMENT = 65533  # bytes of a JPEG segment's content


def write(path: Path, image: Image, quality: int | None = None, program: str | None = None) -> list[str]:
    """Writes an image in the format that the file name's ending says, whole or not at all; see :func:`encode`.

    Returns:
        What the file does not hold of the image, in words.

    Raises:
        UserError: The ending is not known, the image does not fit the format, or the file cannot be written.
    """
    kind = named(path)
    if kind is None or not kind.max_side:
        known = ", ".join(suffix for format in WRITTEN for suffix in format.suffixes)
        raise UserError(f"{path}: images cannot be written as {path.suffix.lower()!r}; known: {known}")
    misfit = does_not_fit(image, kind)
    if misfit:
        raise UserError(f"{path}: {misfit}")
    image, notes = held(image, kind, program)
    try:
        encoded = encode(image, kind, quality)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error.__cause__
    with saying(f"{path}: it cannot be written"):
        write_atomically(path, encoded, hidden=True)
    return notes


def does_not_fit(image: Image, kind: Format) -> str | None:
    """Returns why a format cannot hold an image's pixels; ``None`` where it can."""
    height, width = image.pixels.shape[:2]
    if not height or not width:
        return f"{width}x{height} pixels are no image"
    if max(height, width) > kind.max_side:
        return f"{width}x{height} pixels are more than a {kind.name} file holds, {kind.max_side} a side"
    if image.bits not in kind.bits:
        fitting = ", ".join(suffix for format in WRITTEN if 16 in format.bits for suffix in format.suffixes)
        return f"{kind.suffixes[0]} cannot hold {image.bits} bits a channel; use one of {fitting}"
    return None


def held(image: Image, kind: Format, program: str | None = None) -> tuple[Image, list[str]]:
    """Returns what a format holds of an image, and the rest in words.

    Args:
        image: With any metadata.
        kind: The format.
        program: What is to stand as the software that wrote the file, where it has EXIF.
    """
    notes: list[str] = []
    metadata = image.metadata
    if metadata.exif is not None:
        try:
            # A block that is damaged is none that any format should get.
            block = exif.signed(metadata.exif, program) if program is not None else metadata.exif
            exif.check(block)
        except ValueError as error:
            block = None
            notes.append(f"{error}, not kept")
        metadata = dataclasses.replace(metadata, exif=block)
    metadata = _fitting(metadata, kind, notes)
    image = _with_fitting_pixels(image, kind, notes)
    # A block's kind tells the format that it comes from: JPEG numbers its segments, PNG names its chunks.
    blocks = tuple(block for block in image.blocks if len(block.kind) == {JPEG: 1, PNG: 4}.get(kind))
    if len(blocks) < len(image.blocks):
        notes.append(f"texts and colour notes of another format are not kept in {kind.name}")
    return dataclasses.replace(image, metadata=metadata, blocks=blocks), notes


def _fitting(metadata: Metadata, kind: Format, notes: list[str]) -> Metadata:
    """Returns what a format has room for; adds the rest to ``notes``."""
    block, xmp, profile, density = metadata.exif, metadata.xmp, metadata.profile, metadata.density
    if kind is BMP and (profile or block or xmp):
        profile = block = xmp = None
        notes.append("ICC profile, EXIF and XMP are not kept: BMP holds none")
    if kind is JPEG:
        if block is not None and len(block) > _MAX_SEGMENT - 6:
            block = None
            notes.append("EXIF of more than 64 KB is not kept: JPEG has no room for it")
        if xmp is not None and len(xmp) > _MAX_SEGMENT - 29:
            xmp = None
            notes.append("XMP of more than 64 KB is not kept: JPEG has no room for it")
        if profile is not None and len(profile) > jpeg.MAX_PROFILE:
            profile = None
            notes.append("an ICC profile of more than 16 MB is not kept: JPEG has no room for it")
    if kind is TIFF and block is not None and exif.damaged_entries(block):
        notes.append("damaged entries of EXIF are not kept")
    if kind in (WEBP, AVIF) and density is not None and (block is None or exif.density(block) is None):
        density = None
        notes.append(f"pixels an inch are not kept: {kind.name} names none")
    return Metadata(profile, block, xmp, density)


def _with_fitting_pixels(image: Image, kind: Format, notes: list[str]) -> Image:
    """Returns the image with the channels that a format has; adds what became of the others to ``notes``."""
    if image.alpha is not None and not kind.alpha:
        notes.append(f"alpha is not kept: {kind.name} holds none")
        return dataclasses.replace(image, alpha=None, premultiplied=False)
    if image.alpha is not None and image.premultiplied and kind is not TIFF:
        # Elsewhere colours are never multiplied, so they would be taken for darker ones.
        alpha = np.maximum(image.alpha, 1)[:, :, None].astype(np.uint32)
        highest = np.iinfo(image.pixels.dtype).max
        divided = np.minimum((image.pixels.astype(np.uint32) * highest + alpha // 2) // alpha, highest)
        image = dataclasses.replace(image, pixels=divided.astype(image.pixels.dtype), premultiplied=False)
        notes.append(f"colours that were multiplied by alpha are divided by it in {kind.name}")
    if image.is_grey and kind is WEBP:
        notes.append(f"grey became RGB: {kind.name} holds no grey")
    return image


def encode(image: Image, kind: Format, quality: int | None = None, level: int = 1) -> bytes:
    """Returns the bytes of an image file.

    Args:
        image: As :func:`does_not_fit` lets it pass.
        kind: The format.
        quality: From 1 to 100, of JPEG, WebP and AVIF. By default a JPEG file's own tables are used again (95 for an
            image that was none), WebP is written without loss, AVIF at 90, or at 100 where it has alpha, which is
            exact then.
        level: From 0 to 9: how long to look for a shorter PNG file.

    Raises:
        UserError: The encoder refused.
    """
    try:
        if kind is PNG:
            encoded = png.encode(image, level)
        elif kind is JPEG:
            encoded = jpeg.encode(image, quality)
        elif kind is TIFF:
            encoded = tiff.encode(image)
        else:
            known: dict[Format, others.Kind] = {WEBP: "WEBP", AVIF: "AVIF", BMP: "BMP"}
            encoded = others.encode(image, known[kind], quality)
    except Exception as error:  # of one of many encoders
        raise UserError(f"{kind.name}: it could not be encoded: {one_line(error)}") from error
    if not encoded:
        raise UserError(f"{kind.name}: it could not be encoded: the encoder returned nothing")
    return encoded
