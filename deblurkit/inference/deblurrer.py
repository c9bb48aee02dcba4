"""A trained network as a function of one photograph."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from deblurkit import checkpoint
from deblurkit.data.images import to_tensor
from deblurkit.device import Precision, check_precision, pick_device
from deblurkit.errors import UserError
from deblurkit.inference.fastest import Choice, arrange, fastest
from deblurkit.inference.onnx_network import OnnxNetwork
from deblurkit.inference.session import AUTO, Session
from deblurkit.interop.foreign import read_weights
from deblurkit.weights import box, graph


class Deblurrer:
    """A checkpoint's generator, with its EMA weights where it has them, ready to restore photographs.

    Args:
        weights: A checkpoint, an exported file (safetensors or ONNX), or a published one in a layout that is known
            (:mod:`deblurkit.interop`), of which nothing is executed; or the name of a network in the box
            (:func:`deblurkit.weights.box.find`). By default ``starter``, which is in the box.
        plugins: Modules or Python files to import first, where the generator comes from a plugin.
        device: Where to compute; by default CUDA where there is one, else the CPU.
        precision: ``fp32``, ``tf32``, ``bf16`` or ``fp16``.
        inference: ``auto``: the whole image where it fits the memory, else tiles that do; or a mode of
            :mod:`deblurkit.options.inference`, such as ``x8``: the mean over the flips and quarter turns.
        memory: GiB that one photograph may take above the weights; by default what is free, and with ``auto`` on a CPU
            1.5 of it at most.
        key: Which of several state dicts in a published file; by default the averaged one.
        fast: Whether the network may be run in the fastest way that agrees with fp32 to 60 dB
            (:mod:`deblurkit.inference.fastest`), which is settled at the first photograph.

    Attributes:
        generator: The network, in eval mode on ``device``.
        session: What restores; says in which modes it was done.
        source: Where the weights come from: ``name`` of the experiment, ``file``, ``iteration``, ``ema``; ``note``
            where they were trained elsewhere.
        choice: The way that was found with ``fast``; ``None`` before, and without it.

    Raises:
        CheckpointError: The file cannot be read or is none of these, or its generator is not registered.
        UserError: The device does not exist, the precision or the mode is unknown, or there is no memory above 0.
    """

    def __init__(
        self,
        weights: str | Path = box.DEFAULT,
        plugins: Sequence[str] = (),
        device: str | torch.device | None = None,
        precision: Precision = "fp32",
        inference: str = AUTO,
        memory: float | None = None,
        key: str | None = None,
        fast: bool = False,
    ) -> None:
        check_precision(precision)
        if fast and precision != "fp32":
            raise UserError(f"precision: {precision} is asked for, and the fastest one too: say one of them")
        if memory is not None and not 0 < memory < math.inf:
            raise UserError(f"memory: a photograph takes more than 0 GiB, got {memory:g}")
        file = box.find(weights)
        self.device = pick_device(device)
        self.generator: nn.Module
        self.source: dict[str, Any]
        if file.suffix.lower() == graph.SUFFIX:
            if precision != "fp32" or key is not None or fast:
                raise UserError(f"{file}: an ONNX file holds one network, run as it is: no precision, key or fast way")
            self.generator = exported = OnnxNetwork(file, self.device)
            self.source = exported.graph.description.source(weights)
        else:
            state = read_weights(file, key)
            self.generator = checkpoint.load_generator(state, file, tuple(plugins)).to(self.device)
            self.source = {"name": state["options"]["name"], **checkpoint.describe_weights(state, weights)}
        memory_bytes = None if memory is None else int(memory * 2**30)
        self.session = Session(self.generator, precision, inference, memory_bytes)
        self.choice: Choice | None = None
        self._file = file
        self._to_settle = fast
        self._settling = threading.Lock()  # photographs may come from several threads

    def __call__(self, image: NDArray[Any]) -> NDArray[Any]:
        """Restores one photograph, RGB ``(h, w, 3)``, uint8 or uint16, to the same shape and dtype.

        Raises:
            ValueError: ``image`` has another shape or dtype.
            NonFiniteOutputError: The network returned pixels that are no numbers.
            UserError: The memory does not suffice.
        """
        if image.ndim != 3 or image.shape[2] != 3:
            hint = "; a grey one: np.stack([image] * 3, axis=-1)" if image.ndim == 2 else ""
            raise ValueError(f"a photograph is an RGB array of shape (h, w, 3), this one has {image.shape}{hint}")
        if image.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"a photograph is uint8 or uint16, this one is {image.dtype}")
        with self._settling:
            if self._to_settle:
                self.choice = fastest(self.generator, to_tensor(image), self._file)
                arrange(self.generator, self.choice.way)
                self.session.precision = self.choice.way.precision
                self._to_settle = False
        return self.session.restore_array(image)
