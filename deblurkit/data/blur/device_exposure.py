"""The exposure of :mod:`deblurkit.data.blur.exposure` for a batch of images, on the device where they lie.

The same model, border and interpolation (``grid_sample`` has A = -0.75 and exact places too), so with OpenCV 5 the
two differ by rounding only. Homographies must be float64: a device without it (Apple's MPS) cannot be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_SAMPLES_AT_ONCE = 2**22
"""Pixels of a batch times steps that are warped at once. They bound the memory beside input and output: 31 bytes each
without layers and 51 with one (124 and 204 MiB; measured on a CPU), more only where one step of a batch is larger."""


@dataclass(frozen=True)
class LayerBatch:
    """An object in front of each image's background.

    Attributes:
        light: Linear light times opacity, and opacity ``(n, 4, h, w)``.
        homographies: The objects' own paths ``(n, steps, 3, 3)`` float64; the camera's is applied after them.
    """

    light: Tensor
    homographies: Tensor


def expose(linear: Tensor, camera: Tensor, layers: Sequence[LayerBatch] = ()) -> Tensor:
    """Averages each scene over its exposure: linear light ``(n, 3, h, w)``, in and out, not clipped.

    ``camera`` has the cameras' paths ``(n, steps, 3, 3)`` float64, from the sharp image to the exposed one; of the
    layers the hindmost is the first.
    """
    n, _, height, width = linear.shape
    steps = camera.shape[1]
    at_once = max(1, _SAMPLES_AT_ONCE // (n * height * width))
    total = torch.zeros_like(linear)
    # A few steps at a time: all at once would hold a copy of the batch for each of them.
    for start in range(0, steps, at_once):
        part = slice(start, start + at_once)
        frames = warp(linear, camera[:, part])
        # The camera's path comes last: it moves the objects as it moves the background.
        for layer in layers:
            moved = warp(layer.light, camera[:, part] @ layer.homographies[:, part], mirror=False)
            frames = _over(moved, frames)
        total += frames.sum(dim=2)
    return total / steps


def compose(linear: Tensor, layers: Sequence[LayerBatch]) -> Tensor:
    """Returns the scenes in their mean pose, where nothing is moved: the sharp images ``(n, 3, h, w)``."""
    for layer in layers:
        linear = _over(layer.light, linear)
    return linear


def warp(images: Tensor, homographies: Tensor, mirror: bool = True) -> Tensor:
    """Moves images ``(n, c, h, w)`` by homographies ``(n, steps, 3, 3)`` float64, from the image to the result.

    Returns ``(n, c, steps, h, w)``. Beyond an image's border lies its mirror image, or zeros.
    """
    n, channels, height, width = images.shape
    steps = homographies.shape[1]
    # inv would check for singular ones, and wait for the GPU to say so: no camera's path has them.
    to_source = _in_unit_square(torch.linalg.inv_ex(homographies).inverse, height, width)
    # Elementwise: a matrix product could run in TF32, whose 10 bits are a tenth of a pixel.
    x = torch.linspace(-1, 1, width, dtype=images.dtype, device=images.device)
    y = torch.linspace(-1, 1, height, dtype=images.dtype, device=images.device)[:, None]
    rows = to_source.to(images.dtype)[..., None, None].unbind(dim=2)
    places_x, places_y, depth = (row[:, :, 0] * x + row[:, :, 1] * y + row[:, :, 2] for row in rows)
    grid = torch.stack([places_x / depth, places_y / depth], dim=-1)
    # The steps lie side by side in the grid's height, so that no image is copied for each of them.
    moved = functional.grid_sample(
        images,
        grid.reshape(n, steps * height, width, 2),
        mode="bicubic",
        padding_mode="reflection" if mirror else "zeros",
        align_corners=True,
    )
    return moved.reshape(n, channels, steps, height, width)


def _in_unit_square(homographies: Tensor, height: int, width: int) -> Tensor:
    """Brings homographies from pixels to ``grid_sample``'s places: -1 and 1 are the centres of the outermost pixels."""
    # S H S^-1 for the map S of pixels to places, written out: first H S^-1 by columns, then S by rows.
    half_x, half_y = max(width - 1, 1) / 2, max(height - 1, 1) / 2
    x, y, one = homographies.unbind(dim=-1)
    x, y, one = torch.stack([x * half_x, y * half_y, x * half_x + y * half_y + one], dim=-1).unbind(dim=-2)
    return torch.stack([x / half_x - one, y / half_y - one, one], dim=-2)


def _over(layer: Tensor, behind: Tensor) -> Tensor:
    return layer[:, :3] + (1 - layer[:, 3:]) * behind
