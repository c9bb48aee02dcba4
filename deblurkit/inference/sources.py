"""Images that are read crop by crop: tensors, and arrays that become floats only where they are looked at."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from deblurkit.data.images import to_tensor

View = tuple[bool, bool, bool]
"""Whether an image is transposed, then flipped upside down, then flipped left to right."""

Lines = slice | list[int]
"""Rows or columns of an image."""


class Source(Protocol):
    """An image, or ``count`` of one size, of which crops are taken.

    Attributes:
        height: Pixels without padding, as ``width``.
        device: Where results are gathered.
    """

    count: int
    height: int
    width: int
    device: torch.device

    def crop(self, rows: Lines, columns: Lines) -> Tensor:
        """Returns the named rows and columns, ``(n, 3, h, w)`` float32 in [0, 1]."""

    def seen(self, view: View) -> Source:
        """Returns the image turned and flipped."""


class TensorSource:
    """Images as a tensor ``(n, 3, h, w)`` in [0, 1]."""

    def __init__(self, images: Tensor) -> None:
        self.images = images
        self.count = images.shape[0]
        self.height, self.width = images.shape[-2:]
        self.device = images.device

    def crop(self, rows: Lines, columns: Lines) -> Tensor:
        """Returns part of each image, see :class:`Source`."""
        return self.images[:, :, rows][..., columns]

    def seen(self, view: View) -> Source:
        """Returns a copy, as torch has no steps backwards."""
        transposed, *flipped = view
        images = self.images.mT if transposed else self.images
        return TensorSource(images.flip([axis for axis, flip in zip((2, 3), flipped, strict=True) if flip]))


class ArraySource:
    """One image as it was decoded: RGB ``(h, w, 3)``, uint8 or uint16."""

    def __init__(self, image: NDArray[Any]) -> None:
        self.image = image
        self.count = 1
        self.height, self.width = image.shape[:2]
        self.device = torch.device("cpu")

    def crop(self, rows: Lines, columns: Lines) -> Tensor:
        """Returns part of the image; only that part becomes floats."""
        return to_tensor(self.image[rows][:, columns]).unsqueeze(0)

    def seen(self, view: View) -> Source:
        """Returns the same pixels in another order; nothing is copied."""
        transposed, upside_down, mirrored = view
        image = self.image
        if transposed:
            image = image.transpose(1, 0, 2)
        if upside_down:
            image = image[::-1]
        if mirrored:
            image = image[:, ::-1]
        return ArraySource(image)
