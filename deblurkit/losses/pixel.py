"""Losses between two tensors of one shape, as means over all elements."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from deblurkit.losses.functional import charbonnier, negative_psnr
from deblurkit.registry import LOSSES


@LOSSES.register_module()
class L1Loss(nn.Module):
    """``mean |pred - target|``."""

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return functional.l1_loss(pred, target)


@LOSSES.register_module()
class MSELoss(nn.Module):
    """``mean (pred - target)^2``."""

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return functional.mse_loss(pred, target)


@LOSSES.register_module()
class SmoothL1Loss(nn.Module):
    """``mean``: half the square over ``beta`` where the difference is below ``beta``, else its size less beta / 2.

    Args:
        beta: Where the parabola meets the line, in the images' own range.

    Reference:
        Girshick: Fast R-CNN, ICCV 2015, equation 3 (``beta`` 1). The crosshatch paper's equation 6 prints half the
        norm where this has half the square, and the norm for the size of one difference; its text says smooth L1.
    """

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        if beta < 0:
            raise ValueError(f"beta must not be negative, got {beta}")
        self.beta = beta

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return functional.smooth_l1_loss(pred, target, beta=self.beta)


@LOSSES.register_module()
class CharbonnierLoss(nn.Module):
    """``mean sqrt((pred - target)^2 + eps^2)``: see :func:`deblurkit.losses.functional.charbonnier`."""

    def __init__(self, eps: float = 1e-3) -> None:
        super().__init__()
        if eps <= 0:
            raise ValueError(f"eps must be positive, got {eps}")
        self.eps = eps

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return charbonnier(pred, target, self.eps)


@LOSSES.register_module()
class PSNRLoss(nn.Module):
    """Minus the mean PSNR of the batch's images in decibels: see :func:`deblurkit.losses.functional.negative_psnr`.

    Negative values are normal. Images that are nearly right weigh as much as those that are far off.

    Attributes:
        value_range: The range of the images it is given; the restorer sets it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.value_range = (0.0, 1.0)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        low, high = self.value_range
        return negative_psnr(pred, target, high - low)
