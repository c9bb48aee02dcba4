"""NAFNet under the names of its public code, written from what is known of it; nothing here knows our converter."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Norm(nn.Module):
    """Normalises each pixel over its channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, features: Tensor) -> Tensor:
        centred = features - features.mean(1, keepdim=True)
        normal = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
        return normal * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


class Block(nn.Module):
    """The block, layers numbered as there."""

    def __init__(self, width: int) -> None:
        super().__init__()
        twice = 2 * width
        self.conv1, self.conv2 = nn.Conv2d(width, twice, 1), nn.Conv2d(twice, twice, 3, padding=1, groups=twice)
        self.conv3, self.conv4, self.conv5 = (nn.Conv2d(width, n, 1) for n in (width, twice, width))
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, width, 1))
        self.norm1, self.norm2 = Norm(width), Norm(width)
        self.beta, self.gamma = (nn.Parameter(torch.zeros(1, width, 1, 1)) for _ in range(2))

    def forward(self, features: Tensor) -> Tensor:
        first, second = self.conv2(self.conv1(self.norm1(features))).chunk(2, 1)
        gated = first * second
        features = features + self.beta * self.conv3(gated * self.sca(gated))
        first, second = self.conv4(self.norm2(features)).chunk(2, 1)
        return features + self.gamma * self.conv5(first * second)


def row(width: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(*(Block(width) for _ in range(blocks)))


class PublishedNAFNet(nn.Module):
    """The whole network, which pads with zeros inside; every weight has a value that shows."""

    def __init__(
        self, width: int = 4, down: Sequence[int] = (1, 2), middle: int = 1, up: Sequence[int] = (2, 1)
    ) -> None:
        super().__init__()
        self.intro, self.ending = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1)
        widths = [width * 2**level for level in range(len(down) + 1)]
        self.encoders = nn.ModuleList(row(w, n) for w, n in zip(widths, down, strict=False))
        self.downs = nn.ModuleList(nn.Conv2d(w, 2 * w, 2, 2) for w in widths[:-1])
        self.middle_blks = row(widths[-1], middle)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(w, 2 * w, 1, bias=False), nn.PixelShuffle(2)) for w in widths[:0:-1]
        )
        self.decoders = nn.ModuleList(row(w, n) for w, n in zip(widths[-2::-1], up, strict=True))
        shown(self)

    def forward(self, blurred: Tensor) -> Tensor:
        height, width = blurred.shape[2:]
        divisor = 2 ** len(self.encoders)
        blurred = functional.pad(blurred, (0, -width % divisor, 0, -height % divisor))
        features, skips = self.intro(blurred), []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            skips.append(encoder(features))
            features = down(skips[-1])
        features = self.middle_blks(features)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            features = decoder(up(features) + skips.pop())
        return (self.ending(features) + blurred)[:, :, :height, :width]


def shown(network: nn.Module) -> nn.Module:
    """Gives each weight, beta and gamma included, a small value of its own, so that the image changes visibly."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return network
