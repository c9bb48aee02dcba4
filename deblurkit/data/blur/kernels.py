"""Blur by given kernels: every pixel's light is spread in the same way."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from deblurkit.data.blur.kernel_files import centred, read_kernels
from deblurkit.data.blur.ranges import as_range
from deblurkit.registry import BLURS

if TYPE_CHECKING:
    from torch import Tensor


@BLURS.register_module()
class Kernels:
    """Blur by one of the given kernels, drawn for each exposure; the same one over the whole image.

    Args:
        kernels: File, folder or glob of kernels; see :func:`deblurkit.data.blur.kernel_files.read_kernels`.
        rotate: Turn each drawn kernel by 0, 90, 180 or 270 degrees and mirror it or not, all as likely.
        scale: Least and greatest magnification of a kernel's size, drawn log-uniformly; ``null`` leaves kernels as
            they are. Scaling interpolates (bilinear; by area where it shrinks), which softens a kernel by about half
            a pixel.

    Attributes:
        margin: How far the widest kernel reaches from its centre, in pixels.

    Raises:
        UserError: No kernel is found, or a file is not in order.
        ValueError: ``scale`` is not two positive numbers in order.
    """

    def __init__(self, kernels: str, rotate: bool = False, scale: Sequence[float] | None = None) -> None:
        self.scale = None if scale is None else as_range(scale, "scale", positive=True)
        self.kernels = read_kernels(kernels)
        self.rotate = rotate
        radius = max(len(kernel.weights) // 2 for kernel in self.kernels)
        # What is scaled is interpolated, a pixel wide, and centred anew, within half a pixel each time.
        self.margin = radius if self.scale is None else math.ceil((radius + 1.5) * max(1.0, self.scale[1])) + 1

    def draw(self, size: tuple[int, int], rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Draws one ``kernel``, whatever the size of the image.

        It is float32 ``(k, k)``, ``k = 2 * margin + 1`` for every kernel, so that they can be stacked.
        """
        weights = self.kernels[int(rng.integers(len(self.kernels)))].weights
        if self.scale is not None:
            factor = self.scale[0] * (self.scale[1] / self.scale[0]) ** rng.random()
            # Zeros around it, or the outermost weights would be cut where the new size is rounded to whole pixels.
            framed = np.pad(weights, 1 + math.ceil(1 / factor))
            how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
            # Rounding moves the centre and changes the sum; centring mends both.
            weights = centred(cv2.resize(framed, None, fx=factor, fy=factor, interpolation=how))
        if self.rotate:
            weights = np.rot90(weights, int(rng.integers(4)))
            if rng.integers(2):
                weights = weights[:, ::-1]
        return {"kernel": np.pad(weights, self.margin - len(weights) // 2)}

    def expose(self, linear: np.ndarray, drawn: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the blurred and the sharp image: linear light, float32 ``(h, w, 3)`` as ``linear`` is."""
        return convolve(linear, drawn["kernel"]), linear

    def expose_batch(self, linear: Tensor, drawn: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Returns the blurred and the sharp images ``(n, 3, h, w)``; ``drawn["kernel"]`` is ``(n, k, k)``."""
        return convolve_batch(linear, drawn["kernel"]), linear

    def identity(self) -> str:
        """Returns what tells one set of kernels from another, apart from the arguments: a digest of their weights."""
        digest = hashlib.sha256()
        for kernel in self.kernels:
            digest.update(f"{len(kernel.weights)}\n".encode() + kernel.weights.tobytes())
        return f"{len(self.kernels)} kernels, sha256 {digest.hexdigest()}"


def convolve(linear: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolves an image with a kernel: a point of light becomes the kernel, not its mirror image.

    Takes linear light, float32 ``(h, w, 3)``, beyond which its mirror image lies, the border pixel not repeated; and a
    kernel, float32 ``(k, k)``, ``k`` odd. The result is within 1e-5 of the exact sum: OpenCV uses the Fourier transform
    for kernels wider than 11 pixels.
    """
    # Turned by half: filter2D correlates, which would draw the mirror image of the kernel.
    turned = np.ascontiguousarray(kernel[::-1, ::-1])
    return cv2.filter2D(linear, cv2.CV_32F, turned, borderType=cv2.BORDER_REFLECT_101)


def convolve_batch(linear: Tensor, kernels: Tensor) -> Tensor:
    """Convolves each image ``(n, 3, h, w)`` with its own kernel ``(n, k, k)``, ``k`` odd, as :func:`convolve` does."""
    import torch

    reach = kernels.shape[-1] // 2
    padded = linear
    # By index: torch's own mirrored padding refuses images smaller than the kernel.
    for axis in (2, 3):
        mirrored = np.pad(np.arange(linear.shape[axis]), reach, mode="reflect")
        padded = padded.index_select(axis, torch.from_numpy(mirrored).to(linear.device, non_blocking=True))
    # Kernels are wide, and a direct sum has as many terms as they have pixels: by the Fourier transform.
    size = padded.shape[-2:]
    spectrum = torch.fft.rfft2(padded) * torch.fft.rfft2(kernels[:, None], s=size)
    # The transform goes round the border; that reaches only the rows and columns that are cut off.
    return torch.fft.irfft2(spectrum, s=size)[:, :, 2 * reach :, 2 * reach :]
