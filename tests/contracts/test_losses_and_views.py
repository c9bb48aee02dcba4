"""What every registered loss and view keeps."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

from deblurkit.registry import LOSSES, VIEWS

ARGUMENTS = {"PerceptualLoss": {"weights": "random", "layer": "conv1_2"}}
NAMES = [name for name in LOSSES.names() if LOSSES.get(name).__module__.startswith("deblurkit.")]
PAIRWISE = [name for name in NAMES if not hasattr(LOSSES.get(name), "critic_loss")]
GAMES = [name for name in NAMES if name not in PAIRWISE]
LISTS = {"MultiScaleMSELoss"}
ZERO_FOR_EQUAL = {"L1Loss", "MSELoss", "MultiScaleMSELoss", "SmoothL1Loss", "PerceptualLoss"}
VIEW_NAMES = [name for name in VIEWS.names() if VIEWS.get(name).__module__.startswith("deblurkit.")]


def build(name: str) -> nn.Module:
    return LOSSES.build({"type": name, **ARGUMENTS.get(name, {})})


def images(name: str) -> tuple[object, object]:
    random = torch.Generator().manual_seed(0)
    pred, target = torch.rand(2, 2, 3, 32, 32, generator=random)
    pred.requires_grad_()
    return ([pred], [target]) if name in LISTS else (pred, target)


@pytest.mark.parametrize("name", NAMES)
def test_constructor_names_its_arguments(name: str):
    parameters = list(inspect.signature(LOSSES.get(name).__init__).parameters.values())
    if LOSSES.get(name).__init__ is nn.Module.__init__:
        return
    assert not [p.name for p in parameters if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    assert "weight" not in [p.name for p in parameters], "the weight is the term's"


@pytest.mark.parametrize("name", PAIRWISE)
def test_pairwise_loss_is_a_finite_scalar_with_a_gradient(name: str):
    pred, target = images(name)
    value = build(name)(pred, target)
    assert value.shape == ()
    value.backward()
    leaf = pred[0] if isinstance(pred, list) else pred
    assert torch.isfinite(value)
    assert torch.isfinite(leaf.grad).all()
    assert leaf.grad.abs().sum() > 0


@pytest.mark.parametrize("name", PAIRWISE)
def test_pairwise_loss_is_a_mean(name: str):
    """Twice the batch, each image twice, is the same value; equal images are the least."""
    pred, target = images(name)
    loss = build(name)
    if isinstance(pred, list):
        doubled = [torch.cat([p, p]) for p in pred], [torch.cat([t, t]) for t in target]
    else:
        doubled = torch.cat([pred, pred]), torch.cat([target, target])
    assert loss(*doubled).item() == pytest.approx(loss(pred, target).item(), rel=1e-4)
    least = loss(target, target).item()
    assert least < loss(pred, target).item()
    if name in ZERO_FOR_EQUAL:
        assert least == 0


@pytest.mark.parametrize("name", GAMES)
def test_games_have_two_sides(name: str):
    game = build(name)
    real, fake = torch.randn(2, 1, 4, 4, requires_grad=True), torch.randn(2, 1, 4, 4, requires_grad=True)
    for value in (game.critic_loss(real, fake), game.generator_loss(real, fake)):
        assert value.shape == ()
        assert torch.isfinite(value)
    game.critic_loss(real, fake).backward()
    assert real.grad.abs().sum() > 0
    assert fake.grad.abs().sum() > 0


@pytest.mark.parametrize("name", VIEW_NAMES)
@pytest.mark.parametrize("size", [(64, 64), (65, 97), (33, 47)])
def test_views_keep_the_batch_and_carry_gradients(name: str, size: tuple[int, int]):
    image = torch.rand(2, 3, *size, requires_grad=True)
    seen = VIEWS.get(name)(image)
    items = seen if isinstance(seen, (list, tuple)) else [seen]
    assert items[0].shape[0] == 2
    assert items[0].shape[-2:] == size
    sum(item.square().sum() for item in items).backward()
    assert torch.isfinite(image.grad).all()
    again = VIEWS.get(name)(image)
    for one, two in zip(items, again if isinstance(again, (list, tuple)) else [again], strict=True):
        assert torch.equal(one, two)
