"""Whether an image may be restored in tiles: how far a pixel's influence goes, and what carries it everywhere."""

from __future__ import annotations

import torch
from torch import nn

from deblurkit.contracts import generator_traits
from deblurkit.errors import UserError
from deblurkit.inference.global_ops import larger_side, probe, record

LONGEST = 1024  # pixels of the longest strip that is tried
_NARROW = 64  # the other side of a strip: cheap, and wider than any padding here


def receptive_field(generator: nn.Module) -> int | None:
    """Returns how far a generator looks, in pixels along an axis: what it declares, else what :func:`reach` measures.

    ``None`` where that is further than half of ``LONGEST``, declared or measured.

    Raises:
        UserError: It declares something else than pixels or ``"global"``.
    """
    declared = generator_traits(generator).receptive_field
    # Declarations are for eval mode: in training mode a batch norm sees the whole map.
    if declared is None or generator.training:
        return reach(generator)
    if declared != "global" and not (isinstance(declared, int) and declared >= 0):
        name = type(generator).__name__
        raise UserError(f"{name}: receptive_field is a number of pixels or 'global', got {declared!r}")
    if declared == "global" or declared > LONGEST // 2:
        return None
    return declared


def global_layers(generator: nn.Module, looks: int | None) -> list[str]:
    """Returns in words why tiles of an image are not the whole image; ``[]`` where they are, except at their borders.

    Such as ``["instance normalisation", "global average pooling"]``, in the order of the calls. ``looks``, what
    :func:`receptive_field` says, decides; the operations of two small forwards give the words.
    """
    if looks is not None:
        return []
    return _growing(generator) or [f"a pixel's influence goes further than {LONGEST // 2} pixels"]


def reach(generator: nn.Module, size: int = LONGEST) -> int | None:
    """Measures how far an input pixel's influence goes in the output, in pixels along an axis; at most this far.

    One half of a strip becomes NaN, and so does every output pixel that depends on it, whatever the weights are: a
    factor that is zero before training hides nothing, nor do gaps between the taps of dilated convolutions. Which of
    ``size_divisor`` neighbours reaches furthest is not looked into; so the result is an upper bound, by less than
    ``size_divisor`` too large. Measured to all four sides, on strips that grow until the influence ends inside; no
    longer ones are tried where it fills one and an operation goes over the whole map. ``None`` where it goes further
    than half of ``size``, the length of the longest strip. The generator is left as it was.
    """
    farthest = 0
    for axis in (3, 2):
        along = _reach_along(generator, size, axis)
        if along is None:
            return None
        farthest = max(farthest, along)
    return farthest


def _growing(generator: nn.Module) -> list[str]:
    """Returns in words the operations that go over more positions of a larger image."""
    side = generator_traits(generator).size_rule.fit(_NARROW)
    small, larger = record(generator, side), record(generator, larger_side(generator, side))
    fixed = {(item.words, item.layer, item.extents) for item in small}
    growing = [item.words for item in larger if (item.words, item.layer, item.extents) not in fixed]
    return list(dict.fromkeys(growing))


def _reach_along(generator: nn.Module, size: int, axis: int) -> int | None:
    rule = generator_traits(generator).size_rule
    length = rule.fit(min(256, size))
    while True:
        # The halves meet at a multiple of the divisor, as maps after strides have no pixels between.
        middle = length // 2 // rule.multiple_of * rule.multiple_of
        strips = torch.full((2, 3, rule.fit(_NARROW), length), 0.5)
        strips[0, ..., :middle] = torch.nan
        strips[1, ..., middle:] = torch.nan
        # Without cuDNN: it may convolve through Fourier transforms of tiles, in which one NaN spreads over the tile.
        with torch.backends.cudnn.flags(enabled=False):
            output = probe(generator, strips if axis == 3 else strips.mT.contiguous())
        image = output["image"] if isinstance(output, dict) else output
        touched = image.isnan().movedim(axis, 1).flatten(2).any(dim=2)
        after, before = (line.nonzero().flatten().tolist() for line in touched)
        last, first = max(after, default=-1), min(before, default=length)
        # Influence that ends inside the strip went as far as it goes; else it may have been cut off at the end.
        if first > 0 and last < length - 1:
            return max(last - (middle - 1), middle - first, 0) + rule.multiple_of - 1
        everywhere = len(after) == len(before) == length
        if length >= size or (everywhere and _growing(generator)):
            return None
        length = rule.fit(min(2 * length, size))
