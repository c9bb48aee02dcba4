"""Every adversarial mode against numbers computed by hand from the formulas."""

from __future__ import annotations

import math

import pytest
import torch

from deblurkit.losses.adversarial import AdversarialLoss

REAL, FAKE = [2.0, -1.0], [0.5, -0.5, 1.5]
MR, MF = sum(REAL) / 2, sum(FAKE) / 3


def log_s(x: float) -> float:
    """Logarithm of the sigmoid."""
    return -math.log(1 + math.exp(-x))


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


def relativistic(toward, other: float) -> tuple[float, float, float]:
    """Critic, symmetric generator and one-sided generator; ``toward(logit, target)``."""
    critic = mean(toward(r - MF, 1) for r in REAL) + mean(toward(f - MR, other) for f in FAKE)
    one_sided = mean(toward(f - MR, 1) for f in FAKE)
    return critic, one_sided + mean(toward(r - MF, other) for r in REAL), one_sided


def bce(x: float, target: float) -> float:
    return -log_s(x) if target == 1 else -log_s(-x)


def half_square(x: float, target: float) -> float:
    return (x - target) ** 2 / 2


RAGAN, RALSGAN = relativistic(bce, 0), relativistic(half_square, -1)
CASES = {
    ("vanilla", True): (mean(-log_s(r) for r in REAL) + mean(-log_s(-f) for f in FAKE), mean(-log_s(f) for f in FAKE)),
    ("lsgan", True): (
        mean((r - 1) ** 2 / 2 for r in REAL) + mean(f**2 / 2 for f in FAKE),
        mean((f - 1) ** 2 / 2 for f in FAKE),
    ),
    ("wgan", True): (MF - MR, -MF),
    ("hinge", True): (mean(max(0, 1 - r) for r in REAL) + mean(max(0, 1 + f) for f in FAKE), -MF),
    ("ragan", True): RAGAN[:2],
    ("ragan", False): (RAGAN[0], RAGAN[2]),
    ("ralsgan", True): RALSGAN[:2],
    ("ralsgan", False): (RALSGAN[0], RALSGAN[2]),
}


@pytest.mark.parametrize(("mode", "symmetric"), CASES)
def test_both_sides(mode: str, symmetric: bool):
    loss = AdversarialLoss(mode, symmetric=symmetric)
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    critic, generator = CASES[mode, symmetric]
    assert loss.critic_loss(real, fake).item() == pytest.approx(critic, rel=1e-6)
    assert loss.generator_loss(real, fake).item() == pytest.approx(generator, rel=1e-6)
    if not loss.needs_real_logits:
        assert loss.generator_loss(None, fake).item() == pytest.approx(generator, rel=1e-6)


@pytest.mark.parametrize("mode", ["ragan", "ralsgan"])
def test_mirrored_half_reaches_the_generator_through_the_mean(mode: str):
    real = torch.tensor(REAL)
    slopes = []
    for symmetric in (True, False):
        fake = torch.tensor(FAKE, requires_grad=True)
        AdversarialLoss(mode, symmetric=symmetric).generator_loss(real, fake).backward()
        slopes.append(fake.grad)
    share = slopes[0] - slopes[1]
    assert torch.allclose(share, share[0].expand(3)), "it depends on the mean alone"
    assert share[0] != 0


@pytest.mark.parametrize("mode", ["vanilla", "lsgan", "hinge", "ragan", "ralsgan"])
def test_computed_in_float32_and_stable(mode: str):
    loss = AdversarialLoss(mode)
    real, fake = torch.tensor([60.0], dtype=torch.bfloat16), torch.tensor([-60.0], dtype=torch.bfloat16)
    for value in (loss.critic_loss(real, fake), loss.generator_loss(real, fake)):
        assert value.dtype == torch.float32
        assert torch.isfinite(value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "gan"},
        {"mode": "wgan", "symmetric": False},
        {"gradient_penalty": {"weight": 0}},
        {"gradient_penalty": {"norm": "image"}},
        {"gradient_penalty": {"wieght": 1}},
        {"weight_clip": 0},
        {"condition": "sharp"},
    ],
)
def test_wrong_arguments_are_refused(wrong: dict):
    with pytest.raises(ValueError, match=r".+"):
        AdversarialLoss(**wrong)
