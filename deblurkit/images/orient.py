"""Turning images upright, once: the pixels are turned, and what the file says of itself is made to agree."""

from __future__ import annotations

import dataclasses

import numpy as np

from deblurkit.images import exif
from deblurkit.images.image import Image, Pixels

MAX_DENSITY = 65535
"""Pixels an inch that every format can name."""


def turned(image: Image, orientation: int | None = None) -> Image:
    """Returns the image upright: turned as its EXIF block says, or by the ``orientation`` from 1 to 8 that is given."""
    metadata, notes = image.metadata, image.notes
    block, density = metadata.exif, metadata.density
    said = 1 if block is None else exif.orientation(block)
    orientation = said if orientation is None else orientation
    sideways = exif.is_sideways(orientation)
    pixels = _upright(image.pixels, orientation)
    alpha = None if image.alpha is None else _upright(image.alpha, orientation)
    if density is None and block is not None:
        density = exif.density(block)
    # A format may say it besides EXIF, and be the one that is right.
    if block is not None and (orientation != 1 or said != 1):
        try:
            block = exif.made_upright(block, pixels.shape[:2], sideways)
        except ValueError as error:
            block, notes = None, (*notes, f"{error}, not kept")
    xmp = None if metadata.xmp is None else exif.made_upright_xmp(metadata.xmp)
    if density is not None:
        if not all(1 <= side <= MAX_DENSITY for side in density):
            density, notes = None, (*notes, "a density that no image has is not kept")
        elif sideways:
            density = density[::-1]
    metadata = dataclasses.replace(metadata, exif=block, xmp=xmp, density=density)
    return dataclasses.replace(image, pixels=pixels, alpha=alpha, metadata=metadata, notes=notes)


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Returns ``(h, w)`` or ``(h, w, c)`` turned and mirrored."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
