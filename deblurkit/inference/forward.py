"""One forward pass between images in [0, 1]: pad, map the range, call the generator, map back, crop."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from deblurkit.contracts import SizeRule, ValueRange, generator_traits
from deblurkit.device import Precision, computing_in
from deblurkit.errors import UserError


class NonFiniteOutputError(UserError):
    """A generator returned pixels that are NaN or infinite."""


def non_finite(generator: nn.Module, precision: Precision) -> str:
    """Returns what to say where :func:`restore_whole` returned NaN."""
    return f"{type(generator).__name__} returned pixels that are NaN or infinite (precision {precision})"


def to_value_range(images: Tensor, value_range: ValueRange) -> Tensor:
    """Maps images from [0, 1] to a generator's own range; differentiable."""
    low, high = value_range
    if (low, high) == (0.0, 1.0):
        return images
    return images * (high - low) + low


def from_value_range(images: Tensor, value_range: ValueRange) -> Tensor:
    """Maps images from a generator's own range back to [0, 1], without clamping; differentiable."""
    low, high = value_range
    if (low, high) == (0.0, 1.0):
        return images
    return (images - low) / (high - low)


def pad_to_size(images: Tensor, rule: SizeRule) -> Tensor:
    """Extends images at the bottom and right to the next size that a network takes.

    Where the rule has no value to fill with, the border is mirrored; along a side that is too short to mirror its last
    pixel is repeated.

    Shape: ``(n, c, h, w) -> (n, c, rule.fit(h), rule.fit(w))``
    """
    height, width = images.shape[-2:]
    bottom, right = rule.fit(height) - height, rule.fit(width) - width
    if not (bottom or right):
        return images
    if rule.fill is not None:
        return functional.pad(images, (0, right, 0, bottom), value=rule.fill)
    # Mirrored pixels continue what is there; zeros are an edge, which a network that was not trained with it sharpens
    # into the image. The outermost line is not mirrored itself, so a side gives one line less than it has.
    if right:
        images = functional.pad(images, (0, right, 0, 0), mode="reflect" if right < width else "replicate")
    if bottom:
        images = functional.pad(images, (0, 0, 0, bottom), mode="reflect" if bottom < height else "replicate")
    return images


def restore_whole(
    generator: nn.Module,
    blurred: Tensor,
    precision: Precision = "fp32",
    called: Callable[[Tensor], Any] | None = None,
) -> Tensor:
    """Restores whole images, as the generator's value range and what it declares of sizes ask.

    Its mode (train or eval) and whether gradients are kept are the caller's business.

    Args:
        generator: A :class:`deblurkit.contracts.Generator`.
        blurred: ``(n, 3, h, w)`` in [0, 1], on the generator's device.
        precision: One of :data:`~deblurkit.device.PRECISIONS`; half precisions run under autocast.
        called: Runs the generator in place of a plain call, such as :class:`deblurkit.inference.tlc.LocalMeans`.

    Returns:
        ``(n, 3, h, w)`` float32 in [0, 1]; a pixel that was not finite is NaN.

    Raises:
        ValueError: The generator's output has another shape than its input, or ``precision`` is unknown.
    """
    traits = generator_traits(generator)
    height, width = blurred.shape[-2:]
    padded = pad_to_size(blurred, traits.size_rule)
    with computing_in(precision, blurred.device.type):
        outputs = (called or generator)(to_value_range(padded, traits.value_range))
    keys, image = "", outputs
    if isinstance(outputs, dict):
        keys, image = f" with {', '.join(map(repr, outputs))}", outputs.get("image")
    if not isinstance(image, Tensor):
        raise ValueError(
            f"{type(generator).__name__}: a generator returns a tensor or a dict with the tensor 'image', "
            f"it returned a {type(outputs).__name__}{keys}"
        )
    if image.shape != padded.shape:
        raise ValueError(
            f"{type(generator).__name__}: a generator's image has its input's shape, "
            f"for {tuple(padded.shape)} it returned {tuple(image.shape)}"
        )
    # In float32 before the range is mapped, which would round half precisions a second time.
    image = from_value_range(image[..., :height, :width].float(), traits.value_range)
    # clamp alone would turn an infinite pixel into a white or black one, which no later check could tell.
    return torch.where(torch.isfinite(image), image.clamp(0.0, 1.0), torch.nan)


def device_of(generator: nn.Module, otherwise: torch.device) -> torch.device:
    """Returns where a generator's weights lie; ``otherwise`` where it has none."""
    for weight in itertools.chain(generator.parameters(), generator.buffers()):
        return weight.device
    return otherwise
