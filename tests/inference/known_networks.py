"""Networks whose reach is known, for the inference modes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional


class Identity(nn.Module):
    """Returns its input; says what sizes it takes."""

    def __init__(self, size_divisor: int = 1, min_size: int = 0, value_range: tuple[float, float] = (0.0, 1.0)) -> None:
        super().__init__()
        self.size_divisor = size_divisor
        self.min_size = min_size
        self.value_range = value_range

    def forward(self, blurred: Tensor) -> Tensor:
        assert all(side % self.size_divisor == 0 and side >= self.min_size for side in blurred.shape[-2:])
        return blurred


class Pyramid(nn.Module):
    """Strides, zero padding, skips and transposed convolutions: local, and not the same at every pixel."""

    size_divisor = 8

    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(channels, channels, 3, 2, 1) for _ in range(3))
        self.up = nn.ModuleList(nn.ConvTranspose2d(channels, channels, 4, 2, 1) for _ in range(3))
        self.last = nn.Conv2d(channels, 3, 3, padding=1)
        self.eval()

    def forward(self, blurred: Tensor) -> dict[str, Tensor]:
        skips = [self.first(blurred)]
        for layer in self.down:
            skips.append(torch.tanh(layer(skips[-1])))
        features = skips.pop()
        for layer in self.up:
            features = torch.tanh(layer(features)) + skips.pop()
        return {"image": blurred + self.last(features)}


class MeanShift(nn.Module):
    """Global: takes half of the mean away."""

    def __init__(self) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(0.5))

    def forward(self, blurred: Tensor) -> Tensor:
        return blurred - self.share * functional.adaptive_avg_pool2d(blurred, 1)


class Fails(nn.Module):
    """Raises ``error`` for images with more than ``most`` pixels, as an allocator does; else brightens."""

    def __init__(self, most: int, error: Callable[[], Exception], size_divisor: int = 1) -> None:
        super().__init__()
        self.most = most
        self.error = error
        self.size_divisor = size_divisor
        self.tried: list[tuple[int, int]] = []

    def forward(self, blurred: Tensor) -> Tensor:
        if blurred.device.type != "meta" and not blurred.isnan().any():  # what is asked about it goes well
            self.tried.append((blurred.shape[2], blurred.shape[3]))
            if blurred.shape[2] * blurred.shape[3] > self.most:
                raise self.error()
        return 0.5 + blurred / 2
