"""Losses between two tensors of one shape, as means over all elements."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

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
    """``mean sqrt((pred - target)^2 + eps^2)``: L1 that is smooth at zero.

    Reference:
        Charbonnier et al., ICIP 1994; with ``eps`` 1e-3 as in Lai et al., LapSRN, CVPR 2017, equation 4.
    """

    def __init__(self, eps: float = 1e-3) -> None:
        super().__init__()
        if eps <= 0:
            raise ValueError(f"eps must be positive, got {eps}")
        self.eps = eps

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return torch.sqrt((pred - target).square() + self.eps**2).mean()


@LOSSES.register_module()
class PSNRLoss(nn.Module):
    """Minus the mean PSNR of the batch's images in decibels, ``mean 10 log10(MSE_i / peak^2 + 1e-8)``.

    Negative values are normal. Images that are nearly right weigh as much as those that are far off.

    Attributes:
        value_range: The range of the images it is given, whose width is the peak; the restorer sets it.

    Reference:
        Chen et al.: Simple Baselines for Image Restoration, ECCV 2022 (public code).
    """

    def __init__(self) -> None:
        super().__init__()
        self.value_range = (0.0, 1.0)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        low, high = self.value_range
        # of each image, then their mean: the logarithm of the batch's error would let its worst image decide
        error = (pred - target).square().flatten(1).mean(1) / (high - low) ** 2
        # 1e-8 ends the scale at 80 dB, where identical images would have no logarithm
        return 10.0 * torch.log10(error + 1e-8).mean()
