"""Where tiles and crops lie along one side of an image, and how much each of them counts at each pixel."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Axis:
    """The passes along one side: all of one size, the first at 0, the last flush with the end.

    Attributes:
        length: Pixels of the side, padding included.
        size: Pixels of each pass.
        starts: First pixel of each pass, ascending.
        weights: How much each pass counts at each of its pixels, ``(passes, size)`` in [0, 1]; at each pixel of the
            side the weights of the passes that cover it add up to 1.
    """

    length: int
    size: int
    starts: tuple[int, ...]
    weights: Tensor


def single(length: int) -> Axis:
    """Returns the axis of one pass over everything."""
    return Axis(length, length, (0,), torch.ones(1, length))


def tiles(length: int, size: int, overlap: int, unit: int = 1) -> Axis:
    """Returns as few tiles as overlap by ``overlap`` at least, spread evenly, each of which fades into the next.

    Of two neighbours that share n >= ``overlap`` pixels, one takes over from the other on a linear ramp of
    ``overlap // 2`` pixels in the middle of them. So no pixel with fewer than ``overlap // 4`` pixels between it and
    the inner end of its tile counts: see :func:`margin`.

    All are pixels, and multiples of ``unit``, as every start is, so that a network with strides sees each pixel in the
    same phase; ``overlap`` is at most half of ``size``.
    """
    if size >= length:
        return single(length)
    count = math.ceil((length - size) / (size - overlap)) + 1
    # In units, of which size - overlap is a whole number: so no start is rounded to a step that is longer.
    steps = (length - size) // unit
    starts = tuple(step * steps // (count - 1) * unit for step in range(count))
    return Axis(length, size, starts, _ramps(starts, size, overlap // 2))


def margin(overlap: int) -> int:
    """Returns how far a network may look, in pixels each way, for tiles with this overlap to equal the whole image."""
    return overlap // 4


def grid(length: int, size: int) -> Axis:
    """Returns as few crops as cover the side, spread evenly, whose overlaps are averaged.

    With ``count = ceil(length / size)`` crops a step is ``ceil((length - size) / (count - 1))`` pixels, and the last
    crop is flush with the end, as in the adaptive grid of HINet's and NAFNet's public code.
    """
    if size >= length:
        return single(length)
    step = math.ceil((length - size) / (math.ceil(length / size) - 1))
    starts = (*range(0, length - size, step), length - size)
    covered = torch.zeros(length)
    for start in starts:
        covered[start : start + size] += 1
    return Axis(length, size, starts, torch.stack([1 / covered[start : start + size] for start in starts]))


def lines(start: int, stop: int, length: int, padded: int) -> slice | list[int]:
    """Returns which lines of an image are the lines ``start`` to ``stop`` of the same image padded at its end.

    ``padded`` counts its ``length`` lines and the padding, as :func:`deblurkit.inference.forward.pad_to_size` makes it
    where nothing is filled in: mirrored without the edge, or the last line repeated where that cannot be.
    """
    if stop <= length:
        return slice(start, stop)
    if padded - length < length:
        last = length - 1
        return [last - abs(last - line) for line in range(start, stop)]
    return [min(line, length - 1) for line in range(start, stop)]


def _ramps(starts: tuple[int, ...], size: int, ramp: int) -> Tensor:
    """Returns weights that fall where the next tile's rise; each ramp lies in the middle of what two tiles share."""
    middles = [(start + size + following) / 2 for start, following in itertools.pairwise(starts)]
    centres = torch.arange(size, dtype=torch.float64) + 0.5
    weights = torch.ones(len(starts), size, dtype=torch.float64)
    # A tile fades in after the one before and out before the next, so both are taken from a weight of 1.
    for index, middle in enumerate(middles):
        weights[index] -= _rise(starts[index] + centres - middle, ramp)
        weights[index + 1] -= 1 - _rise(starts[index + 1] + centres - middle, ramp)
    return weights.float()


def _rise(distance: Tensor, ramp: int) -> Tensor:
    # A ramp of no pixels is a step at the middle; over one pixel, as nothing divides by 0.
    return (distance / max(ramp, 1) + 0.5).clamp(0, 1)
