"""Pixel losses and views against hand computations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from deblurkit.losses.pixel import CharbonnierLoss, L1Loss, MSELoss, SmoothL1Loss
from deblurkit.losses.views import difference, select, sobel, sobel_components
from deblurkit.options.selection import parse_selection

PRED, TARGET = torch.tensor([0.0, 0.5, 3.0, -1.0]), torch.tensor([0.0, 0.25, 1.0, 1.0])


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [
        (L1Loss(), (0 + 0.25 + 2 + 2) / 4),
        (MSELoss(), (0 + 0.0625 + 4 + 4) / 4),
        (SmoothL1Loss(), (0 + 0.03125 + 1.5 + 1.5) / 4),
        (SmoothL1Loss(beta=0.1), (0 + 0.2 + 1.95 + 1.95) / 4),
        (CharbonnierLoss(eps=0.5), sum((d * d + 0.25) ** 0.5 for d in (0, 0.25, 2, 2)) / 4),
    ],
)
def test_pixel_losses(loss: torch.nn.Module, wanted: float):
    assert loss(PRED, TARGET).item() == pytest.approx(wanted, rel=1e-6)


@pytest.fixture
def image() -> torch.Tensor:
    return torch.rand(2, 3, 7, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("mode", "scale"), [("nearest", 4.0), ("mirror", 1.0)])
def test_sobel_of_both_kinds(image: torch.Tensor, mode: str, scale: float):
    """scipy calls replicate padding ``nearest`` and reflect padding ``mirror``."""
    gx = np.stack([[ndimage.sobel(c, axis=1, mode=mode) for c in item] for item in image.numpy()]) / scale
    gy = np.stack([[ndimage.sobel(c, axis=0, mode=mode) for c in item] for item in image.numpy()]) / scale
    if mode == "nearest":
        found, wanted = sobel(image), np.sqrt(gx**2 + gy**2 + 1e-6)
    else:
        found, wanted = sobel_components(image), np.concatenate([gx, gy], axis=1)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12, atol=1e-12)


def test_difference(image: torch.Tensor):
    found = difference(image)
    assert found.shape == (2, 6, 7, 9)
    np.testing.assert_allclose(found[:, :3, :, :-1].numpy(), np.diff(image.numpy(), axis=3))
    np.testing.assert_allclose(found[:, 3:, :-1].numpy(), np.diff(image.numpy(), axis=2))
    assert not found[:, :3, :, -1].any()
    assert not found[:, 3:, -1].any()


def test_views_nest_and_take_lists(image: torch.Tensor):
    named = {"blurred": image, "scales": [image, image[..., ::2, ::2]]}
    found = select(parse_selection("difference(sobel(scales))"), named)
    for item, source in zip(found, named["scales"], strict=True):
        assert torch.equal(item, difference(sobel(source)))
