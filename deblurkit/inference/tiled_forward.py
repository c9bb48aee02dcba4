"""One image in several passes through a network, from top to bottom, in the memory of one row of passes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from deblurkit.inference import tiling
from deblurkit.inference.sources import Source, View
from deblurkit.inference.tiling import Axis
from deblurkit.options.inference import Inference

Network = Callable[[Tensor], Tensor]
"""Returns a restored crop, of any size, on the source's device."""

Band = tuple[int, Tensor]
"""The first row of a part of the image, and that part, ``(n, 3, rows, w)``."""

_BOTH = (False, True)
_VIEWS: tuple[View, ...] = tuple(itertools.product(_BOTH, _BOTH, _BOTH))


def fitted(mode: Inference, unit: int, least: int = 0) -> Inference:
    """Returns ``mode`` with the next larger size and overlap that a network takes.

    Args:
        mode: Any.
        unit: What sides have to divide by.
        least: The least side.
    """
    if mode.space == "whole":
        return mode
    overlap = _up(mode.overlap, unit)
    return dataclasses.replace(mode, size=_up(max(mode.size, least, 2 * overlap), unit), overlap=overlap)


def layout(height: int, width: int, mode: Inference, unit: int, least: int = 0) -> tuple[Axis, Axis]:
    """Returns where the passes over an image lie along its height and its width.

    Tiles lie on the image as it is padded whole, so that each begins where the network's strides do; the crops of a
    grid lie on the image itself.

    Args:
        height: Pixels of the image.
        width: Pixels of the image.
        mode: From :func:`fitted`.
        unit: What sides have to divide by.
        least: The least side.
    """
    if mode.space == "tile":
        padded = [_up(max(side, least), unit) for side in (height, width)]
        rows, columns = (tiling.tiles(side, mode.size, mode.overlap, unit) for side in padded)
    elif mode.space == "grid":
        rows, columns = (tiling.grid(side, mode.size) for side in (height, width))
    else:
        rows, columns = tiling.single(height), tiling.single(width)
    return rows, columns


def bands(network: Network, source: Source, mode: Inference, unit: int, least: int = 0) -> Iterator[Band]:
    """Restores an image from top to bottom; what one pass covers is passed whole.

    Under ``x8`` there is one band with all rows: among the eight views, each corner is the first to be done.

    Args:
        network: What restores a crop.
        source: The image.
        mode: From :func:`fitted`.
        unit: What sides have to divide by.
        least: The least side.
    """
    if not mode.x8:
        yield from _bands(network, source, mode, unit, least)
        return
    total = torch.zeros(source.count, 3, source.height, source.width, device=source.device)
    for view in _VIEWS:
        transposed, *flipped = view
        seen = source.seen(view)
        axes = [axis for axis, flip in zip((2, 3), flipped, strict=True) if flip]
        for top, band in _bands(network, seen, mode, unit, least):
            stop = top + band.shape[2]
            rows = slice(seen.height - stop, seen.height - top) if flipped[0] else slice(top, stop)
            (total.mT if transposed else total)[:, :, rows] += band.flip(axes)
    yield 0, total.div_(len(_VIEWS))


def _bands(network: Network, source: Source, mode: Inference, unit: int, least: int) -> Iterator[Band]:
    rows, columns = layout(source.height, source.width, mode, unit, least)
    if len(rows.starts) == len(columns.starts) == 1:
        yield 0, network(source.crop(slice(0, source.height), slice(0, source.width)))
        return
    carried: Tensor | None = None
    for top, following, weights in zip(rows.starts, (*rows.starts[1:], rows.length), rows.weights, strict=True):
        band = _row_of_passes(network, source, rows, columns, top)
        band *= weights.to(band.device).unsqueeze(1)
        if carried is not None:
            band[:, :, : carried.shape[2]] += carried
        done = following - top
        carried = band[:, :, done:].clone()
        yield top, band[:, :, : min(done, source.height - top), : source.width]


def _row_of_passes(network: Network, source: Source, rows: Axis, columns: Axis, top: int) -> Tensor:
    """Returns the passes that begin in row ``top``, blended, ``(n, 3, rows.size, columns.length)``."""
    seen = tiling.lines(top, top + rows.size, source.height, rows.length)
    band: Tensor | None = None
    for left, weights in zip(columns.starts, columns.weights, strict=True):
        right = left + columns.size
        restored = network(source.crop(seen, tiling.lines(left, right, source.width, columns.length)))
        if band is None:
            band = restored.new_zeros(*restored.shape[:3], columns.length)
        band[..., left:right] += restored.mul_(weights.to(restored.device))
    assert band is not None  # an axis has one pass at least
    return band


def _up(number: int, unit: int) -> int:
    return -(-number // unit) * unit
