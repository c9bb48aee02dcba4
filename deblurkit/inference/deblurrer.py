"""A trained network as a function of one photograph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from deblurkit import checkpoint
from deblurkit.data.images import to_tensor, to_uint8
from deblurkit.errors import UserError
from deblurkit.inference.restore import PRECISIONS, NonFiniteOutputError, check_inference, non_finite, restore
from deblurkit.interop.foreign import read_weights


class Deblurrer:
    """A checkpoint's generator, with its EMA weights where it has them, ready to restore photographs.

    Args:
        weights: A checkpoint, or a published weight file in a layout that is known
            (:mod:`deblurkit.interop`); nothing else is needed, and nothing in it is executed.
        plugins: Modules or Python files to import first, where the generator comes from a plugin.
        device: Where to compute; by default CUDA where there is one, else the CPU.
        precision: ``fp32``, ``tf32``, ``bf16`` or ``fp16``.
        inference: ``whole``, or ``x8``: the mean over the flips and quarter turns, eight times the work.

    Attributes:
        generator: The network, in eval mode on ``device``.
        device: Where it computes.
        source: Where the weights come from: ``name`` of the experiment, ``file``, ``iteration``, ``ema``; ``note``
            where they were trained elsewhere.

    Raises:
        CheckpointError: The file cannot be read or is none of these, or its generator is not registered.
        UserError: The device does not exist, or the precision is unknown.
    """

    def __init__(
        self,
        weights: str | Path,
        plugins: Sequence[str] = (),
        device: str | torch.device | None = None,
        precision: str = "fp32",
        inference: str = "whole",
    ) -> None:
        if precision not in PRECISIONS:
            raise UserError(f"precision: {precision!r} is unknown; known: {', '.join(PRECISIONS)}")
        state = read_weights(weights)
        self.device = pick_device(device)
        self.generator = checkpoint.load_generator(state, weights, tuple(plugins)).to(self.device)
        self.precision = precision
        self.inference = check_inference(inference)
        self.source: dict[str, Any] = {"name": state["options"]["name"], **describe_weights(state, weights)}

    def __call__(self, image: NDArray[Any]) -> NDArray[Any]:
        """Restore one photograph.

        Args:
            image: RGB, ``(h, w, 3)``, uint8 or uint16.

        Returns:
            The restored photograph, same shape and dtype.

        Raises:
            ValueError: ``image`` has another shape or dtype.
            NonFiniteOutputError: The network returned pixels that are no numbers.
        """
        if image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"a photograph is an RGB array of shape (h, w, 3), this one has {image.shape}"
                + ("; a grey one: np.stack([image] * 3, axis=-1)" if image.ndim == 2 else "")
            )
        if image.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"a photograph is uint8 or uint16, this one is {image.dtype}")
        blurred = to_tensor(image).unsqueeze(0).to(self.device)
        restored = restore(self.generator, blurred, self.precision, self.inference)[0].cpu()
        if not torch.isfinite(restored).all():
            raise NonFiniteOutputError(non_finite(self.generator, self.precision))
        return to_uint8(restored) if image.dtype == np.uint8 else _to_uint16(restored)


def pick_device(device: str | torch.device | None) -> torch.device:
    """Return ``device``, or by default CUDA where there is one, else the CPU.

    Raises:
        UserError: There is no such device.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # each backend has its own way to be absent
        raise UserError(f"device: {str(device)!r} cannot be used: {str(error).splitlines()[0]}") from None
    return chosen


def describe_weights(state: dict[str, Any], weights: str | Path) -> dict[str, Any]:
    """Return what is said of a checkpoint: ``file``, ``iteration``, ``ema`` (whether averaged weights are used).

    Of weights that were trained elsewhere also the ``note`` that says so.
    """
    described = {"file": str(weights), "iteration": state["position"]["iteration"], "ema": state["ema"] is not None}
    return {**described, "note": state["note"]} if "note" in state else described


def _to_uint16(image: torch.Tensor) -> NDArray[np.uint16]:
    """Return ``(3, h, w)`` in [0, 1] as ``(h, w, 3)`` uint16, rounded half up."""
    scaled = image.permute(1, 2, 0).double().numpy() * 65535.0
    return np.floor(scaled + 0.5).astype(np.uint16)
