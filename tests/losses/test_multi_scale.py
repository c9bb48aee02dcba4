"""The loss over scales and the pyramid against computations by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from deblurkit.losses.multi_scale import MultiScaleMSELoss
from deblurkit.losses.views import pyramid, select
from deblurkit.options.selection import parse_selection

PRED = [torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0.5, -0.5])]
TARGET = [torch.tensor([1.0, 0.0, 0.0, 2.0]), torch.tensor([0.5, 0.5])]
FINE, COARSE = (0 + 4 + 9 + 4) / 4 / 2, (0 + 1) / 2 / 2


@pytest.mark.parametrize(
    ("weights", "wanted"), [(None, FINE + COARSE), ([1, 1], FINE + COARSE), ([0.5, 3.0], FINE / 2 + 3 * COARSE)]
)
def test_sum_of_half_mean_squares(weights: Sequence[float] | None, wanted: float):
    assert MultiScaleMSELoss(weights)(PRED, TARGET).item() == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("pred", "target", "weights", "message"),
    [
        (PRED, TARGET[:1], None, "1 and 2 scales"),
        ([], [], None, "0 and 0 scales"),
        (PRED, TARGET, [1.0, 1.0, 1.0], "3 entries for 2 scales"),
        (torch.zeros(2, 3), TARGET, None, "got one tensor"),
    ],
)
def test_lists_that_do_not_fit_are_refused(pred: list, target: list, weights: list | None, message: str):
    with pytest.raises(ValueError, match=message):
        MultiScaleMSELoss(weights)(pred, target)


@pytest.mark.parametrize("weights", [[], [1.0, -1.0]])
def test_bad_weights_are_refused(weights: list[float]):
    with pytest.raises(ValueError, match="not negative"):
        MultiScaleMSELoss(weights)


def shrunk(image: np.ndarray, factor: int) -> np.ndarray:
    """Bicubic, a = -0.75, on both axes: the four pixels around a centre weigh -3/32, 19/32, 19/32, -3/32."""
    for axis in (-2, -1):
        length = image.shape[axis]
        first = factor * np.arange(length // factor) + factor // 2 - 2
        taps = zip((0, 1, 2, 3), (-3, 19, 19, -3), strict=True)
        image = sum(
            weight / 32 * np.take(image, np.clip(first + tap, 0, length - 1), axis=axis) for tap, weight in taps
        )
    return image


@pytest.mark.parametrize("size", [(16, 24), (33, 47), (9, 6)])
def test_pyramid_is_bicubic_without_antialiasing(size: tuple[int, int]):
    image = torch.rand(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    whole, half, quarter = pyramid(image)
    assert whole is image
    np.testing.assert_allclose(half.numpy(), shrunk(image.numpy(), 2), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(quarter.numpy(), shrunk(image.numpy(), 4), rtol=1e-6, atol=1e-8)


def test_pyramid_in_a_term():
    image: Tensor = torch.rand(1, 3, 8, 8)
    found = select(parse_selection("pyramid(sharp)"), {"blurred": image, "sharp": image})
    assert [item.shape[-1] for item in found] == [8, 4, 2]
