"""One network and many images: restored within the memory that there is, with a record of how."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deblurkit.contracts import generator_traits
from deblurkit.data.images import to_uint8
from deblurkit.device import Precision, is_out_of_memory
from deblurkit.errors import UserError, first_line
from deblurkit.inference.fallback import Fallback
from deblurkit.inference.forward import NonFiniteOutputError, device_of, non_finite
from deblurkit.inference.receptive_field import global_layers
from deblurkit.inference.restore import check_inference, restored_bands
from deblurkit.inference.sources import ArraySource, Source, TensorSource
from deblurkit.inference.tiled_forward import fitted, layout
from deblurkit.inference.tiling import margin
from deblurkit.inference.tlc import local_means
from deblurkit.options.inference import Inference, parse_inference

AUTO = "auto"
"""The mode of :class:`Session` that passes the whole image where it fits the memory, else tiles that do."""

_RAN_OUT = "memory ran out"

_Keep = Callable[[int, Tensor], None]


class Session:
    """Restores image after image with one network; it may be called from several threads at once.

    What does not fit the memory as a whole is done in tiles, and that is noted: before an image is restored its live
    tensors are counted, and where an allocation fails all the same, the tiles are halved until none does. How much may
    be used is settled at the first image.

    Args:
        generator: In the mode (train or eval) and on the device in which it is to run.
        precision: One of :data:`deblurkit.device.PRECISIONS`.
        inference: See :mod:`deblurkit.options.inference`; or ``auto``, which ``x8`` and ``tlc`` can be joined to.
        memory_bytes: What one image may take above the weights, kernels included; by default what is free, and with
            ``auto`` on a CPU 1.5 GiB of it at most.

    Attributes:
        used: How many images were restored in which mode; one that a single tile or crop covers counts as whole.
        events: To how many images happened what, such as tiles in place of the whole. What :meth:`notes` says is told
            from these two alone, so that an interrupted run's can be added.
        live_bytes: What live tensors took at once for the latest image, as estimated; ``None`` where that is unknown.
            Of several threads' images it is that of any.

    Raises:
        UserError: There is no such mode, or ``tlc`` finds nothing to convert in the network.
    """

    def __init__(
        self,
        generator: nn.Module,
        precision: Precision = "fp32",
        inference: str = "whole",
        memory_bytes: int | None = None,
    ) -> None:
        self.generator = generator
        self.precision = precision
        self.used: Counter[str] = Counter()
        self.events: Counter[str] = Counter()
        self.live_bytes: int | None = None
        self._name = type(generator).__name__
        parts = inference.split("+")
        others = [part for part in parts if part != AUTO]
        self._asked = parse_inference(check_inference("+".join(others) or "whole"))
        if AUTO in parts and (self._asked.space != "whole" or "whole" in others):
            both = f"{inference!r} names how the image passes, and leaves it to {AUTO} too"
            raise UserError(f"inference: {both}: say one of them")
        self._rule = generator_traits(generator).size_rule
        mode = fitted(self._asked, self._rule)
        # Calibrated once, here: it costs several forwards, and wrong networks are refused before any image is read.
        self._means = None if mode.tlc is None else local_means(generator, mode.tlc, mode.tlc_factor)
        device = device_of(generator, torch.device("cpu"))
        self._fallback = Fallback(generator, mode, self._means, device, AUTO in parts, memory_bytes)
        self._instead: Inference | None = None  # of what once ran out of memory
        # Held while it is chosen how an image is restored and while that is noted, not while it is restored.
        self._deciding = threading.Lock()

    def __call__(self, blurred: Tensor) -> Tensor:
        """Restores an image ``(3, h, w)`` in [0, 1] on the CPU to the same in float32; what is not finite is NaN.

        Raises:
            UserError: The memory does not suffice.
        """
        restored = torch.empty_like(blurred, dtype=torch.float32)

        def keep(top: int, band: Tensor) -> None:
            restored[:, top : top + band.shape[2]] = band[0]

        self._restore(TensorSource(blurred.unsqueeze(0)), keep)
        return restored

    def restore_array(self, image: NDArray[Any]) -> NDArray[Any]:
        """Restores an image as it was decoded, RGB ``(h, w, 3)``, uint8 or uint16, to the same shape and type.

        In tiles, memory holds one row of them beside the image and the result.

        Raises:
            NonFiniteOutputError: The network returned pixels that are no numbers.
            UserError: The memory does not suffice.
        """
        restored = np.empty(image.shape, image.dtype)
        to_levels = to_uint8 if image.dtype == np.uint8 else _to_uint16

        # Each band becomes integers at once, so that no image of floats is ever held.
        def keep(top: int, band: Tensor) -> None:
            if not torch.isfinite(band).all():
                raise NonFiniteOutputError(non_finite(self.generator, self.precision))
            restored[top : top + band.shape[2]] = to_levels(band[0])

        self._restore(ArraySource(image), keep)
        return restored

    def estimate(self, height: int, width: int) -> int | None:
        """Returns :func:`deblurkit.inference.memory.live_bytes`; what ``x8`` keeps of the other views is not in it."""
        with self._deciding:
            return self._fallback.estimate(height, width)

    def notes(self) -> list[str]:
        """Returns what has to be said beside the results: other sizes than asked for, tiles in place of the whole.

        Nothing in it depends on how much memory was free, or on whether the work was interrupted.
        """
        found: list[str] = []
        if self._fallback.mode != self._asked:
            rule = f"have sides that divide by {self._rule.multiple_of}"
            if self._rule.minimum:
                rule += f" and are at least {self._rule.minimum}"
            found.append(f"{self._asked} was done as {self._fallback.mode}: inputs of {self._name} {rule}")
        images = self.used.total()
        found += [f"{count} of {images} images: {event}" for event, count in sorted(self.events.items())]
        in_parts = [mode for mode in map(parse_inference, self.used) if mode.space != "whole"]
        if not in_parts:
            return found
        # Parts were restored, and they can differ from the whole image: anywhere, or near the seams, or not at all.
        looks = self._fallback.reach
        if looks is None:
            why = ", ".join(global_layers(self.generator, looks))
            return [*found, f"tiles and crops are not the whole image for {self._name}: {why}"]
        short = ", ".join(sorted(str(mode) for mode in in_parts if margin(mode.overlap) < looks))
        if short:
            enough = f"tiles that overlap by {4 * looks} would be"
            found.append(f"{short}: not the whole image near seams, as {self._name} looks {looks} pixels far; {enough}")
        return found

    def shortage(self) -> str:
        """Returns :meth:`Fallback.shortage`: what this machine's memory did not suffice for, so not for reports."""
        return self._fallback.shortage()

    def _restore(self, source: Source, keep: _Keep) -> None:
        height, width = source.height, source.width
        with self._deciding:
            # What once ran out of memory is not tried again: it would do much of its work before it fails once more.
            if self._instead is None:
                mode, why = self._fallback.first(height, width)
            else:
                mode, why = self._instead, _RAN_OUT
        while failure := self._failure(source, mode, keep):
            with self._deciding:
                smaller = self._fallback.smaller(mode, height, width)
                if smaller is not None and (self._instead is None or smaller.size < self._instead.size):
                    self._instead = smaller
            if smaller is None:
                raise UserError(
                    f"inference: {self._name} ran out of memory with an image of {height}x{width} in {mode}, where "
                    f"smaller tiles or crops may fit: {failure}"
                )
            mode = smaller
            why = _RAN_OUT
        self.live_bytes = self.estimate(min(mode.size or height, height), min(mode.size or width, width))
        rows, columns = layout(height, width, mode, self._rule)
        with self._deciding:
            # One pass over everything is the whole image, whatever the mode is called: it needs no note about seams.
            if len(rows.starts) == len(columns.starts) == 1:
                self.used[str(dataclasses.replace(mode, space="whole", size=0, overlap=0))] += 1
                return
            self.used[str(mode)] += 1
            if why:
                self.events[f"done in {mode}: {why}"] += 1

    @torch.inference_mode()
    def _failure(self, source: Source, mode: Inference, keep: _Keep) -> str:
        """Restores an image; returns what was said where the memory did not suffice, else ``""``."""
        try:
            for top, band in restored_bands(self.generator, source, self.precision, mode, self._means):
                keep(top, band)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            said = first_line(error) or type(error).__name__
        else:
            return ""
        if self._fallback.device.type == "cuda":  # only here, where the error no longer holds what was computed
            torch.cuda.empty_cache()
        return said


def _to_uint16(image: Tensor) -> NDArray[np.uint16]:
    """Returns ``(3, h, w)`` in [0, 1] as ``(h, w, 3)`` uint16, rounded half up."""
    scaled = image.permute(1, 2, 0).double().numpy() * 65535.0
    return np.floor(scaled + 0.5).astype(np.uint16)
