"""One image in several passes through a network, from top to bottom, in the memory of one row of passes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

from deblurkit.contracts import SizeRule
from deblurkit.inference import tiling
from deblurkit.inference.sources import Source, View
from deblurkit.inference.tiling import Axis
from deblurkit.options.inference import Inference

Network = Callable[[Tensor], Tensor]
"""Returns a restored crop, of any size, on the source's device."""

Band = tuple[int, Tensor]
"""The first row of a part of the image, and that part, ``(n, 3, rows, w)``."""

_VIEWS: tuple[View, ...] = tuple(itertools.product((False, True), (False, True), (False, True)))


def fitted(mode: Inference, rule: SizeRule) -> Inference:
    """Returns ``mode`` with the next larger size and overlap that a network takes."""
    if mode.space == "whole":
        return mode
    # An overlap is never passed by itself, so it keeps to the multiple alone: that is what tiles begin at.
    overlap = SizeRule(rule.multiple_of).fit(mode.overlap)
    return dataclasses.replace(mode, size=rule.fit(max(mode.size, 2 * overlap)), overlap=overlap)


def layout(height: int, width: int, mode: Inference, rule: SizeRule) -> tuple[Axis, Axis]:
    """Returns where the passes over an image lie along its height and its width; ``mode`` is from :func:`fitted`."""
    if mode.space == "tile":
        # On the image as it would be padded whole, so that each tile begins where the network's strides do.
        rows, columns = (
            tiling.tiles(rule.fit(side), mode.size, mode.overlap, rule.multiple_of) for side in (height, width)
        )
        return rows, columns
    if mode.space == "grid":
        # On the image itself, as in the public code that grids come from; each crop is padded by itself.
        return tiling.grid(height, mode.size), tiling.grid(width, mode.size)
    return tiling.single(height), tiling.single(width)


def bands(network: Network, source: Source, mode: Inference, rule: SizeRule) -> Iterator[Band]:
    """Restores an image from top to bottom; what one pass covers is passed whole. ``mode`` is from :func:`fitted`."""
    if not mode.x8:
        yield from _bands(network, source, mode, rule)
        return
    # One band with all rows: each corner of the image is the first to be done in one of the eight views.
    total = torch.zeros(source.count, 3, source.height, source.width, device=source.device)
    for view in _VIEWS:
        transposed, *flipped = view
        seen = source.seen(view)
        # Undone in the opposite order: each band is flipped back, then added to the sum transposed.
        axes = [axis for axis, flip in zip((2, 3), flipped, strict=True) if flip]
        turned = total.mT if transposed else total
        for top, band in _bands(network, seen, mode, rule):
            stop = top + band.shape[2]
            if flipped[0]:
                top, stop = seen.height - stop, seen.height - top
            turned[:, :, top:stop] += band.flip(axes)
    yield 0, total.div_(len(_VIEWS))


def _bands(network: Network, source: Source, mode: Inference, rule: SizeRule) -> Iterator[Band]:
    rows, columns = layout(source.height, source.width, mode, rule)
    if len(rows.starts) == len(columns.starts) == 1:
        yield 0, network(source.crop(slice(0, source.height), slice(0, source.width)))
        return
    carried: Tensor | None = None
    for top, following, weights in zip(rows.starts, (*rows.starts[1:], rows.length), rows.weights, strict=True):
        band = _row_of_passes(network, source, rows, columns, top, rule)
        band *= weights.to(band.device).unsqueeze(1)
        if carried is not None:
            band[:, :, : carried.shape[2]] += carried
        # Rows above the next row of passes are done; the others wait for its share. They are cloned, as a view would
        # keep the whole band in memory while the next one is made.
        done = following - top
        carried = band[:, :, done:].clone()
        yield top, band[:, :, : min(done, source.height - top), : source.width]


def _row_of_passes(network: Network, source: Source, rows: Axis, columns: Axis, top: int, rule: SizeRule) -> Tensor:
    """Returns the passes that begin in row ``top``, blended, ``(n, 3, rows.size, columns.length)``."""
    band: Tensor | None = None
    for left, weights in zip(columns.starts, columns.weights, strict=True):
        right = left + columns.size
        restored = network(_pass(source, rows, columns, top, left, rule))
        if band is None:  # only now are the number of images and the device of the results known
            band = restored.new_zeros(*restored.shape[:3], columns.length)
        band[..., left:right] += restored.mul_(weights.to(restored.device))
    assert band is not None  # an axis has one pass at least
    return band


def _pass(source: Source, rows: Axis, columns: Axis, top: int, left: int, rule: SizeRule) -> Tensor:
    """Returns what one pass sees of the image as it is padded whole, ``(n, 3, rows.size, columns.size)``."""
    bottom, right = top + rows.size, left + columns.size
    if rule.fill is None:
        seen = tiling.lines(top, bottom, source.height, rows.length)
        return source.crop(seen, tiling.lines(left, right, source.width, columns.length))
    crop = source.crop(slice(top, min(bottom, source.height)), slice(left, min(right, source.width)))
    border = (0, columns.size - crop.shape[3], 0, rows.size - crop.shape[2])
    return functional.pad(crop, border, value=rule.fill)
