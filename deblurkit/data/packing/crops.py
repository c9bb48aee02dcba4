"""Crop windows laid over an image as the field prepares GoPro: 512 x 512 pixels every 256, up to every border.

A grid that starts in the top left corner, with one more row and column where it does not reach the bottom and right
border; so of 720 x 1280 pixels, 512 every 256: rows 0 and 208, columns 0, 256, 512 and 768, 8 windows, and 16824 of
GoPro's 2103 training images.

Sources: ``generate_patches_gopro.py`` of MPRNet and Restormer; ``extract_subimages`` of BasicSR as NAFNet calls it for
GoPro, with ``thresh_size`` 0. The two give the same windows, in the same order, for every image that is at least as
large as a window. For smaller images BasicSR fails and the others cut from outside; here they are kept whole.
"""

from __future__ import annotations

from typing import NamedTuple

from deblurkit.errors import UserError


class Window(NamedTuple):
    """A part of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int


def windows(size: tuple[int, int], crop: int, step: int) -> list[Window] | None:
    """Returns square windows that cover an image of ``(h, w)``, row by row; ``None`` where it is smaller than one.

    Their side is ``crop`` pixels; from one to the next it is ``step``.
    """
    height, width = size
    if height < crop or width < crop:
        return None
    found = []
    # The last row and column end at the border, and so may overlap more than the others.
    for top in [*range(0, height - crop, step), height - crop]:
        for left in [*range(0, width - crop, step), width - crop]:
            found.append(Window(top, left, crop, crop))
    return found


def check_crop(crop: int | None, step: int | None) -> tuple[int, int] | None:
    """Returns the crop and its step, by default half of it; ``None`` where whole images are wanted.

    Raises:
        UserError: The numbers make no grid that covers an image.
    """
    if crop is None:
        if step is not None:
            raise UserError(f"step: got {step} without a crop; expected both, or none for whole images")
        return None
    if crop < 1:
        raise UserError(f"crop: got {crop}, expected a positive number of pixels")
    if step is None:
        step = max(1, crop // 2)
    if not 1 <= step <= crop:
        raise UserError(f"step: got {step}, expected 1 to {crop} pixels: more than the crop would leave gaps")
    return crop, step
