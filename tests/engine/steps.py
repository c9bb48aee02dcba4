"""A restorer with tiny networks and plain SGD, so that every update can be computed by hand."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deblurkit.engine.loss_terms import Term
from deblurkit.engine.optim import NetworkOptimizer
from deblurkit.engine.step import GANRestorer, Parts
from deblurkit.losses.adversarial import AdversarialLoss
from deblurkit.losses.pixel import L1Loss
from deblurkit.options.selection import parse_selection

LR = 0.1


class Generator(nn.Module):
    """``blurred`` and a convolution of it."""

    def __init__(self, outputs: Sequence[str] = (), value_range: tuple[float, float] = (0.0, 1.0)) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.outputs = tuple(outputs)
        self.value_range = value_range
        self.seen: list[Tensor] = []

    def forward(self, blurred: Tensor) -> Tensor | dict[str, Tensor]:
        self.seen.append(blurred.detach().clone())
        image = blurred + self.conv(blurred)
        return {"image": image, **dict.fromkeys(self.outputs, 2 * image)} if self.outputs else image


class Critic(nn.Module):
    """One convolution, whose logits come ``copies`` times at different scales, or alone."""

    def __init__(self, channels: int = 3, copies: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, 3, padding=1)
        self.copies = copies
        self.seen: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor | list[Tensor]:
        self.seen.append(image.detach().clone())
        logits = self.conv(image)
        return [logits[..., n:] * (n + 1) for n in range(self.copies)] if self.copies else logits


def term(name: str, loss: nn.Module | None = None, weight: float = 1.0, critic: str | None = None, **rest: Any) -> Term:
    """A loss term on ``image`` and ``sharp``."""
    pred, target = (
        parse_selection(rest.pop(key, default)) for key, default in (("pred", "image"), ("target", "sharp"))
    )
    return Term(name, loss or L1Loss(), weight, pred, target, critic, **rest)


def game(mode: str = "wgan", weight: float = 1.0, critic: str = "critic", name: str = "game", **arguments: Any) -> Term:
    """An adversarial term."""
    return term(name, AdversarialLoss(mode, **arguments), weight, critic)


def restorer(terms: list[Term], generator: nn.Module | None = None, **settings: Any) -> GANRestorer:
    """A restorer; critics as the terms name them unless given."""
    torch.manual_seed(0)
    generator = generator or Generator()
    critics = settings.pop("critics", None)
    if critics is None:
        critics = {name: Critic() for name in sorted({t.critic for t in terms if t.critic})}
    return GANRestorer(Parts(generator, critics, terms, **settings))


def optimizers(made: GANRestorer, clip: float | None = None) -> dict[str, NetworkOptimizer]:
    """SGD for each network."""
    return {
        name: NetworkOptimizer(
            torch.optim.SGD(net.parameters(), lr=LR),
            clip,
            torch.amp.GradScaler("cpu", enabled=made.parts.precision == "fp16"),
        )
        for name, net in made.networks().items()
    }


def batch(number: int = 0, size: int = 2, side: int = 8, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """Random images in [0, 1]."""
    random = torch.Generator().manual_seed(100 + number)
    blurred, sharp = torch.rand(2, size, 3, side, side, generator=random, dtype=dtype)
    return {"blurred": blurred, "sharp": sharp, "key": [f"{number}/{n}" for n in range(size)]}


def snapshot(network: nn.Module) -> dict[str, Tensor]:
    """The weights as they are now."""
    return copy.deepcopy(network.state_dict())


def moved(before: dict[str, Tensor], network: nn.Module) -> bool:
    """Whether any weight has changed."""
    return any(not torch.equal(before[name], value) for name, value in network.state_dict().items())


def applied_gradients(before: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """The gradients that one SGD step applied."""
    return {name: (before[name] - value) / LR for name, value in network.state_dict().items()}


def gradients(value: Tensor, network: nn.Module) -> dict[str, Tensor]:
    """The gradients by autograd."""
    names, weights = zip(*network.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(value, weights, retain_graph=True), strict=True))


def assert_equal(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Equal up to rounding."""
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-7)
        assert value.abs().max() > 0, f"{name}: nothing to see"
