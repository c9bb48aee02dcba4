"""The ImageNet networks that DeblurGAN-v2 encodes with, cut to the part that it uses."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from deblurkit.compat import ensure_torchvision
from deblurkit.pretrained import fill_from_published, read_pretrained

Padding = tuple[int, int, int, int]
"""Pixels to add at the left, right, top and bottom."""

_NO_PADDING: tuple[Padding, ...] = ((0, 0, 0, 0),) * 5


@dataclass(frozen=True)
class EncoderPlan:
    """An encoder before it is built, and where its ImageNet weights are published."""

    layers: Callable[[], dict[str, nn.Module]]  # makes them, under the names of the published network
    taps: Mapping[str, int]  # the layers whose outputs are taken, at 1/2, 1/4, 1/8, 1/16 and 1/32; their channels
    file: str
    url: str
    # How far the generator looks with it, in pixels, where no norm sees the whole map; measured. Its coarsest map
    # decides, whatever the pyramid's widths and convolutions are.
    receptive_field: int
    prefix: str = ""  # stands before a layer's name in that file
    pads: tuple[Padding, ...] = _NO_PADDING  # what a tap lacks to the exact fraction of the image's size
    min_size: int = 0  # the least side of an image that leaves each tap enough to mirror


class Encoder(nn.Sequential):
    """Layers in a row, five of whose outputs are taken; its state has the published network's names.

    Args:
        plan: What to build. Convolutions start He-normal, as no paper says; norms as the identity.

    Shape:
        ``(n, 3, h, w)`` to five maps ``(n, c, about h / 2^(k + 1), about w / 2^(k + 1))``, k = 0..4.
    """

    def __init__(self, plan: EncoderPlan) -> None:
        # on the meta device the layers of the published network that are not used cost neither time nor memory
        with torch.device("meta"):
            layers = plan.layers()
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.taps = frozenset(plan.taps)
        self.to_empty(device=torch.get_default_device())
        # what to_empty leaves is undefined memory, buffers of norms included
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()

    def forward(self, image: Tensor) -> list[Tensor]:  # type: ignore[override]
        taken = []
        features = image
        for name, layer in self.named_children():
            features = layer(features)
            if name in self.taps:
                taken.append(features)
        return taken


class OwnStatistics(nn.BatchNorm2d):
    """Batch norm that in evaluation normalises each image by its own statistics; same state as what it replaces.

    At batch size 1 it then computes in evaluation what it computes in training, and an image's neighbours in a batch
    do not matter. In training it is an ordinary batch norm.

    Args:
        norm: The batch norm that it replaces, with the activation that timm's hold.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.act = dict(norm.named_children()).get("act", nn.Identity())

    def forward(self, features: Tensor) -> Tensor:
        if self.training:
            normalized = super().forward(features)
        else:
            # instance norm by the batch norm's own scale and shift, which published weights come with
            normalized = functional.instance_norm(features, weight=self.weight, bias=self.bias, eps=self.eps)
        return self.act(normalized)


def use_own_statistics(network: nn.Module) -> None:
    """Replaces every batch norm of ``network`` by :class:`OwnStatistics`, in place."""
    for parent in list(network.modules()):  # lists, as the walk would go on into what it has put in
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d) and not isinstance(child, OwnStatistics):
                setattr(parent, name, OwnStatistics(child))


def load_imagenet(encoder: Encoder, name: str, path: str | None, download: bool) -> None:
    """Gives an encoder its published ImageNet weights; the file's unused layers are passed over.

    Raises:
        MissingWeightsError: The file is not there and may not be fetched.
        UserError: It cannot be read, or holds another network.
    """
    plan = ENCODERS[name]
    what = f"the ImageNet weights of {name}"
    advice = "or name the file with `encoder_weights: PATH`, or allow `download: true`; `encoder_weights: null` draws"
    state = read_pretrained(plan.file, plan.url, path, download, what, advice)
    weights = {modern_name(key): value for key, value in state.items()}
    fill_from_published(encoder, weights, plan.prefix, f"{path or plan.file}: not {what}")


def modern_name(key: str) -> str:
    """Returns a state dict's key; one of DenseNet's published file as torchvision names it now.

    >>> modern_name("denseblock1.denselayer2.norm.1.weight")
    'denseblock1.denselayer2.norm1.weight'
    """
    return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)", r"\1\2", key)


def _inception_resnet_v2() -> dict[str, nn.Module]:
    with torch.device("cpu"):
        ensure_torchvision()  # timm imports it
        from timm.models.inception_resnet_v2 import InceptionResnetV2
    names = """conv2d_1a conv2d_2a conv2d_2b maxpool_3a conv2d_3b conv2d_4a maxpool_5a
        mixed_5b repeat mixed_6a repeat_1 mixed_7a"""
    network = InceptionResnetV2()
    return {name: getattr(network, name) for name in names.split()}


def _mobilenet_v2() -> dict[str, nn.Module]:
    with torch.device("cpu"):
        ensure_torchvision()
        from torchvision.models import mobilenet_v2
    layers = dict(mobilenet_v2(weights=None).features.named_children())
    return {str(index): layers[str(index)] for index in range(16)}  # the third block of 160 channels is never used


def _densenet121() -> dict[str, nn.Module]:
    with torch.device("cpu"):
        ensure_torchvision()
        from torchvision.models import densenet121
    return dict(densenet121(weights=None).features.named_children())


ENCODERS = {
    "inception_resnet_v2": EncoderPlan(
        layers=_inception_resnet_v2,
        taps={"conv2d_1a": 32, "maxpool_3a": 64, "maxpool_5a": 192, "mixed_6a": 1088, "mixed_7a": 2080},
        file="inception_resnet_v2-940b1cd6.pth",
        url="https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights/"
        "inception_resnet_v2-940b1cd6.pth",
        receptive_field=1318,
        # its strided layers do not pad: 32k pixels become 16k - 1, 8k - 2, 4k - 3, 2k - 2, k - 2
        pads=((0, 1, 0, 1), (1, 1, 1, 1), (1, 2, 1, 2), (1, 1, 1, 1), (1, 1, 1, 1)),
        min_size=128,
    ),
    "mobilenet_v2": EncoderPlan(
        layers=_mobilenet_v2,
        taps={"1": 16, "3": 24, "6": 32, "10": 64, "15": 160},
        file="mobilenet_v2-b0353104.pth",
        url="https://download.pytorch.org/models/mobilenet_v2-b0353104.pth",
        receptive_field=294,
        prefix="features.",
    ),
    "densenet121": EncoderPlan(
        layers=_densenet121,
        taps={"relu0": 64, "denseblock1": 256, "denseblock2": 512, "denseblock3": 1024, "norm5": 1024},
        file="densenet121-a639ec97.pth",
        url="https://download.pytorch.org/models/densenet121-a639ec97.pth",
        receptive_field=1126,
        prefix="features.",
    ),
}
"""The encoders by name."""
