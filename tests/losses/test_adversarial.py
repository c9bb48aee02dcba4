"""Every adversarial mode against numbers computed by hand from the formulas."""

from __future__ import annotations

import math

import pytest
import torch

from deblurkit.discriminators.patch import PatchDiscriminator
from deblurkit.losses.adversarial import AdversarialLoss
from deblurkit.losses.functional import gradient_penalty

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


LOG_2, LOG_1_E = math.log(2), math.log(1 + math.exp(-1))


@pytest.mark.parametrize(
    ("mode", "critic", "generator"),
    [  # sharp 1 everywhere, restored 0 everywhere, in maps of 2 x 2 for two images
        ("vanilla", LOG_1_E + LOG_2, LOG_2),
        ("lsgan", 0.0, 0.5),
        ("wgan", -1.0, 0.0),
        ("hinge", 0.0 + 1.0, 0.0),
        ("ragan", 2 * LOG_1_E, 2 * (1 + LOG_1_E)),  # log(1 + e) = 1 + log(1 + 1 / e)
        ("ralsgan", 0.0, 2 * (2**2) / 2),
    ],
)
def test_both_sides_on_flat_maps(mode: str, critic: float, generator: float):
    loss = AdversarialLoss(mode)
    real, fake = torch.ones(2, 1, 2, 2), torch.zeros(2, 1, 2, 2)
    assert loss.critic_loss(real, fake).item() == pytest.approx(critic, abs=1e-6)
    assert loss.generator_loss(real, fake).item() == pytest.approx(generator, abs=1e-6)


def test_literal_pair_of_the_crosshatch_paper_at_batch_one():
    """One score a side: 2 and -1. Its equation 3: (2 + 1 - 1)^2 / 2 + (-1 - 2 + 1)^2 / 2; its 4: (-1 - 2 - 1)^2 / 2."""
    loss = AdversarialLoss("ralsgan", symmetric=False)
    real, fake = torch.tensor([[2.0]]), torch.tensor([[-1.0]])
    assert loss.critic_loss(real, fake).item() == 2 + 2
    assert loss.generator_loss(real, fake).item() == 8
    assert AdversarialLoss("ralsgan").generator_loss(real, fake).item() == 8 + (2 + 1 + 1) ** 2 / 2


def test_sigmoid_in_the_critic_would_leave_a_floor():
    """The best scores behind a sigmoid, 1 and 0, are 0.313 a term off in RaGAN; raw logits have no floor."""
    loss = AdversarialLoss("ragan")
    assert loss.critic_loss(torch.ones(1), torch.zeros(1)).item() == pytest.approx(2 * 0.31326, rel=1e-4)
    assert loss.critic_loss(torch.full((1,), 20.0), torch.full((1,), -20.0)).item() < 1e-6


@pytest.mark.parametrize(
    ("norm", "of", "copies", "wanted"),
    [
        ("pixel", "sum", 1, (3 - 1) ** 2),
        ("sample", "sum", 1, (6 - 1) ** 2),
        ("pixel", "sum", 2, (6 - 1) ** 2),
        ("sample", "sum", 2, (12 - 1) ** 2),
        ("sample", "mean", 1, (6 - 1) ** 2),
        ("sample", "mean", 2, (6 - 1) ** 2),
    ],
)
def test_penalty_of_a_linear_critic(norm: str, of: str, copies: int, wanted: float):
    """Weights 2, -1, 2 for red, green, blue: a norm of 3 at each of four pixels, of 6 over the image."""
    weight = torch.tensor([2.0, -1.0, 2.0]).view(3, 1, 1).requires_grad_()
    real, fake = torch.rand(2, 2, 3, 2, 2).requires_grad_()
    alpha = torch.tensor([0.3, 0.9]).view(2, 1, 1, 1)
    found = gradient_penalty(lambda image: [(weight * image).sum((1, 2, 3))] * copies, real, fake, alpha, norm, of)
    assert found.item() == pytest.approx(wanted, rel=1e-6)
    if (norm, copies) == ("sample", 1):  # (2 |w| - 1)^2 has the slope 4 (2 |w| - 1) w / |w|
        found.backward()
        assert weight.grad.flatten().tolist() == pytest.approx([40 / 3, -20 / 3, 40 / 3], rel=1e-5)


@pytest.mark.parametrize(("of", "slope"), [("mean", 1.0), ("sum", 1 / 900)])
def test_at_its_solution_the_penalty_holds_the_slope_of_what_the_loss_sees(of: str, slope: float):
    """With 30x30 logits, those of 256x256 pixels, the sum of the logits has 900 times the slope of their mean."""
    torch.manual_seed(0)
    critic = PatchDiscriminator(channels=2)
    real, fake = torch.rand(2, 2, 3, 256, 256)
    alpha = torch.rand(2, 1, 1, 1)
    adam = torch.optim.Adam(critic.parameters(), lr=0.003)
    for _ in range(1000):
        penalty = gradient_penalty(critic, real, fake, alpha, of=of)
        if penalty < 1e-4:
            break
        adam.zero_grad()
        penalty.backward()
        adam.step()
    assert penalty < 1e-4, "the solution was not found"
    image = torch.lerp(fake, real, alpha).requires_grad_()
    game = AdversarialLoss("wgan", gradient_penalty={"of": of})
    (gradient,) = torch.autograd.grad(len(image) * game.generator_loss(None, critic(image)), image)
    assert gradient.flatten(1).norm(dim=1).tolist() == pytest.approx([slope, slope], rel=0.02)


def test_penalty_draws_a_point_for_each_image_between_sharp_and_restored():
    """D(x) = x^2 / 2 has the slope x: 2 at a quarter from 1 to 5, and 5 at its end."""
    real, fake = torch.full((2, 1, 1, 1), 5.0), torch.ones(2, 1, 1, 1, requires_grad=True)
    alpha = torch.tensor([0.25, 1.0]).view(2, 1, 1, 1)
    found = gradient_penalty(lambda image: image.square() / 2, real, fake, alpha)
    assert found.item() == pytest.approx((1 + 16) / 2)
    found.backward()
    assert fake.grad is None, "it is the critic's alone"


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
        {"gradient_penalty": {"of": "patches"}},
        {"gradient_penalty": {"norm": "pixel"}},
        {"gradient_penalty": {"norm": "pixel", "of": "mean"}},
        {"weight_clip": 0},
        {"condition": "sharp"},
    ],
)
def test_wrong_arguments_are_refused(wrong: dict):
    with pytest.raises(ValueError, match=r".+"):
        AdversarialLoss(**wrong)
