"""Paired transforms: both images of a pair are changed alike, from the same random numbers.

A transform is called as ``transform(pair, rng)``: ``pair`` maps names (``blurred``, ``sharp``) to ``uint8`` or
``uint16`` arrays ``(h, w, 3)`` of one size, ``rng`` is the only source of randomness. It returns new arrays of the
same kind and leaves those it was given as they are. Values are the stored ones, 0 to 255 or 0 to 65535 (encoded, not
linear light).

With ``needs_partner`` it is called as ``transform(pair, rng, partner)``: ``partner()`` draws another pair of the set
from the same ``rng`` and returns it as the transforms before this one leave it. Where the first transform of a set
declares ``needed``, the least ``(h, w)`` in pixels, the files are checked for it before a training begins. One that
makes images smaller or larger declares ``keeps_size = False``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from deblurkit.errors import UserError
from deblurkit.registry import TRANSFORMS

Pair = dict[str, np.ndarray]
Size = int | Sequence[int]  # one side of a square, or (h, w), in pixels
Augment = Sequence[str | dict[str, Any]]  # names of registered transforms, {type: NAME, ...} where one has arguments


@TRANSFORMS.register_module()
class Resize:
    """Scale both images to one size with bicubic interpolation, antialiased when it shrinks (Pillow's filter).

    Args:
        size: Side of a square or ``[h, w]`` in pixels; the aspect ratio is not kept.
    """

    keeps_size = False

    def __init__(self, size: Size) -> None:
        self.size = as_size(size, "resize")

    def __call__(self, pair: Pair, rng: np.random.Generator) -> Pair:
        """Returns the pair at the new size; draws nothing from ``rng``."""
        return {name: _resize(image, *self.size) for name, image in pair.items()}


@TRANSFORMS.register_module()
class RandomCrop:
    """Cut the same window, at a random place, from both images.

    Args:
        size: Side of a square or ``[h, w]`` in pixels.
    """

    keeps_size = False

    def __init__(self, size: Size) -> None:
        self.size = self.needed = as_size(size, "crop")

    def __call__(self, pair: Pair, rng: np.random.Generator) -> Pair:
        """Returns the windows.

        Raises:
            UserError: The images are smaller than the window.
        """
        height, width = next(iter(pair.values())).shape[:2]
        crop_height, crop_width = self.size
        if height < crop_height or width < crop_width:
            raise UserError(f"{height} x {width} pixels (h x w), smaller than the crop of {crop_height} x {crop_width}")
        part = draw_window((height, width), self.size, rng)
        return {name: image[part] for name, image in pair.items()}


@TRANSFORMS.register_module()
class RandomResizedCrop:
    """Cut the same window, of random size at a random place, from both images, and scale it to one size.

    Enlarging makes blur wider and the sharp image softer, reducing does the opposite: content, and the size of the
    blur, vary continuously. Bicubic, antialiased when it shrinks. Stands in ``augment``, in the place of ``crop``.

    Args:
        size: Side of a square or ``[h, w]`` of the result, in pixels.
        scale: Least and greatest magnification; drawn between them, log-uniformly. One that would need a window
            larger than the image is raised to what fits.

    Raises:
        ValueError: ``scale`` is not two positive numbers in order.
    """

    keeps_size = False

    def __init__(self, size: Size, scale: Sequence[float] = (0.75, 1.5)) -> None:
        self.size = as_size(size, "size")
        if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
            raise ValueError(f"scale: got {list(scale)}, expected [least, greatest], both positive")
        self.scale = (float(scale[0]), float(scale[1]))

    def __call__(self, pair: Pair, rng: np.random.Generator) -> Pair:
        """Returns the windows, scaled."""
        height, width = next(iter(pair.values())).shape[:2]
        low, high = self.scale
        wanted = low * (high / low) ** rng.random()
        scale = max(wanted, self.size[0] / height, self.size[1] / width)
        window = (min(height, round(self.size[0] / scale)), min(width, round(self.size[1] / scale)))
        part = draw_window((height, width), window, rng)
        return {name: _resize(np.ascontiguousarray(image[part]), *self.size) for name, image in pair.items()}


@TRANSFORMS.register_module()
class RandomRotatedCrop:
    """Cut the same window, at a random place and turned by a random angle, from both images.

    The window lies wholly inside the image, so nothing is invented at its border. Bicubic, which softens both images
    alike; values are rounded and clipped to the type's range. Stands in ``augment``, in the place of ``crop``.

    Args:
        size: Side of a square or ``[h, w]`` of the window, in pixels.
        degrees: Greatest angle to either side, from 0 to 180; drawn uniformly.

    Raises:
        ValueError: ``degrees`` is out of range.
    """

    keeps_size = False

    def __init__(self, size: Size, degrees: float = 15.0) -> None:
        self.size = as_size(size, "size")
        if not 0 <= degrees <= 180:
            raise ValueError(f"degrees: got {degrees}, expected a number from 0 to 180")
        self.degrees = float(degrees)
        # What holds the window turned by up to the greatest angle, and the support of its cubic.
        extents = []
        for across, along in (self.size, self.size[::-1]):
            # Where across * cos + along * sin is greatest.
            worst = min(math.radians(self.degrees), math.atan2(along, across))
            extents.append(math.ceil(across * math.cos(worst) + along * math.sin(worst)) + 2)
        self.needed = extents[0], extents[1]

    def __call__(self, pair: Pair, rng: np.random.Generator) -> Pair:
        """Returns the windows.

        Raises:
            UserError: The images cannot hold the window at every angle that may be drawn.
        """
        shape = next(iter(pair.values())).shape[:2]
        if shape[0] < self.needed[0] or shape[1] < self.needed[1]:
            raise UserError(
                f"{shape[0]} x {shape[1]} pixels (h x w); a window of {self.size[0]} x {self.size[1]} turned by up to "
                f"{self.degrees:g} degrees needs {self.needed[0]} x {self.needed[1]}: lower degrees or size"
            )
        angle = math.radians(rng.uniform(-self.degrees, self.degrees))
        part = draw_window(shape, self.needed, rng)
        return {name: self._turned(image[part], angle) for name, image in pair.items()}

    def _turned(self, image: np.ndarray, angle: float) -> np.ndarray:
        import cv2

        height, width = self.size
        cosine, sine = math.cos(angle), math.sin(angle)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        # The middles of window and image fall together.
        middle = (np.array(image.shape[1::-1]) - 1) / 2  # (x, y), as OpenCV counts
        shift = middle - turn @ ((np.array([width, height]) - 1) / 2)
        matrix = np.column_stack([turn, shift])  # from the window's pixels to the image's
        return cv2.warpAffine(
            np.ascontiguousarray(image), matrix, (width, height), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        )


@TRANSFORMS.register_module(name="hflip")
class HorizontalFlip:
    """Swap left and right of both images, every second time on average."""

    def __call__(self, pair: Pair, rng: np.random.Generator) -> Pair:
        """Returns the pair, flipped or not."""
        return {name: image[:, ::-1] for name, image in pair.items()} if rng.random() < 0.5 else pair


@TRANSFORMS.register_module(name="vflip")
class VerticalFlip:
    """Swap top and bottom of both images, every second time on average."""

    def __call__(self, pair: Pair, rng: np.random.Generator) -> Pair:
        """Returns the pair, flipped or not."""
        return {name: image[::-1] for name, image in pair.items()} if rng.random() < 0.5 else pair


@TRANSFORMS.register_module(name="rot90")
class Rotate90:
    """Turn both images by 0, 90, 180 or 270 degrees, each as likely; images that are not square change shape.

    In a batch of images that are not square use ``hflip`` and ``vflip``.
    """

    def __call__(self, pair: Pair, rng: np.random.Generator) -> Pair:
        """Returns the pair, turned."""
        turns = int(rng.integers(4))
        return {name: np.rot90(image, turns) for name, image in pair.items()}


def as_size(size: Size, name: str) -> tuple[int, int]:
    """Returns ``(h, w)`` for an option that takes one side or both.

    Raises:
        ValueError: It is neither; the message names the option.
    """
    sides = size if isinstance(size, Sequence) else [size, size]
    # Not isinstance: True is an int to Python, and no size.
    if len(sides) != 2 or not all(type(side) is int and side > 0 for side in sides):
        raise ValueError(f"{name}: got {size!r}, expected a positive whole number of pixels or [height, width]")
    return sides[0], sides[1]


def draw_window(image: tuple[int, ...], window: tuple[int, int], rng: np.random.Generator) -> tuple[slice, slice]:
    """Draws where a window of ``(h, w)`` pixels lies in an image, each place as likely; its rows and columns."""
    top = int(rng.integers(image[0] - window[0] + 1))
    left = int(rng.integers(image[1] - window[1] + 1))
    return slice(top, top + window[0]), slice(left, left + window[1])


def _resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    from PIL import Image  # not at the top: options are checked without it

    if image.dtype == np.uint8:
        return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
    planes = []
    for plane in np.moveaxis(image, 2, 0):  # Pillow has no 16-bit colour images
        values = Image.fromarray(plane.astype(np.float32))
        planes.append(np.array(values.resize((width, height), Image.Resampling.BICUBIC)))
    # Bicubic weights overshoot at edges.
    levels = np.floor(np.clip(np.stack(planes, axis=2), 0, 65535) + 0.5)
    return np.asarray(levels, dtype=np.uint16)
