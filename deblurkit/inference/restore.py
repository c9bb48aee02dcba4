"""What stands between images in [0, 1] and a generator: padding, its value range, precision, cropping."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from deblurkit.errors import UserError

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
"""What :func:`restore` computes in: ``tf32`` differs from ``fp32`` on CUDA devices only."""

INFERENCE_MODES = ("whole", "x8")
"""How :func:`restore` passes an image through the generator."""

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class NonFiniteOutputError(RuntimeError):
    """A generator returned pixels that are NaN or infinite."""


def to_value_range(images: Tensor, value_range: tuple[float, float]) -> Tensor:
    """Map images from [0, 1] to a generator's own range; differentiable.

    Args:
        images: Any shape, in [0, 1].
        value_range: What black and white become.
    """
    low, high = value_range
    return images if (low, high) == (0.0, 1.0) else images * (high - low) + low


def from_value_range(images: Tensor, value_range: tuple[float, float]) -> Tensor:
    """Map images from a generator's own range back to [0, 1], without clamping; differentiable.

    Args:
        images: Any shape, in ``value_range``.
        value_range: What stands for black and white.
    """
    low, high = value_range
    return images if (low, high) == (0.0, 1.0) else (images - low) / (high - low)


def pad_to_divisor(images: Tensor, divisor: int, min_size: int = 0) -> Tensor:
    """Extend images at the bottom and right until both sides divide by ``divisor`` and reach ``min_size``.

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
    """Return ``mode``, or raise a ``UserError`` where there is no such inference mode."""
    if mode not in INFERENCE_MODES:
        raise UserError(f"inference: there is no mode {mode!r}; known: {', '.join(INFERENCE_MODES)}")
    return mode


@torch.inference_mode()
def restore(generator: nn.Module, blurred: Tensor, precision: str = "fp32", inference: str = "whole") -> Tensor:
    """Restore images in the way that ``inference`` names.

    ``whole``: each image at once. ``x8``: the mean of the eight flips and quarter turns of it, each restored and
    turned back (geometric self-ensemble, Lim et al., EDSR, CVPR Workshops 2017, section 3.4); eight times the work.

    Args:
        generator: ``forward(blurred) -> Tensor | dict`` with the restored image as ``image``.
        blurred: ``(n, 3, h, w)`` in [0, 1], on the generator's device.
        precision: One of :data:`PRECISIONS`; half precisions run under autocast.
        inference: One of :data:`INFERENCE_MODES`.

    Returns:
        ``(n, 3, h, w)`` float32 in [0, 1]; a pixel that was not finite is NaN.

    Raises:
        ValueError: As :func:`restore_whole`, or ``inference`` is unknown.
    """
    if inference not in INFERENCE_MODES:
        raise ValueError(f"inference is one of {', '.join(INFERENCE_MODES)}, got {inference!r}")
    if inference == "whole":
        return restore_whole(generator, blurred, precision)
    total = torch.zeros_like(blurred, dtype=torch.float32)
    for turns in range(4):
        turned = torch.rot90(blurred, turns, (2, 3))
        total += torch.rot90(restore_whole(generator, turned, precision), -turns, (2, 3))
        mirrored = restore_whole(generator, turned.flip(3), precision).flip(3)
        total += torch.rot90(mirrored, -turns, (2, 3))
    return total / 8


def restore_whole(generator: nn.Module, blurred: Tensor, precision: str = "fp32") -> Tensor:
    """Restore whole images: pad, map to the generator's range, forward, map back, crop, clamp.

    The generator says what it needs by ``size_divisor`` (default 1), ``min_size`` (the least side, default 0) and
    ``value_range`` (default ``(0, 1)``); its mode (train or eval) is the caller's business.

    Args:
        generator: ``forward(blurred) -> Tensor | dict`` with the restored image as ``image``.
        blurred: ``(n, 3, h, w)`` in [0, 1], on the generator's device.
        precision: One of :data:`PRECISIONS`; half precisions run under autocast.

    Returns:
        ``(n, 3, h, w)`` float32 in [0, 1]; a pixel that was not finite is NaN.

    Raises:
        ValueError: The generator's output has another shape than its input, or ``precision`` is unknown.
    """
    height, width = blurred.shape[-2:]
    low, high = getattr(generator, "value_range", (0.0, 1.0))
    padded = pad_to_divisor(blurred, getattr(generator, "size_divisor", 1), getattr(generator, "min_size", 0))
    with _compute_in(precision, blurred.device.type):
        outputs = generator(to_value_range(padded, (low, high)))
    image = _image_of(outputs, generator)
    if image.shape != padded.shape:
        raise ValueError(
            f"{type(generator).__name__}: a generator's image has its input's shape, "
            f"for {tuple(padded.shape)} it returned {tuple(image.shape)}"
        )
    image = from_value_range(image[..., :height, :width].float(), (low, high))
    return torch.where(torch.isfinite(image), image.clamp(0.0, 1.0), torch.nan)


def non_finite(generator: nn.Module, precision: str) -> str:
    """Return what to say where :func:`restore` returned NaN."""
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


@contextlib.contextmanager
def _compute_in(precision: str, device_type: str) -> Iterator[None]:
    """Autocast for half precisions; on CUDA, TF32 exactly where it was asked for (PyTorch lets convolutions use it)."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
    backends: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul) if device_type == "cuda" else ()
    before = [backend.allow_tf32 for backend in backends]
    dtype = _AUTOCAST.get(precision)
    try:
        for backend in backends:
            backend.allow_tf32 = precision == "tf32"
        with torch.autocast(device_type, dtype) if dtype else contextlib.nullcontext():
            yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed
