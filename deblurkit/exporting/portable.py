"""A generator as one function of images of any size: padding, value range and cropping are part of it."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from deblurkit.contracts import generator_traits
from deblurkit.inference.tlc import LocalMeans


class Portable(nn.Module):
    """Restores images as :func:`deblurkit.inference.forward.restore_whole` does, in operations that can be exported.

    Args:
        generator: In the mode in which it is to run.
        half: Round its weights to fp16, and compute in that; images stay float32.
        smallest: Pad sides below the network's least one too. Some exporters settle a size where two are compared.

    Attributes:
        means: Local means to take of ``generator``; ``None``: its own.

    Shape:
        ``(n, 3, h, w)`` float32 in [0, 1] to the same, of any size; a pixel that was not finite is NaN. A generator
        that returns a dict has its other tensors behind the image, in the dict's order, as it returns them.
    """

    def __init__(self, generator: nn.Module, half: bool = False, smallest: bool = True) -> None:
        super().__init__()
        self.generator = copy.deepcopy(generator).half() if half else generator
        self.means: LocalMeans | None = None
        self.dtype = torch.float16 if half else torch.float32
        traits = generator_traits(generator)
        self.rule = traits.size_rule
        self.smallest = smallest
        self.low, self.high = traits.value_range

    def forward(self, blurred: Tensor) -> tuple[Tensor, ...]:
        """Restores a batch."""
        height, width = blurred.shape[-2:]
        padded = self._padded(self._padded(blurred, 2), 3)
        outputs = (self.means or self.generator)((padded * (self.high - self.low) + self.low).to(self.dtype))
        others: list[Tensor] = []
        if isinstance(outputs, dict):
            others = [value.float() for key, value in outputs.items() if key != "image" and isinstance(value, Tensor)]
            outputs = outputs["image"]
        image = (outputs.float() - self.low) / (self.high - self.low)
        # What is not finite less itself is NaN, all else 0: runtimes differ in what they clamp NaN and infinity to.
        image = image.clamp(0.0, 1.0) + (image - image)
        # Pixels are looked up, not sliced: from strides the exporter would tell sides that need padding from others.
        rows, columns = (torch.arange(side, device=image.device) for side in (height, width))
        return (image.index_select(2, rows).index_select(3, columns), *others)

    def _padded(self, images: Tensor, axis: int) -> Tensor:
        """Extends one side as :func:`deblurkit.inference.forward.pad_to_size` does.

        Pixels are looked up by their place, which can be computed in the graph. The new side is written as a product,
        from which the exporter sees that it divides.
        """
        side, rule = images.shape[axis], self.rule
        if rule.multiple_of == 1 and rule.minimum <= 1:
            return images
        least = math.ceil(rule.minimum / rule.multiple_of)
        blocks = (side + rule.multiple_of - 1) // rule.multiple_of
        if self.smallest and least > 1:
            blocks = torch.sym_max(blocks, least)
        place = torch.arange(blocks * rule.multiple_of, device=images.device)
        if rule.fill is not None:
            inside = (place < side).to(images.dtype).reshape((-1, 1) if axis == 2 else (-1,))
            held = torch.where(place < side, place, torch.full_like(place, side - 1))
            return images.index_select(axis, held) * inside + rule.fill * (1 - inside)
        # A side that is too short to be mirrored repeats its last pixel.
        last = torch.full_like(place, side - 1)
        mirrored = torch.where(place[-1] + 1 - side >= side, last, 2 * last - place)
        return images.index_select(axis, torch.where(place < side, place, torch.where(mirrored < 0, 0, mirrored)))
