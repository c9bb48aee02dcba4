"""Laws that losses, adversarial losses and views keep."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from deblurkit.testing.component import Component


def is_a_finite_scalar_with_a_gradient(component: Component) -> None:
    """Expects one finite number of ``forward(pred, target)``, and at ``pred`` a finite gradient that is not 0."""
    pred, target = _images()
    value = _of(component, component.build(), pred, target)
    assert value.shape == (), f"a tensor of shape {tuple(value.shape)}"
    value.backward()
    assert torch.isfinite(value), f"the loss is {value.item()}"
    assert pred.grad is not None, "no gradient reaches pred"
    assert torch.isfinite(pred.grad).all(), "the gradient is not finite"
    assert pred.grad.abs().sum() > 0, "the gradient is 0 everywhere"


def is_a_mean(component: Component) -> None:
    """Expects the same value for a batch in which each image stands twice."""
    pred, target = _images()
    loss = component.build()
    once = _of(component, loss, pred, target).item()
    twice = _of(component, loss, torch.cat([pred, pred]), torch.cat([target, target])).item()
    assert abs(twice - once) <= 1e-4 * abs(once), f"{once:g} for the batch, {twice:g} for each image twice"


def equal_images_are_best(component: Component) -> None:
    """Expects a smaller value where prediction and target are equal than where they differ."""
    pred, target = _images()
    loss = component.build()
    equal, different = _of(component, loss, target, target).item(), _of(component, loss, pred, target).item()
    # Smaller, not 0: some losses, such as Charbonnier's, never are.
    assert equal < different, f"{equal:g} for equal images, {different:g} for different ones"


def has_two_sides(component: Component) -> None:
    """Expects finite numbers from ``critic_loss`` and ``generator_loss``, the critic's with gradients on both sides."""
    game = component.build()
    real, fake = (torch.randn(2, 1, 4, 4, requires_grad=True) for _ in range(2))
    for side, play in (("critic_loss", game.critic_loss), ("generator_loss", game.generator_loss)):
        value = play(real, fake)
        assert value.shape == (), f"{side} returns a tensor of shape {tuple(value.shape)}"
        assert torch.isfinite(value), f"{side} is {value.item()}"
    # The generator's side may ignore the real logits; the critic's learns from both.
    game.critic_loss(real, fake).backward()
    for name, logits in (("real", real), ("fake", fake)):
        assert logits.grad is not None, f"critic_loss gives the {name} logits no gradient"
        assert logits.grad.abs().sum() > 0, f"critic_loss gives the {name} logits a gradient of 0"


def keeps_the_batch_and_carries_gradients(component: Component) -> None:
    """Expects a view, or the first of several, of as many images of the same size; finite gradients; no chance."""
    for height, width in ((64, 64), (65, 97), (33, 47)):
        image = torch.rand(2, 3, height, width, requires_grad=True)
        seen = _listed(component.registered(image))
        count, found = seen[0].shape[0], tuple(seen[0].shape[-2:])
        assert (count, found) == (2, (height, width)), f"{count} images of {found} for 2 of {height} x {width}"
        # Squares: the sum of a view that subtracts neighbours would not depend on the image.
        torch.stack([item.square().sum() for item in seen]).sum().backward()
        assert image.grad is not None, "no gradient reaches the image"
        assert torch.isfinite(image.grad).all(), f"the gradient at {height} x {width} is not finite"
        for one, two in zip(seen, _listed(component.registered(image)), strict=True):
            assert torch.equal(one, two), "a second call sees something else"


def _images() -> tuple[Tensor, Tensor]:
    pred, target = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return pred.requires_grad_(), target


def _of(component: Component, loss: Callable[..., Tensor], pred: Tensor, target: Tensor) -> Tensor:
    return loss([pred], [target]) if component.traits.takes_lists else loss(pred, target)


def _listed(seen: Tensor | Sequence[Tensor]) -> list[Tensor]:
    return [seen] if isinstance(seen, Tensor) else [*seen]


PAIRWISE = (is_a_finite_scalar_with_a_gradient, is_a_mean, equal_images_are_best)
GAME = (has_two_sides,)
VIEW = (keeps_the_batch_and_carries_gradients,)
