"""Views: functions of an image that a loss term may compare in its place, named in ``pred`` and ``target``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from deblurkit.device import without_autocast
from deblurkit.options.selection import Selection
from deblurkit.registry import VIEWS


def select(selection: Selection, named: Mapping[str, Any]) -> Any:
    """Returns what ``selection`` names in ``named``, seen through its views; a list is viewed item by item.

    Views run without autocast: a gradient image in bf16 would keep three digits.
    """
    value = named[selection.name]
    if not selection.views:
        return value
    with without_autocast(named["blurred"].device.type):
        for name in selection.views:
            value = _through(VIEWS.get(name), value)
    return value


def _through(view: Callable[..., object], value: object) -> object:
    if isinstance(value, (list, tuple)):
        return [_through(view, item) for item in value]
    return view(value)


def _sobel_pair(image: Tensor, mode: str) -> tuple[Tensor, Tensor]:
    """Returns the unnormalised horizontal and vertical Sobel responses of each channel, (n, c, h, w) each."""
    channels = image.shape[1]
    # Made where the image lies: numbers copied from the host would have it wait for the device in every step.
    slope = torch.arange(-1, 2, dtype=image.dtype, device=image.device)
    smooth = 2 - slope.abs()
    horizontal = torch.outer(smooth, slope)
    # both kernels for each channel, (2c, 1, 3, 3): with c groups each channel yields its two responses side by side
    kernels = torch.stack([horizontal, horizontal.t()])[:, None].repeat(channels, 1, 1, 1)
    padded = functional.pad(image, (1, 1, 1, 1), mode=mode)
    both = functional.conv2d(padded, kernels, groups=channels)
    return both[:, 0::2], both[:, 1::2]


@VIEWS.register_module()
def sobel(image: Tensor) -> Tensor:
    """Returns each channel's gradient magnitude ``sqrt(gx^2 + gy^2 + 1e-6)``, kernels / 4, replicate padding.

    Shape:
        ``(n, c, h, w)`` to the same. Our reading of the map M(.) of MADN (its section on the gradient branch).
    """
    horizontal, vertical = _sobel_pair(image, "replicate")
    # 1e-6: the root's gradient at zero, which flat areas have, is infinite
    return torch.sqrt((horizontal / 4).square() + (vertical / 4).square() + 1e-6)


@VIEWS.register_module()
def sobel_components(image: Tensor) -> Tensor:
    """Returns both unnormalised Sobel responses, horizontal ones first, reflect padding.

    Shape:
        ``(n, c, h, w)`` to ``(n, 2c, h, w)``. Our reading of equation 8 of the crosshatch-attention paper.
    """
    return torch.cat(_sobel_pair(image, "reflect"), dim=1)


@VIEWS.register_module()
def difference(image: Tensor) -> Tensor:
    """Returns horizontal, then vertical forward differences; zero in the last column and the last row.

    Shape:
        ``(n, c, h, w)`` to ``(n, 2c, h, w)``. Our reading of equation 9 of the structure-guided paper.
    """
    horizontal = functional.pad(image[..., :, 1:] - image[..., :, :-1], (0, 1, 0, 0))
    vertical = functional.pad(image[..., 1:, :] - image[..., :-1, :], (0, 0, 0, 1))
    return torch.cat([horizontal, vertical], dim=1)


@VIEWS.register_module()
def pyramid(image: Tensor) -> list[Tensor]:
    """Returns the image at full, half and quarter size, each made from the full size by bicubic interpolation.

    Without antialiasing: at both ratios a pixel is the weighted mean of the four by four that surround its centre.
    Sizes that 4 does not divide are rounded down.

    Shape:
        ``(n, c, h, w)`` to ``[(n, c, h, w), (n, c, h // 2, w // 2), (n, c, h // 4, w // 4)]``. MADN resizes by bicubic
        interpolation (its section 4.1); that its settings are those of torch's ``interpolate`` is our reading.
    """
    half = functional.interpolate(image, scale_factor=0.5, mode="bicubic", align_corners=False, antialias=False)
    quarter = functional.interpolate(image, scale_factor=0.25, mode="bicubic", align_corners=False, antialias=False)
    return [image, half, quarter]
