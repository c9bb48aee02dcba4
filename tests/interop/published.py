"""The networks of DeblurGAN and DeblurGAN-v2 under the names of their public code, written from what is known of it.

They make the files that the tests read, and say what such a file should compute. Nothing here knows our converter.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Residual(nn.Module):
    """A residual block, whose layers the public code calls ``conv_block``."""

    def __init__(self, width: int, convs: int, dropout: bool, tracked: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(convs):
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3)]
            layers += [nn.InstanceNorm2d(width, track_running_stats=tracked)]
            if index == 0:
                layers += [nn.ReLU(), *([nn.Dropout(0.5)] if dropout else [])]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        return features + self.conv_block(features)


class PublishedDeblurGAN(nn.Module):
    """One row of layers, ``model``; the image is added outside it."""

    def __init__(self, width: int, blocks: int, convs: int, dropout: bool = True, tracked: bool = True) -> None:
        super().__init__()

        def normed(layer: nn.Module, channels: int) -> list[nn.Module]:
            return [layer, nn.InstanceNorm2d(channels, track_running_stats=tracked), nn.ReLU()]

        down = [nn.Conv2d(width * k, width * 2 * k, 3, stride=2, padding=1) for k in (1, 2)]
        up = [nn.ConvTranspose2d(width * 2 * k, width * k, 3, 2, padding=1, output_padding=1) for k in (2, 1)]
        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            *normed(nn.Conv2d(3, width, 7), width),
            *normed(down[0], 2 * width),
            *normed(down[1], 4 * width),
            *(Residual(4 * width, convs, dropout, tracked) for _ in range(blocks)),
            *normed(up[0], 2 * width),
            *normed(up[1], width),
            nn.ReflectionPad2d(3),
            nn.Conv2d(width, 3, 7),
            nn.Tanh(),
        )

    def forward(self, blurred: Tensor) -> Tensor:
        return (blurred + self.model(blurred)).clamp(-1, 1)


class InvertedResidual(nn.Module):
    """MobileNetV2's block in one flat row, as the public code has it."""

    def __init__(self, before: int, after: int, stride: int, widening: int) -> None:
        super().__init__()
        inner = before * widening
        widen = [nn.Conv2d(before, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU6()] if widening > 1 else []
        self.conv = nn.Sequential(
            *widen,
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU6(),
            nn.Conv2d(inner, after, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.skips = stride == 1 and before == after

    def forward(self, features: Tensor) -> Tensor:
        return features + self.conv(features) if self.skips else self.conv(features)


def mobilenet() -> nn.Sequential:
    """All 19 layers of MobileNetV2's features."""
    layers: list[nn.Module] = [nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6())]
    before = 32
    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for widening, after, repeats, stride in rows:
        for index in range(repeats):
            layers.append(InvertedResidual(before, after, stride if index == 0 else 1, widening))
            before = after
    layers.append(nn.Sequential(nn.Conv2d(320, 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU6()))
    return nn.Sequential(*layers)


class Inception(nn.Module):
    """Inception-ResNet-v2 whole, with the classifier's older name."""

    def __init__(self) -> None:
        super().__init__()
        from timm.models.inception_resnet_v2 import InceptionResnetV2

        for name, layer in InceptionResnetV2().named_children():
            self.add_module("last_linear" if name == "classif" else name, layer)


class Pyramid(nn.Module):
    """The part ``fpn``: the encoder whole and, again, in five stages; laterals; smoothing convolutions."""

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.kind = kind
        if kind == "inception":
            self.inception = Inception()
            stages = self._inception_stages()
        elif kind == "mobilenet":
            self.features = mobilenet()
            stages = [self.features[a:b] for a, b in ((0, 2), (2, 4), (4, 7), (7, 11), (11, 16))]
        else:
            stages = self._dense_stages()
        for index, stage in enumerate(stages):
            self.add_module(f"enc{index}", stage)
        if kind != "densenet":
            for index in (1, 2, 3):
                norm = nn.InstanceNorm2d(width, track_running_stats=True)
                self.add_module(f"td{index}", nn.Sequential(nn.Conv2d(width, width, 3, padding=1), norm, nn.ReLU()))
        taken = {
            "inception": (32, 64, 192, 1088, 2080),
            "mobilenet": (16, 24, 32, 64, 160),
            "densenet": (64, 256, 512, 1024, 1024),
        }[kind]
        for index, channels in enumerate(taken):
            out = width // 2 if index == 0 else width
            self.add_module(f"lateral{index}", nn.Conv2d(channels, out, 1, bias=False))

    def _inception_stages(self) -> list[nn.Module]:
        rows = (
            "conv2d_2a conv2d_2b maxpool_3a",
            "conv2d_3b conv2d_4a maxpool_5a",
            "mixed_5b repeat mixed_6a",
            "repeat_1 mixed_7a",
        )
        network = self.inception
        stages = [nn.Sequential(*(getattr(network, name) for name in row.split())) for row in rows]
        return [network.conv2d_1a, *stages]

    def _dense_stages(self) -> list[nn.Module]:
        from torchvision.models import densenet121

        self.features = densenet121(weights=None).features
        found = self.features
        for index in (1, 2, 3):
            self.add_module(f"tr{index}", getattr(found, f"transition{index}"))
        self.pool0, self.norm = found.pool0, found.norm5
        blocks = [getattr(found, f"denseblock{index}") for index in (1, 2, 3, 4)]
        return [nn.Sequential(found.conv0, found.norm0, found.relu0), *blocks]

    def _encoded(self, image: Tensor) -> list[Tensor]:
        maps = [self.enc0(image)]
        for index in (1, 2, 3, 4):
            features = maps[-1]
            if self.kind == "densenet":
                features = self.pool0(features) if index == 1 else getattr(self, f"tr{index - 1}")(features)
            maps.append(getattr(self, f"enc{index}")(features))
        return [*maps[:4], self.norm(maps[4])] if self.kind == "densenet" else maps

    def forward(self, image: Tensor) -> list[Tensor]:
        sides = [getattr(self, f"lateral{index}")(tap) for index, tap in enumerate(self._encoded(image))]
        found = [sides[4]]
        for order, index in enumerate((3, 2, 1), start=1):
            summed = sides[index] + functional.interpolate(found[0], scale_factor=2)
            found.insert(0, summed if self.kind == "densenet" else getattr(self, f"td{order}")(summed))
        return [sides[0], *found]


class Head(nn.Module):
    """Two convolutions without bias."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block0 = nn.Conv2d(width, width // 2, 3, padding=1, bias=False)
        self.block1 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        return self.block1(self.block0(features).relu()).relu()


class PublishedV2(nn.Module):
    """A generator of DeblurGAN-v2: ``inception``, ``mobilenet`` or ``densenet``."""

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.kind = kind
        self.fpn = Pyramid(kind, width)
        self.head1, self.head2, self.head3, self.head4 = (Head(width) for _ in range(4))

        def smooth(before: int, after: int) -> nn.Sequential:
            tracked = nn.InstanceNorm2d(after, track_running_stats=True)
            norm = nn.BatchNorm2d(after) if kind == "densenet" else tracked
            return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), norm, nn.ReLU())

        self.smooth = smooth(2 * width, width // 2)
        self.smooth2 = smooth(width // 2, width // 4)
        self.final = nn.Conv2d(width // 4, 3, 3, padding=1)

    def forward(self, blurred: Tensor) -> Tensor:
        finest, *levels = self.fpn(blurred)
        heads: Sequence[nn.Module] = (self.head1, self.head2, self.head3, self.head4)
        maps = [functional.interpolate(heads[k](levels[k]), scale_factor=2**k) for k in (3, 2, 1, 0)]
        joined = functional.interpolate(self.smooth(torch.cat(maps, 1)), scale_factor=2)
        refined = functional.interpolate(self.smooth2(joined + finest), scale_factor=2)
        residual = self.final(refined).tanh()
        return residual if self.kind == "densenet" else (blurred + residual).clamp(-1, 1)
