"""Compares exports with the network in PyTorch, image by image: nothing leaves that does not pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from deblurkit.errors import UserError
from deblurkit.exporting.network import Network
from deblurkit.inference.forward import restore_whole
from deblurkit.inference.tlc import local_means

SIZES = ((1, 37, 53), (2, 64, 64), (1, 129, 96), (1, 75, 259), (1, 3, 515))
"""Number, height and width of the images by which each export is checked.

There are odd sides, one that is too short to be mirrored, and one longer than a tile.
"""

TOLERANCE = 1e-4
"""The largest difference from PyTorch that an fp32 export may have."""

LEAST_PSNR = 50.0
"""Of an fp16 export's images against PyTorch's in fp32, in dB."""


@dataclass(frozen=True)
class Agreement:
    """How near an exported network comes to the one in PyTorch.

    Attributes:
        runtime: What ran it, with its version.
        sizes: Number, height and width of the images, of :data:`SIZES`.
        largest: The largest difference of a value, of the range.
        psnr: Of its images against PyTorch's in fp32, in dB, the lowest of all sizes; infinite where they are equal.
    """

    runtime: str
    sizes: tuple[tuple[int, int, int], ...]
    largest: float
    psnr: float

    def __str__(self) -> str:
        """Returns it in words."""
        sizes = ", ".join(f"{height}x{width}" for _, height, width in self.sizes)
        psnr = "" if math.isinf(self.psnr) else f", images by {self.psnr:.1f} dB at least"
        return f"{self.runtime}: values differ from PyTorch's by {self.largest:.1e} at most{psnr} ({sizes})"


def decibels(error: float) -> float:
    """Returns the PSNR of a mean square error of values in [0, 1], in dB; infinite where there is none."""
    return -10 * math.log10(error) if error else math.inf


def compare(
    network: Network,
    run: Callable[[Tensor], Tensor],
    runtime: str,
    sizes: Sequence[tuple[int, int, int]],
    half: bool,
    tlc: int | None,
) -> Agreement:
    """Restores random images with both, and measures how they differ.

    Args:
        network: Runs in PyTorch, in fp32, whole.
        run: Runs what was exported.
        runtime: Names what ``run`` uses.
        sizes: Of :data:`SIZES`.
        half: Whether the export computes in fp16, and is judged by :data:`LEAST_PSNR`, not by :data:`TOLERANCE`.
        tlc: Of which training crops the local means are; ``None``: they are global.

    Raises:
        UserError: They differ too much, or the export returned other shapes or no numbers.
    """
    draw = torch.Generator().manual_seed(0)
    means = None if tlc is None else local_means(network.generator, tlc)
    largest, psnr = 0.0, math.inf
    for number, height, width in sizes:
        images = torch.rand(number, 3, height, width, generator=draw)
        with torch.inference_mode():
            expected = restore_whole(network.generator, images, called=means)
            got = run(images)
        if got.shape != expected.shape or not torch.isfinite(got).all():
            raise UserError(
                f"{network.file}: {runtime} does not return images for {height}x{width}: nothing is written"
            )
        difference = (got - expected).double()
        largest = max(largest, float(difference.abs().max()))
        psnr = min(psnr, decibels(float(difference.square().mean())))
    if (psnr < LEAST_PSNR) if half else (largest > TOLERANCE):
        allowed = f"images differ by {psnr:.1f} dB, expected {LEAST_PSNR:.0f} at least" if half else ""
        allowed = allowed or f"values differ by {largest:.1e}, expected {TOLERANCE:.0e} at most"
        raise UserError(f"{network.file}: {runtime} and PyTorch disagree: {allowed}: nothing is written")
    return Agreement(runtime, tuple(sizes), largest, psnr)
