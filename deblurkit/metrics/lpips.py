"""The metric ``LPIPS``, from its authors' package ``lpips``."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from deblurkit.compat import ensure_torchvision
from deblurkit.errors import did_you_mean
from deblurkit.metrics.network_metric import BACKBONES, NetworkMetric, backbone
from deblurkit.registry import METRICS
from deblurkit.torchfile.read import read

_VERSIONS = ("0.0", "0.1")


@METRICS.register_module()
class LPIPS(NetworkMetric):
    """Learned perceptual image patch similarity: how far two images are apart in a classifier's features.

    The features of the backbone at five layers (seven of SqueezeNet) are normalised over channels, their squared
    differences weighted by channel, averaged over positions and added up. The weights by channel come with the
    package; the backbone is read from a file, never downloaded.

    Args:
        net: ``alex``, which papers report; ``vgg`` or ``squeeze``.
        weights: torchvision's file of the backbone; absent: torchvision's cache. ``random`` takes untrained features
            that are the same in every run: for trials, and no LPIPS.
        version: Of the package's weights: ``0.1``, or ``0.0``, which the package's authors found to lack the
            scaling of its input.

    Attributes:
        notes: What every report must say of the values.

    Raises:
        MissingWeightsError: The backbone's file is missing; says where to put it.
        UserError: The file is not the backbone's.
        ValueError: There is no such ``net`` or ``version``.

    Reference:
        Zhang, Isola, Efros, Shechtman, Wang: The unreasonable effectiveness of deep features as a perceptual metric,
        CVPR 2018, equation 1. Images are mapped to [-1, 1], as the package expects.
    """

    def __init__(self, net: str = "alex", weights: str | None = None, version: str = "0.1") -> None:
        if net not in BACKBONES:
            raise ValueError(f"net is one of {', '.join(BACKBONES)}, got {net!r}{did_you_mean(net, BACKBONES)}")
        if version not in _VERSIONS:
            raise ValueError(f"version is one of {', '.join(_VERSIONS)}, got {version!r}")
        title = f"LPIPS ({net})" if version == "0.1" else f"LPIPS ({net}, version {version})"
        features, notes = backbone(net, weights, title)
        super().__init__(title, _Network(net, version, features), notes)


class _Network(nn.Module):
    """The package's network, with the backbone that it is given."""

    def __init__(self, net: str, version: str, features: nn.Sequential) -> None:
        super().__init__()
        ensure_torchvision()
        import lpips

        # on the meta device, as the package would draw a whole classifier at random; it calls torchvision by old names
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.filterwarnings("ignore", category=UserWarning, module=r"torchvision\.models")
            self.network = lpips.LPIPS(net=net, version=version, pretrained=False, pnet_rand=True, verbose=False)
        # The package reads its heads with torch.load and leaves the backbone to torchvision, which downloads. Both come
        # through our own readers instead, and ``assign`` puts them in place of the tensors on the meta device.
        heads = Path(lpips.__file__).parent / "weights" / f"v{version}" / f"{net}.pth"
        self.network.load_state_dict(read(heads), strict=False, assign=True)  # each head has two names, one is there
        known = features.state_dict()
        layers = {name: known[name.split(".", 1)[1]] for name in self.network.net.state_dict()}  # sliceK.NAME
        self.network.net.load_state_dict(layers, assign=True)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.network(first, second, normalize=True)
