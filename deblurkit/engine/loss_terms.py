"""Loss terms as the training step uses them: a loss, its weight, and what it compares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn

from deblurkit.contracts import Critic, Game, LossTraits, loss_traits
from deblurkit.losses.functional import gradient_penalty
from deblurkit.losses.views import select
from deblurkit.options.selection import Selection


@dataclass(frozen=True)
class Term:
    """One named term of the generator's total; adversarial where it names a critic.

    Attributes:
        weight: Scales the generator's side, once; a critic's own loss is not weighted.
        pred: What is compared, of the generator's outputs.
        target: What it is compared with, of the batch.
        start: First iteration, counted from 0, in which the term counts.
        end: First iteration in which it no longer does; ``None``: to the end.
    """

    name: str
    loss: nn.Module
    weight: float
    pred: Selection
    target: Selection
    critic: str | None
    start: int = 0
    end: int | None = None

    @cached_property
    def traits(self) -> LossTraits:
        """The declarations of the loss, read once."""
        return loss_traits(self.loss)

    def active(self, iteration: int) -> bool:
        """Returns whether the term counts in this iteration, counted from 0."""
        return self.start <= iteration and (self.end is None or iteration < self.end)

    def generator_value(self, named: Mapping[str, Any], critics: Mapping[str, Critic]) -> Tensor:
        """Returns the generator's unweighted loss. ``named`` holds the batch and the generator's outputs."""
        pred = select(self.pred, named)
        if self.critic is None:
            return self.loss(pred, select(self.target, named))
        critic, loss = critics[self.critic], cast(Game, self.loss).generator_loss
        fake = _logits(critic, self._seen(pred, named))
        if not self.traits.needs_real_logits:
            return self._over_scales(loss, [None] * len(fake), fake)
        # Relativistic games compare with sharp images; the generator has no part in their logits.
        with torch.no_grad():
            real = _logits(critic, self._seen(select(self.target, named), named))
        return self._over_scales(loss, real, fake)

    def critic_value(
        self, named: Mapping[str, Any], critics: Mapping[str, Critic], joined: bool = False
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Returns the critic's loss without penalty, and its logits for sharp and for restored images.

        ``joined``: it judges both in one batch, which must not change its logits; in which images are of one size.
        """
        critic = critics[str(self.critic)]
        sharp, restored = (self._seen(select(side, named), named) for side in (self.target, self.pred))
        if joined and sharp.shape == restored.shape:
            both = [item.chunk(2) for item in _logits(critic, torch.cat([sharp, restored]))]
            real, fake = [first for first, _ in both], [second for _, second in both]
        else:
            real, fake = _logits(critic, sharp), _logits(critic, restored)
        return self._over_scales(cast(Game, self.loss).critic_loss, real, fake), real, fake

    def _over_scales(self, side: Callable[..., Tensor], real: Sequence[Tensor | None], fake: list[Tensor]) -> Tensor:
        """Returns the mean over a critic's scales; the loss is told which is which only where it asks for it."""
        pairs = list(zip(real, fake, strict=True))
        if self.traits.takes_scale:
            return mean(side(*pair, scale) for scale, pair in enumerate(pairs))
        return mean(side(*pair) for pair in pairs)

    def penalty(self, named: Mapping[str, Any], critics: Mapping[str, Critic]) -> Tensor | None:
        """Returns the weighted gradient penalty, or ``None`` where the loss has none.

        The random point on the line between sharp and restored comes from torch's global generator.
        """
        settings = self.traits.penalty
        if settings is None:
            return None
        critic = critics[str(self.critic)]
        real, fake = select(self.target, named), select(self.pred, named)
        alpha = torch.rand(real.shape[0], 1, 1, 1, device=real.device)

        # Only the image moves along the line: what a critic is conditioned on is the same at both of its ends.
        def judged(image: Tensor) -> Tensor | list[Tensor]:
            return critic(self._seen(image, named))

        return settings["weight"] * gradient_penalty(judged, real, fake, alpha, settings["norm"], settings["of"])

    def _seen(self, image: Tensor, named: Mapping[str, Any]) -> Tensor:
        """Returns what the critic is shown: the image, joined by what the loss conditions it on."""
        condition = self.traits.condition
        return image if condition is None else torch.cat([image, named[condition]], dim=1)


def _logits(critic: Critic, image: Tensor) -> list[Tensor]:
    """Returns a critic's logits at each of its scales, in fp32: games need more digits than bf16 has."""
    logits = critic(image)
    return [item.float() for item in logits] if isinstance(logits, (list, tuple)) else [logits.float()]


def mean(values: Iterable[Tensor]) -> Tensor:
    """Returns the mean of scalars; of one alone the scalar itself."""
    scalars = list(values)
    return scalars[0] if len(scalars) == 1 else torch.stack(scalars).mean()
