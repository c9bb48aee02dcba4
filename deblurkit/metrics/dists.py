"""The metric ``DISTS``."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from deblurkit.metrics.network_metric import NetworkMetric, backbone
from deblurkit.registry import METRICS
from deblurkit.torchfile.read import read

_TAPS = (3, 8, 15, 22, 29)  # VGG-16's last ReLU before each pooling layer
_STABILISER = 1e-6


@METRICS.register_module()
class DISTS(NetworkMetric):
    """Deep image structure and texture similarity: how far two images are apart in texture and in structure.

    Of each channel of the image and of VGG-16's features at five layers, the means over all positions are compared
    (texture) and so are variances and covariance (structure); DISTS is 1 minus the weighted sum of these similarities.
    VGG-16's pooling takes the root of locally averaged squares in place of the maximum.

    The published weights come with the package ``torchmetrics``, whose own function takes a backbone from torchvision
    only, which downloads it; the backbone here is read from a file.

    Args:
        net: ``vgg``, the only backbone there are weights for.
        weights: torchvision's file of VGG-16; absent: torchvision's cache. ``random`` takes untrained features that
            are the same in every run: for trials, and no DISTS.

    Attributes:
        notes: What every report must say of the values.

    Raises:
        MissingWeightsError: The backbone's file is missing; says where to put it.
        UserError: The file is not VGG-16's.
        ValueError: There is no such ``net``.

    Reference:
        Ding, Ma, Wang, Simoncelli: Image quality assessment: unifying structure and texture similarity, IEEE TPAMI
        2022. Images are compared at their own size; the authors' code can scale the shorter side to 256 pixels first.
        Covariances are taken of centred values (ours), so that identical images score 0.
    """

    def __init__(self, net: str = "vgg", weights: str | None = None) -> None:
        if net != "vgg":
            raise ValueError(f"net is vgg, got {net!r}")
        features, notes = backbone(net, weights, "DISTS (vgg)")
        super().__init__("DISTS (vgg)", _Network(features), notes)


class _Network(nn.Module):
    weights: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, features: nn.Sequential) -> None:
        super().__init__()
        layers = list(features)[: _TAPS[-1] + 1]
        self.layers = nn.Sequential(*(_RootMeanSquare() if isinstance(x, nn.MaxPool2d) else x for x in layers))
        self.register_buffer("weights", _published_weights())
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        maps = torch.cat((first, second))
        similarities = [_similarities(maps)]  # the image itself is the first of the six representations
        maps = (maps - self.mean) / self.std
        for index, layer in enumerate(self.layers):
            maps = layer(maps)
            if index in _TAPS:
                similarities.append(_similarities(maps))
        return 1 - (self.weights * torch.cat(similarities, dim=1)).sum()


class _RootMeanSquare(nn.Module):
    """Half the size: the root of the squares' mean under a 3x3 binomial window."""

    def forward(self, maps: Tensor) -> Tensor:
        # a maximum picks single positions and so aliases; the blurred root of squares lets textures move without effect
        line = maps.new_tensor([0.25, 0.5, 0.25])
        channels = maps.shape[1]
        window = (line[:, None] * line).expand(channels, 1, 3, 3)
        squares = functional.conv2d(maps.square(), window, stride=2, padding=1, groups=channels)
        return (squares + 1e-12).sqrt()


def _similarities(maps: Tensor) -> Tensor:
    """Returns ``(2, c)`` in float64, texture and structure, of two images' maps ``(2, c, h, w)``."""
    positions = maps.flatten(2)
    mean = positions.mean(2)
    # of centred values: E(xy) - E(x)E(y) would leave two rounding errors that differ, and identical images off zero
    centred = positions - mean[..., None]
    variance = centred.square().mean(2).double()
    covariance = centred.prod(0).mean(1).double()
    mean = mean.double()
    texture = (2 * mean.prod(0) + _STABILISER) / (mean.square().sum(0) + _STABILISER)
    structure = (2 * covariance + _STABILISER) / (variance.sum(0) + _STABILISER)
    return torch.stack((texture, structure))


def _published_weights() -> Tensor:
    """Returns ``(2, channels)``: each channel's share in texture and in structure; all of them sum to 1."""
    package = importlib.util.find_spec("torchmetrics")  # the package itself, heavy to import, is not needed
    if package is None or package.origin is None:
        raise ModuleNotFoundError("DISTS reads its weights from the package torchmetrics, which is not installed")
    file = Path(package.origin).parent / "functional" / "image" / "dists_models" / "weights.pt"
    state = read(file)
    shares = torch.stack((state["alpha"].flatten(), state["beta"].flatten())).double()
    return shares / shares.sum()
