"""The memory that a generator takes for an image."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from deblurkit.contracts import generator_traits
from deblurkit.inference.global_ops import Arguments, Named
from deblurkit.inference.restore import restored_bands
from deblurkit.inference.sources import TensorSource
from deblurkit.inference.tlc import LocalMeans
from deblurkit.options.inference import Inference


def live_bytes(generator: nn.Module, height: int, width: int, means: LocalMeans | None = None) -> int | None:
    """Returns the most that live tensors take while an image is restored whole, with image and result, without weights.

    What the generator says itself; else counted on a copy on the meta device, in fp32, without computing anything:
    exact, except for what kernels allocate inside (:func:`scratch`), and with attention as plain matrix products.

    Args:
        generator: On any device; unchanged.
        height: Pixels of the image.
        width: Pixels of the image.
        means: Local means of the generator that it is restored under.

    Returns:
        Bytes; ``None`` for a generator that cannot run on the meta device.
    """
    if (told := generator_traits(generator).live_bytes) is not None:
        return told(height, width)
    try:
        # deepcopy takes what its memo holds for a tensor's copy, so that no weight is ever held twice.
        memo: dict[int, Any] = {}
        with torch.no_grad():
            for buffer in generator.buffers():
                memo[id(buffer)] = torch.empty_like(buffer, device="meta")
            for weight in generator.parameters():
                memo[id(weight)] = nn.Parameter(torch.empty_like(weight, device="meta"), requires_grad=False)
        copied = copy.deepcopy(generator, memo)
        image = torch.zeros(1, 3, height, width, device="meta")
        given = [image, *copied.parameters(), *copied.buffers()]
        # The windows are known already: another calibration, on the copy, would be counted with the image.
        local = None if means is None else LocalMeans(copied, means.windows)
        with LiveTensors(given) as memory, torch.inference_mode():
            list(restored_bands(copied, TensorSource(image), "fp32", Inference(), local))
    except Exception:  # a plugin's network may look at values, which there are none of
        return None
    return memory.peak_bytes + image.nbytes


def scratch(device: torch.device) -> float:
    """Returns what to multiply :func:`live_bytes` by, so that what kernels allocate inside is covered too.

    On CPUs convolutions reorder what they read and write; the networks here were measured to take 1.05 to 1.98 times
    their live tensors. On CUDA devices :func:`~deblurkit.device.free_device_memory` leaves room for it.
    """
    return 2.0 if device.type == "cpu" else 1.0


class LiveTensors(TorchDispatchMode):
    """While active, follows which tensors are alive after each operation, and what they take together.

    Views count once, with the memory that they share. What a kernel allocates and frees inside is not seen.

    Args:
        given: Tensors that do not count, such as weights.

    Attributes:
        peak_bytes: The most that was alive at once.
    """

    def __init__(self, given: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.peak_bytes = 0
        self._given = {tensor.untyped_storage()._cdata for tensor in given}
        self._live: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Sequence[type], args: Arguments = (), kwargs: Named | None = None
    ) -> Any:
        """Runs the operation, then counts."""
        outputs = func(*args, **(kwargs or {}))
        # By storage, as views share theirs; by weak references, as a strong one would keep alive what it counts.
        self._live = {key: entry for key, entry in self._live.items() if not entry[0].expired()}
        for tensor in tree_leaves(outputs):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self._given:
                    self._live[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.peak_bytes = max(self.peak_bytes, sum(size for _, size in self._live.values()))
        return outputs
