"""What stands between images in [0, 1] and a generator: padding, its value range, precision, cropping."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from deblurkit.device import Precision, computing_in
from deblurkit.errors import UserError
from deblurkit.inference.sources import Source, TensorSource
from deblurkit.inference.tiled_forward import bands, fitted
from deblurkit.options.inference import Inference, parse_inference


class NonFiniteOutputError(UserError):
    """A generator returned pixels that are NaN or infinite."""


def to_value_range(images: Tensor, value_range: tuple[float, float]) -> Tensor:
    """Maps images from [0, 1] to a generator's own range; differentiable.

    Args:
        images: Any shape, in [0, 1].
        value_range: What black and white become.
    """
    low, high = value_range
    return images if (low, high) == (0.0, 1.0) else images * (high - low) + low


def from_value_range(images: Tensor, value_range: tuple[float, float]) -> Tensor:
    """Maps images from a generator's own range back to [0, 1], without clamping; differentiable.

    Args:
        images: Any shape, in ``value_range``.
        value_range: What stands for black and white.
    """
    low, high = value_range
    return images if (low, high) == (0.0, 1.0) else (images - low) / (high - low)


def pad_to_divisor(images: Tensor, divisor: int, min_size: int = 0) -> Tensor:
    """Extends images at the bottom and right until both sides divide by ``divisor`` and reach ``min_size``.

    The border is mirrored; along a side that is too short to mirror its last pixel is repeated. A side that
    divides and is long enough already stays as it is.

    Shape: ``(n, c, h, w) -> (n, c, ceil(max(h, min_size) / divisor) * divisor, likewise of w)``
    """
    height, width = images.shape[-2:]
    bottom, right = (-(-max(side, min_size) // divisor) * divisor - side for side in (height, width))
    if right:
        images = functional.pad(images, (0, right, 0, 0), mode="reflect" if right < width else "replicate")
    if bottom:
        images = functional.pad(images, (0, 0, 0, bottom), mode="reflect" if bottom < height else "replicate")
    return images


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
        generator: ``forward(blurred) -> Tensor | dict`` with the restored image as ``image``.
        blurred: ``(n, 3, h, w)`` in [0, 1], on the generator's device.
        precision: One of :data:`~deblurkit.device.PRECISIONS`; half precisions run under autocast.
        inference: See :mod:`deblurkit.options.inference`; sizes become what
            :func:`deblurkit.inference.tiled_forward.fitted` makes of them.

    Returns:
        ``(n, 3, h, w)`` float32 in [0, 1]; a pixel that was not finite is NaN.

    Raises:
        ValueError: As :func:`restore_whole`, or there is no such inference mode.
    """
    mode = parse_inference(inference) if isinstance(inference, str) else inference
    mode = fitted(mode, *size_rules(generator))
    with converted(generator, mode):
        found = [band for _, band in restored_bands(generator, TensorSource(blurred), precision, mode)]
    return torch.cat(found, dim=2) if len(found) > 1 else found[0]


@contextlib.contextmanager
def converted(generator: nn.Module, mode: Inference) -> Iterator[None]:
    """Lets the generator's global averages be local ones while active, where ``mode`` says so."""
    if mode.tlc is None:
        yield
        return
    from deblurkit.inference.tlc import local_means

    with local_means(generator, mode.tlc, mode.tlc_factor):
        yield


def restored_bands(
    generator: nn.Module, source: Source, precision: Precision, mode: Inference
) -> Iterator[tuple[int, Tensor]]:
    """Restores an image from top to bottom: see :func:`deblurkit.inference.tiled_forward.bands`.

    Args:
        generator: See :func:`restore`; under :func:`converted`.
        source: The image.
        precision: One of :data:`~deblurkit.device.PRECISIONS`.
        mode: From :func:`deblurkit.inference.tiled_forward.fitted`.
    """
    device = device_of(generator, source.device)

    def network(crop: Tensor) -> Tensor:
        return restore_whole(generator, crop.to(device), precision).to(source.device)

    return bands(network, source, mode, *size_rules(generator))


def size_rules(generator: nn.Module) -> tuple[int, int]:
    """Returns what both sides of a generator's input divide by, and the least side that it takes."""
    return getattr(generator, "size_divisor", 1), getattr(generator, "min_size", 0)


def device_of(generator: nn.Module, otherwise: torch.device) -> torch.device:
    """Returns where a generator's weights lie; ``otherwise`` where it has none."""
    weight = next(itertools.chain(generator.parameters(), generator.buffers()), None)
    return otherwise if weight is None else weight.device


def restore_whole(generator: nn.Module, blurred: Tensor, precision: Precision = "fp32") -> Tensor:
    """Restores whole images: pad, map to the generator's range, forward, map back, crop, clamp.

    The generator says what it needs by ``size_divisor`` (default 1), ``min_size`` (the least side, default 0) and
    ``value_range`` (default ``(0, 1)``); its mode (train or eval) is the caller's business.

    Args:
        generator: ``forward(blurred) -> Tensor | dict`` with the restored image as ``image``.
        blurred: ``(n, 3, h, w)`` in [0, 1], on the generator's device.
        precision: One of :data:`~deblurkit.device.PRECISIONS`; half precisions run under autocast.

    Returns:
        ``(n, 3, h, w)`` float32 in [0, 1]; a pixel that was not finite is NaN.

    Raises:
        ValueError: The generator's output has another shape than its input, or ``precision`` is unknown.
    """
    height, width = blurred.shape[-2:]
    low, high = getattr(generator, "value_range", (0.0, 1.0))
    padded = pad_to_divisor(blurred, *size_rules(generator))
    with computing_in(precision, blurred.device.type):
        outputs = generator(to_value_range(padded, (low, high)))
    image = _image_of(outputs, generator)
    if image.shape != padded.shape:
        raise ValueError(
            f"{type(generator).__name__}: a generator's image has its input's shape, "
            f"for {tuple(padded.shape)} it returned {tuple(image.shape)}"
        )
    image = from_value_range(image[..., :height, :width].float(), (low, high))
    return torch.where(torch.isfinite(image), image.clamp(0.0, 1.0), torch.nan)


def non_finite(generator: nn.Module, precision: Precision) -> str:
    """Returns what to say where :func:`restore` returned NaN."""
    return f"{type(generator).__name__} returned pixels that are NaN or infinite (precision {precision})"


def _image_of(outputs: Tensor | dict[str, Tensor], generator: nn.Module) -> Tensor:
    image = outputs.get("image") if isinstance(outputs, dict) else outputs
    if not isinstance(image, Tensor):
        keys = f" with {', '.join(map(repr, outputs))}" if isinstance(outputs, dict) else ""
        raise ValueError(
            f"{type(generator).__name__}: a generator returns a tensor or a dict with the tensor 'image', "
            f"it returned a {type(outputs).__name__}{keys}"
        )
    return image
