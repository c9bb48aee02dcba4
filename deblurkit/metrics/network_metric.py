"""The base of metrics that compare images by a network's features, and the reading of their backbones."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from deblurkit.device import tf32
from deblurkit.metrics.images import Array, comparable
from deblurkit.pretrained import PUBLISHED, is_published, torchvision_features

_LEAST_SIDE = 32  # below it a pooling layer of AlexNet has nothing to pool

BACKBONES = {"alex": "alexnet", "squeeze": "squeezenet1_1", "vgg": "vgg16"}
"""torchvision's name of the network behind each name of a backbone."""


class NetworkMetric:
    """A distance of two images that a frozen network computes, in float32 and without gradients.

    One pair at a time goes through one of these networks, whichever threads ask: features need much memory, and torch
    spreads each layer over the cores by itself. On CUDA devices they compute without TF32
    (:func:`deblurkit.device.tf32`), and so wait for a generator that another thread runs there.

    Args:
        title: The metric's name in messages.
        network: Returns the distance of two tensors ``(1, 3, h, w)`` in [0, 1].
        notes: What every report must say of its values.
    """

    higher_is_better = False
    unit = ""
    needs_sharp = True

    def __init__(self, title: str, network: nn.Module, notes: list[str]) -> None:
        self.title = title
        self.network = network.eval().requires_grad_(False)
        self.notes = notes
        self._device = torch.device("cpu")

    def to(self, device: str | torch.device) -> NetworkMetric:
        """Computes on ``device`` from now on, and returns the metric itself."""
        self._device = torch.device(device)
        self.network.to(self._device)
        return self

    def __call__(self, restored: Array, sharp: Array) -> float:
        """Returns the distance of ``restored`` from ``sharp``, both ``(h, w, 3)`` RGB, 0 for identical images.

        Raises:
            ValueError: The images differ in shape or dtype, are not RGB, or a side is shorter than 32 pixels.
        """
        first, second, white = comparable(restored, sharp)
        if first.ndim != 3 or first.shape[2] != 3:
            raise ValueError(f"{self.title} needs images of shape (h, w, 3), these have {first.shape}")
        height, width = first.shape[:2]
        if min(height, width) < _LEAST_SIDE:
            least = f"{_LEAST_SIDE} x {_LEAST_SIDE}"
            raise ValueError(f"{self.title} needs at least {least} pixels, the images have {height} x {width}")
        one, other = _tensor(first, white).to(self._device), _tensor(second, white).to(self._device)
        # TF32 keeps ten bits of each factor: that moves published decimals, so it is off whatever the user says
        with tf32(False), torch.inference_mode():
            return float(self.network(one, other))


def backbone(net: str, weights: str | None, title: str) -> tuple[nn.Sequential, list[str]]:
    """Reads the features that a metric compares with; returns them, and what reports must say of them.

    Args:
        net: One of :data:`BACKBONES`.
        weights: A file of torchvision's, ``random``, or ``None`` for torchvision's cache. Nothing is downloaded.
        title: The metric's name in messages.

    Raises:
        MissingWeightsError: There is no such file.
        UserError: It is not the network's.
    """
    name = BACKBONES[net]
    published = PUBLISHED[name]
    advice = (
        f"or name the file with `--backbone {net}=FILE`; `--backbone {net}=random` is for trials only. "
        f"The file is published at {published.url}"
    )
    what = f"the ImageNet weights of {published.title} for {title}"
    features = torchvision_features(name, weights, advice=advice, what=what)
    # whatever is not the published file gives numbers that compare with no others: every report says so
    notes = []
    if weights == "random":
        notes = [f"{title}: random backbone, this is not {title.split()[0]}"]
    elif not is_published(name, weights):
        told = f"{title}: the backbone is not torchvision's published {published.file} (its SHA-256 differs)"
        notes = [f"{told}; compare with no others"]
    return features, notes


def _tensor(image: Array, white: float) -> Tensor:
    """Returns ``(1, 3, h, w)`` float32 with white at 1."""
    scaled = image.astype(np.float32) / np.float32(white)
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))[None]
