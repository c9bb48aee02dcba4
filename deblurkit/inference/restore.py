"""Images through a generator in the way that an inference mode names: whole, in tiles or crops, under TLC, x8."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from deblurkit.contracts import generator_traits
from deblurkit.device import Precision
from deblurkit.errors import UserError
from deblurkit.inference.forward import device_of, restore_whole
from deblurkit.inference.sources import Source, TensorSource
from deblurkit.inference.tiled_forward import Band, bands, fitted
from deblurkit.inference.tlc import LocalMeans, local_means
from deblurkit.options.inference import Inference, parse_inference


def check_inference(mode: str) -> str:
    """Returns an inference mode in the one text that it has, or raises a ``UserError`` where there is no such mode."""
    try:
        return str(parse_inference(mode))
    except ValueError as error:
        raise UserError(f"inference: {error}") from None


@torch.inference_mode()
def restore(
    generator: nn.Module, blurred: Tensor, precision: Precision = "fp32", inference: str | Inference = "whole"
) -> Tensor:
    """Restores images in the way that ``inference`` names.

    ``whole``: each image at once. ``tile``: in tiles that overlap and blend into each other, cut from the padded image
    at multiples of ``size_divisor``: the same as ``whole`` for a generator that looks no farther than
    :func:`deblurkit.inference.tiling.margin`. ``grid``: in crops spread evenly, overlaps averaged (the adaptive grid of
    HINet's and NAFNet's public code). ``tlc``: under :func:`deblurkit.inference.tlc.local_means`. ``x8``: the mean of
    the eight flips and quarter turns of the image, each restored and turned back (geometric self-ensemble, Lim et al.,
    EDSR, CVPR Workshops 2017, section 3.4); eight times the work.

    Args:
        generator: A :class:`deblurkit.contracts.Generator`.
        blurred: ``(n, 3, h, w)`` in [0, 1], on the generator's device.
        precision: One of :data:`~deblurkit.device.PRECISIONS`; half precisions run under autocast.
        inference: See :mod:`deblurkit.options.inference`; sizes become what
            :func:`deblurkit.inference.tiled_forward.fitted` makes of them.

    Returns:
        ``(n, 3, h, w)`` float32 in [0, 1]; a pixel that was not finite is NaN.

    Raises:
        ValueError: As :func:`deblurkit.inference.forward.restore_whole`, or there is no such inference mode.
        UserError: ``tlc`` finds nothing to convert in the network.
    """
    asked = parse_inference(inference) if isinstance(inference, str) else inference
    mode = fitted(asked, generator_traits(generator).size_rule)
    means = None if mode.tlc is None else local_means(generator, mode.tlc, mode.tlc_factor)
    found = [band for _, band in restored_bands(generator, TensorSource(blurred), precision, mode, means)]
    if len(found) == 1:
        return found[0]  # torch.cat would copy it
    return torch.cat(found, dim=2)


def restored_bands(
    generator: nn.Module, source: Source, precision: Precision, mode: Inference, means: LocalMeans | None
) -> Iterator[Band]:
    """Restores an image from top to bottom, see ``bands``; ``means`` are the local means that ``mode`` asks for."""
    device = device_of(generator, source.device)

    def network(crop: Tensor) -> Tensor:
        # Only one crop at a time is on the generator's device; the image is gathered where it came from.
        return restore_whole(generator, crop.to(device), precision, means).to(source.device)

    return bands(network, source, mode, generator_traits(generator).size_rule)
