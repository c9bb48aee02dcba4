"""The adversarial loss: two sides of one game, for a critic's raw logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypedDict

import torch
from torch import Tensor, nn

from deblurkit.losses import functional as pure
from deblurkit.registry import LOSSES

Mode = Literal["vanilla", "lsgan", "wgan", "hinge", "ragan", "ralsgan"]


class GradientPenalty(TypedDict, total=False):
    """Settings of the gradient penalty; see :func:`deblurkit.losses.functional.gradient_penalty`."""

    weight: float
    norm: Literal["sample", "pixel"]
    of: Literal["mean", "sum"]


@dataclass(frozen=True)
class _Game:
    """One adversarial game: each side's loss of (real logits, fake logits)."""

    critic: Callable[..., Tensor]
    generator: Callable[..., Tensor]
    relativistic: bool = False  # both then take ``means`` too: E C(r) and E C(f)


def _game(mode: Mode, symmetric: bool) -> _Game:
    bce, square = pure.bce_toward, pure.half_square_toward
    # The generator's side is toward the critic's "sharp", not away from its "restored": log(1 - s(C(f))) has next to no
    # gradient while the critic is sure, as at the start (Goodfellow et al. 2014, section 3).
    if mode == "vanilla":
        return _Game(lambda real, fake: bce(real, 1.0) + bce(fake, 0.0), lambda _, fake: bce(fake, 1.0))
    if mode == "lsgan":
        return _Game(lambda real, fake: square(real, 1.0) + square(fake, 0.0), lambda _, fake: square(fake, 1.0))
    if mode == "wgan":
        return _Game(pure.wgan_critic, lambda _, fake: -fake.mean())
    if mode == "hinge":
        return _Game(pure.hinge_critic, lambda _, fake: -fake.mean())
    # relativistic: the same two losses, of differences; "restored" is 0 to a cross entropy and -1 to a square
    toward, other = {"ragan": (bce, 0.0), "ralsgan": (square, -1.0)}[mode]
    return _Game(
        partial(pure.relativistic_critic, toward=toward, fake_target=other),
        partial(pure.relativistic_generator, toward=toward, real_target=other, symmetric=symmetric),
        relativistic=True,
    )


class ScorePool(nn.Module):
    """The last ``size`` score maps of one side, oldest first, for each scale of a critic on its own.

    Of each image's map the mean is kept, detached. The mean over the pool is thus a mean of means: with maps of one
    size, as in a training with one crop, the mean over all their positions; otherwise each map counts the same.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self._scores: dict[int, Tensor] = {}  # by scale: how many a critic has shows when they come

    def add(self, scale: int, logits: Tensor) -> None:
        """Appends the map of each image of ``(n, ...)``; the oldest beyond ``size`` leave."""
        new = logits.detach().reshape(len(logits), -1).mean(1)
        if scale in self._scores:
            new = torch.cat([self._scores[scale].to(new.device), new])
        self._scores[scale] = new[-self.size :]

    def mean(self, scale: int, logits: Tensor) -> Tensor:
        """Returns the pool's mean; while it holds nothing, that of ``logits``, detached too."""
        if scale not in self._scores:
            return logits.detach().mean()
        return self._scores[scale].to(logits.device).mean()

    def get_extra_state(self) -> dict[int, Tensor]:
        """Returns what a checkpoint holds: the scores of each scale."""
        return dict(self._scores)

    def set_extra_state(self, state: dict[int, Tensor]) -> None:
        """Takes up what a checkpoint held, of another ``size`` too."""
        self._scores = {scale: scores[-self.size :] for scale, scores in state.items()}


@LOSSES.register_module()
class AdversarialLoss(nn.Module):
    """Both sides of an adversarial game, as means over batch and positions of a critic's raw logits.

    With C the critic, r sharp and f restored images, s the sigmoid:

    ========= ================================================== =======================================
    mode      critic                                             generator
    ========= ================================================== =======================================
    vanilla   -E log s(C(r)) - E log(1 - s(C(f)))                -E log s(C(f)) (non-saturating)
    lsgan     E(C(r) - 1)^2 / 2 + E C(f)^2 / 2                   E(C(f) - 1)^2 / 2
    wgan      E C(f) - E C(r)                                    -E C(f)
    hinge     E max(0, 1 - C(r)) + E max(0, 1 + C(f))            -E C(f)
    ragan     vanilla of C(r) - E C(f) and C(f) - E C(r)         the same, targets swapped
    ralsgan   E(C(r) - E C(f) - 1)^2 / 2 + the mirrored half     the same, signs swapped
    ========= ================================================== =======================================

    Args:
        mode: The game.
        symmetric: Relativistic games only: ``False`` keeps only the generator's term with C(f), as the crosshatch
            paper's equation 4 prints it; its equation 3, the critic's, has both.
        gradient_penalty: ``{weight: 10, norm: sample | pixel, of: mean | sum}``, added to the critic's loss; see
            :func:`deblurkit.losses.functional.gradient_penalty`. ``norm: pixel`` goes with ``of: sum`` alone, as in
            the code that it is of.
        weight_clip: After each of its updates the critic's parameters are clamped to [-weight_clip, weight_clip]
            (Arjovsky et al. 2017). Under spectral norm those are the weights before they are normalised.
        condition: ``blurred`` joins the blurred image to what the critic sees, as further channels.
        pool: Relativistic games only: E C(r) and E C(f) are the means over the last ``pool`` score maps of sharp and
            of restored images, detached, of the current batch's too in the critic's step (50 in DeblurGAN-v2's public
            code); 0: over the batch. Only fake logits then carry a gradient to the generator. Each critic step adds
            the maps it sees, one an image, so ``accumulate`` and ``critic_steps`` fill it faster; the generator's
            adds none. A critic that returns a list has a pool for each item. In a distributed run each process pools
            its own images; a checkpoint holds the first one's pool, which all take up at resume.

    Attributes:
        needs_real_logits: Whether ``generator_loss`` needs them.
        takes_scale: Whether both sides must be told which item of a critic's list they judge.

    Raises:
        ValueError: An unknown mode or norm, a negative weight, or an option that is not for the mode.

    Reference:
        Each game's is with its function in :mod:`deblurkit.losses.functional`. MADN's equations 15, 16, 19 and 20 are
        ``vanilla``, once on images and once on gradient maps with one critic: a term each. Its equation 17 drops the
        weight lambda of these terms, prints ``phi1 + L`` for ``phi1 * L`` and the gradient map's term twice for both:
        its equations 10, 11, 13 and 14 hold. Equation 19 draws the restored images from the sharp ones' distribution,
        and equation 16 feeds M(X_b) where equations 13 and 20 have X_b.
    """

    def __init__(
        self,
        mode: Mode = "vanilla",
        symmetric: bool = True,
        gradient_penalty: GradientPenalty | None = None,
        weight_clip: float | None = None,
        condition: Literal["blurred"] | None = None,
        pool: int = 0,
    ) -> None:
        super().__init__()
        if mode not in ("vanilla", "lsgan", "wgan", "hinge", "ragan", "ralsgan"):
            raise ValueError(f"mode is vanilla, lsgan, wgan, hinge, ragan or ralsgan, got {mode!r}")
        if not symmetric and mode not in ("ragan", "ralsgan"):
            raise ValueError(f"symmetric: false is for ragan and ralsgan, not for {mode}")
        if condition not in (None, "blurred"):
            raise ValueError(f"condition is blurred or absent, got {condition!r}")
        if weight_clip is not None and weight_clip <= 0:
            raise ValueError(f"weight_clip must be positive, got {weight_clip}")
        if pool < 0 or (pool > 0 and mode not in ("ragan", "ralsgan")):
            raise ValueError(f"pool is 0 or more, and 0 except for ragan and ralsgan; got {pool} for {mode}")
        self._game = _game(mode, symmetric)
        self.needs_real_logits = self._game.relativistic
        self.penalty = _checked_penalty(gradient_penalty)
        self.weight_clip = weight_clip
        self.condition = condition
        self.takes_scale = pool > 0
        self.real_pool = ScorePool(pool) if pool else None
        self.fake_pool = ScorePool(pool) if pool else None

    def critic_loss(self, real_logits: Tensor, fake_logits: Tensor, scale: int = 0) -> Tensor:
        """Returns the critic's loss, without penalty; fp32. With a pool, the logits join it first."""
        # autocast hands over half precision: too coarse for logarithms and for differences of means
        real, fake = real_logits.float(), fake_logits.float()
        if self.real_pool is None or self.fake_pool is None:
            return self._game.critic(real, fake)
        # first the pools, so that the batch is compared with means that it is part of, as in the public code
        self.real_pool.add(scale, real)
        self.fake_pool.add(scale, fake)
        return self._game.critic(real, fake, means=(self.real_pool.mean(scale, real), self.fake_pool.mean(scale, fake)))

    def generator_loss(self, real_logits: Tensor | None, fake_logits: Tensor, scale: int = 0) -> Tensor:
        """Returns the generator's loss; fp32. ``real_logits`` may be ``None`` where ``needs_real_logits`` is false."""
        fake = fake_logits.float()
        real = real_logits.float() if real_logits is not None else fake  # not looked at where it is not needed
        if self.real_pool is None or self.fake_pool is None:
            return self._game.generator(real, fake)
        # nothing joins the pools here: the critic's step has seen, or will see, these images
        means = self.real_pool.mean(scale, real), self.fake_pool.mean(scale, fake)
        return self._game.generator(real, fake, means=means)


def _checked_penalty(penalty: GradientPenalty | None) -> GradientPenalty | None:
    if penalty is None:
        return None
    unknown = set(penalty) - {"weight", "norm", "of"}
    if unknown:
        raise ValueError(f"gradient_penalty takes weight, norm and of; got {sorted(unknown)}")
    complete: GradientPenalty = {"weight": 10.0, "norm": "sample", "of": "mean", **penalty}
    if complete["weight"] <= 0 or complete["norm"] not in ("sample", "pixel") or complete["of"] not in ("mean", "sum"):
        raise ValueError(f"gradient_penalty needs weight > 0, norm sample or pixel, of mean or sum; got {penalty}")
    if complete["norm"] == "pixel" and complete["of"] == "mean":
        raise ValueError("gradient_penalty: norm: pixel needs of: sum, each pixel's slope of a mean is next to nothing")
    return complete
