"""One forward pass that is recorded, and a small one that finds out what can be."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deblurkit.contracts import generator_traits
from deblurkit.device import Precision
from deblurkit.inference.forward import restore_whole
from deblurkit.inference.global_ops import probe, uncompiled
from deblurkit.inner_outputs import InnerOutput, Pixel, Seen, recording, survey

SMALL = 64
"""Side of the image that shows what can be looked at, or the next that the network takes."""


@dataclass(frozen=True)
class Inside:
    """A restored image and what the network computed on the way.

    Attributes:
        restored: ``(3, h, w)`` float32 in [0, 1]; NaN where the network's output was not finite.
        outputs: ``(c, h', w')`` float32 of each inner output, in the order asked for; of the padded image.
    """

    restored: Tensor
    outputs: tuple[Tensor, ...]


@torch.inference_mode()
def look_inside(
    generator: nn.Module, blurred: Tensor, outputs: Sequence[InnerOutput], pixel: Pixel, precision: Precision = "fp32"
) -> Inside:
    """Restores an image whole and returns inner outputs of the same pass; the hooks are gone afterwards.

    The generator is in eval mode; ``blurred`` is ``(3, h, w)`` in [0, 1] on its device, and ``pixel`` a place in the
    padded image.
    """
    with uncompiled(generator), recording(generator, outputs) as kept:
        restored = restore_whole(generator, blurred.unsqueeze(0), precision)[0]
    made = []
    for output in outputs:
        values = output.make([kept[ref] for ref in output.of], pixel)
        # one image, so the batch goes; a vector (n, c) becomes a map of one pixel
        made.append(values.reshape(*values.shape[1:], *[1] * (4 - values.dim())))
    return Inside(restored, tuple(made))


def seen_inside(generator: nn.Module) -> list[Seen]:
    """Returns all that can be looked at, found by a pass in eval mode over a small image, which leaves no trace."""
    side = generator_traits(generator).size_rule.fit(SMALL)
    with evaluating(generator):
        return survey(generator, lambda: probe(generator, torch.full((1, 3, side, side), 0.5)))


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Puts a network into eval mode; afterwards each module is in the mode it was in."""
    # Module by module: parts may be frozen in eval mode while the rest is trained.
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
