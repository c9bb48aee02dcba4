"""The loss over several scales of one image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from deblurkit.registry import LOSSES


@LOSSES.register_module()
class MultiScaleMSELoss(nn.Module):
    """``sum_i w_i / 2 * mean (pred_i - target_i)^2`` over the scales i.

    Args:
        scale_weights: ``w_i``, one a scale in the order of the lists; absent: ones (our reading, MADN gives none).

    Shape:
        Two lists, or tuples, of as many tensors, each pair of one shape, to a scalar.

    Raises:
        ValueError: A weight is negative; not two lists, or not of one length; not a weight for each scale.

    Reference:
        Zhu, Xu, Choi, Su: Multi-scale Generative Adversarial Deblurring Network with Gradient Guidance, Journal of
        Internet Technology 24(2), 2023, equation 12.
    """

    def __init__(self, scale_weights: Sequence[float] | None = None) -> None:
        super().__init__()
        if scale_weights is not None and (not scale_weights or min(scale_weights) < 0):
            raise ValueError(f"scale_weights are numbers that are not negative, got {scale_weights}")
        self.scale_weights = scale_weights

    def forward(self, pred: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
        if isinstance(pred, Tensor) or isinstance(target, Tensor):
            raise ValueError("MultiScaleMSELoss compares lists of tensors, such as pyramid(sharp), and got one tensor")
        if len(pred) != len(target) or not pred:
            raise ValueError(f"needs one target for each prediction, got {len(target)} and {len(pred)} scales")
        weights = self.scale_weights if self.scale_weights is not None else [1.0] * len(pred)
        if len(weights) != len(pred):
            raise ValueError(f"scale_weights has {len(weights)} entries for {len(pred)} scales")
        # means, so that a scale counts alike however few its pixels are
        halves: list[Tensor] = []
        for weight, restored, sharp in zip(weights, pred, target, strict=True):
            halves.append(0.5 * weight * functional.mse_loss(restored, sharp))
        return torch.stack(halves).sum()
