"""Pixel losses and views against hand computations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from deblurkit.losses.frequency import FrequencyLoss
from deblurkit.losses.pixel import CharbonnierLoss, L1Loss, MSELoss, PSNRLoss, SmoothL1Loss
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


def test_smooth_l1_has_half_the_square_within_one_and_a_line_beyond():
    """The crosshatch paper prints half the norm: 0.2 at 0.4 where half the square is 0.08."""
    zero = torch.zeros(1)
    values = [SmoothL1Loss()(torch.full((1,), d), zero).item() for d in (0.4, -0.4, 1.0, 1.5)]
    assert values == pytest.approx([0.08, 0.08, 0.5, 1.0])


@pytest.mark.parametrize(("value_range", "scale"), [((0.0, 1.0), 1.0), ((-1.0, 1.0), 2.0)])
def test_psnr_loss_in_both_ranges(value_range: tuple[float, float], scale: float):
    """Errors of 0.1 and 0.01 of the range are 20 and 40 dB; none is 80; the batch counts image by image."""
    loss, target = PSNRLoss(), torch.full((2, 3, 4, 4), value_range[0])
    loss.value_range = value_range
    errors = torch.tensor([0.1, 0.01]).view(2, 1, 1, 1) * scale
    assert loss(target + errors[:1], target[:1]).item() == pytest.approx(-20, abs=1e-4)
    assert loss(target + errors, target).item() == pytest.approx(-30, abs=1e-3)
    assert loss(target, target).item() == pytest.approx(-80, abs=1e-4)
    assert loss(target + 20 * errors[:1], target[:1]).item() == pytest.approx(20 * 0.30103, abs=1e-4), "not clipped"


def test_charbonnier_by_hand():
    """3 and 4 make 5; where nothing differs eps is left; the slope there is 0 and far off nearly 1."""
    pred, target = torch.tensor([3.0, 1.0], requires_grad=True), torch.tensor([0.0, 1.0])
    value = CharbonnierLoss(eps=4.0)(pred, target)
    assert value.item() == pytest.approx((5 + 4) / 2)
    value.backward()
    assert pred.grad.tolist() == pytest.approx([3 / 5 / 2, 0])
    assert CharbonnierLoss()(target, target).item() == pytest.approx(1e-3)


RAMP = torch.arange(5.0).mul(0.1).repeat(4, 1)[None, None]
EDGE = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 1.0]).repeat(4, 1)[None, None]
"""Columns rising by 0.1, and a step of 1 after the third column."""


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("image", "magnitude", "component", "step"),
    [
        # a slope of 0.1 spans 0.2, times 4 rows of the kernel; replicated borders halve it, reflected ones cancel it
        (RAMP, [0.1, 0.2, 0.2, 0.2, 0.1], [0, 0.8, 0.8, 0.8, 0], [0.1, 0.1, 0.1, 0.1, 0]),
        (EDGE, [0, 0, 1, 1, 0, 0], [0, 0, 4, 4, 0, 0], [0, 0, 1, 0, 0, 0]),
        (torch.full((1, 1, 4, 3), 0.7), [0, 0, 0], [0, 0, 0], [0, 0, 0]),
    ],
)
def test_views_of_a_ramp_and_an_edge(
    image: torch.Tensor, magnitude: list[float], component: list[float], step: list[float], turned: bool
):
    """Every row is the same; turned by 90 degrees, what was horizontal is vertical."""

    def rows(seen: torch.Tensor) -> torch.Tensor:
        return seen.transpose(-1, -2) if turned else seen

    image = rows(image)
    found = rows(sobel(image))[0, 0]
    wanted = (torch.tensor(magnitude, dtype=torch.float32).square() + 1e-6).sqrt()
    torch.testing.assert_close(found, wanted.expand_as(found), rtol=1e-5, atol=1e-6)
    for view, across in ((sobel_components, component), (difference, step)):
        seen = rows(view(image))[0]
        along, other = seen.flip(0) if turned else seen
        torch.testing.assert_close(along, torch.tensor(across, dtype=torch.float32).expand_as(along))
        torch.testing.assert_close(other, torch.zeros_like(other), rtol=0, atol=1e-6)


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


def test_the_frequency_loss_weighs_each_frequency_alike_whatever_the_size() -> None:
    generator = torch.Generator().manual_seed(0)
    losses = []
    for side in (32, 128):
        difference = torch.randn(2, 3, side, side, generator=generator)
        losses.append(float(FrequencyLoss()(difference, torch.zeros_like(difference))))
    # The variance of 1 is half in the real and half in the imaginary parts: the mean size of such a normal number.
    assert losses == pytest.approx([math.sqrt(1 / math.pi)] * 2, rel=0.05)
    assert float(FrequencyLoss()(difference, difference)) == 0
    halves = difference.bfloat16()
    assert FrequencyLoss()(halves, torch.zeros_like(halves)).dtype == torch.float32
