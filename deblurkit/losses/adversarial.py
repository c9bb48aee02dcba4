"""The adversarial loss: two sides of one game, for a critic's raw logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypedDict

from torch import Tensor, nn

from deblurkit.losses import functional as pure
from deblurkit.registry import LOSSES

Mode = Literal["vanilla", "lsgan", "wgan", "hinge", "ragan", "ralsgan"]


class GradientPenalty(TypedDict, total=False):
    """Settings of the gradient penalty: its ``weight`` (10), and its ``norm`` per ``sample`` or per ``pixel``."""

    weight: float
    norm: Literal["sample", "pixel"]


@dataclass(frozen=True)
class _Game:
    """One adversarial game: each side's loss of (real logits, fake logits)."""

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    relativistic: bool = False


def _game(mode: Mode, symmetric: bool) -> _Game:
    bce, square = pure.bce_toward, pure.half_square_toward
    if mode == "vanilla":
        return _Game(lambda real, fake: bce(real, 1.0) + bce(fake, 0.0), lambda _, fake: bce(fake, 1.0))
    if mode == "lsgan":
        return _Game(lambda real, fake: square(real, 1.0) + square(fake, 0.0), lambda _, fake: square(fake, 1.0))
    if mode == "wgan":
        return _Game(pure.wgan_critic, lambda _, fake: -fake.mean())
    if mode == "hinge":
        return _Game(pure.hinge_critic, lambda _, fake: -fake.mean())
    toward, other = {"ragan": (bce, 0.0), "ralsgan": (square, -1.0)}[mode]
    return _Game(
        partial(pure.relativistic_critic, toward=toward, fake_target=other),
        partial(pure.relativistic_generator, toward=toward, real_target=other, symmetric=symmetric),
        relativistic=True,
    )


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
        symmetric: Relativistic games only: ``False`` keeps only the generator's term with C(f) (the crosshatch
            paper's equation 4).
        gradient_penalty: ``{weight: 10, norm: sample | pixel}``, added to the critic's loss; see
            :func:`deblurkit.losses.functional.gradient_penalty`.
        weight_clip: After each of its updates the critic's weights are clamped to [-weight_clip, weight_clip]
            (Arjovsky et al. 2017).
        condition: ``blurred`` joins the blurred image to what the critic sees, as further channels.

    Raises:
        ValueError: An unknown mode or norm, or a negative weight.
    """

    def __init__(
        self,
        mode: Mode = "vanilla",
        symmetric: bool = True,
        gradient_penalty: GradientPenalty | None = None,
        weight_clip: float | None = None,
        condition: Literal["blurred"] | None = None,
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
        self._game = _game(mode, symmetric)
        self.needs_real_logits = self._game.relativistic
        self.penalty = _checked_penalty(gradient_penalty)
        self.weight_clip = weight_clip
        self.condition = condition

    def critic_loss(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """Return the critic's loss, without penalty; fp32."""
        return self._game.critic(real_logits.float(), fake_logits.float())

    def generator_loss(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """Return the generator's loss; fp32. ``real_logits`` may be ``None`` where ``needs_real_logits`` is false."""
        real = real_logits.float() if real_logits is not None else fake_logits
        return self._game.generator(real, fake_logits.float())


def _checked_penalty(penalty: GradientPenalty | None) -> GradientPenalty | None:
    if penalty is None:
        return None
    unknown = set(penalty) - {"weight", "norm"}
    if unknown:
        raise ValueError(f"gradient_penalty takes weight and norm, got {sorted(unknown)}")
    complete: GradientPenalty = {"weight": 10.0, "norm": "sample", **penalty}
    if complete["weight"] <= 0 or complete["norm"] not in ("sample", "pixel"):
        raise ValueError(f"gradient_penalty needs weight > 0 and norm sample or pixel, got {penalty}")
    return complete
