"""The whole objective of the depthwise-separable GAN, as options/dsc.yml builds it, against its equations 5 to 8."""

from __future__ import annotations

import math

import pytest
import torch
from objectives import adversarial_term, conv3_3, gan_restorer, mean, sharp_image_blurred, still_options, whole_step
from torch import Tensor
from torch.nn import functional

from deblurkit.engine.loss_terms import Term
from deblurkit.engine.step import GANRestorer
from deblurkit.options.schema import Options

SMALL = [
    "generator.channels=4",
    "generator.blocks=1",
    "generator.reduction=4",
    "generator.dropout=0.0",
    "discriminators.critic.channels=4",
]


@pytest.fixture(scope="module")
def options() -> Options:
    return still_options("dsc", SMALL)


@pytest.fixture(scope="module")
def restorer(options: Options) -> GANRestorer:
    return gan_restorer(options)


@pytest.fixture
def game(restorer: GANRestorer) -> Term:
    return adversarial_term(restorer)


@pytest.fixture
def named() -> dict[str, Tensor]:
    """Two images of two by three patches in [-1, 1]; the restored ones take gradients."""
    sharp, image, blurred = sharp_image_blurred()
    return {"sharp": sharp, "image": (image * 0.7).requires_grad_(), "blurred": blurred}


def critic(image: Tensor) -> Tensor:
    """One logit for each patch of 8x8."""
    return 20 * functional.avg_pool2d(image[:, :1] - 0.5 * image[:, 2:], 8)


def by_hand(image: Tensor) -> list[float]:
    """The same logits, patch by patch."""
    patches = [sample[:, y : y + 8, x : x + 8] for sample in image for y in (0, 8) for x in (0, 8, 16)]
    return [20 * (patch[0].mean() - 0.5 * patch[2].mean()).item() for patch in patches]


def d_ra(a: float, others: list[float]) -> float:
    """Equation 5."""
    return 1 / (1 + math.exp(-(a - mean(others))))


def equation_6(real: list[float], fake: list[float]) -> float:
    return -mean(math.log(d_ra(r, fake)) for r in real) - mean(math.log(1 - d_ra(f, real)) for f in fake)


def equation_7(real: list[float], fake: list[float]) -> float:
    """Without its last term."""
    return -mean(math.log(1 - d_ra(r, fake)) for r in real) - mean(math.log(d_ra(f, real)) for f in fake)


def equation_8(restorer: GANRestorer, image: Tensor, sharp: Tensor) -> float:
    """With G(I_B) for its G(I_S), H for its second W, and a mean over channels too."""
    weights = restorer.losses["content"].features.state_dict()
    with torch.no_grad():
        total = sum(
            (conv3_3(weights, a[None]) - conv3_3(weights, b[None])).double().square().sum()
            for a, b in zip(image, sharp, strict=True)
        )
    return total.item() / (len(image) * 256 * (image.shape[-2] // 4) * (image.shape[-1] // 4))


def test_terms_and_weights(restorer: GANRestorer):
    assert {term.name: (term.weight, term.critic) for term in restorer.terms} == {
        "content": (100.0, None),
        "adversarial": (1.0, "critic"),
    }
    assert all(str(term.pred) == "image" and str(term.target) == "sharp" for term in restorer.terms)


def test_each_term_of_the_generator(restorer: GANRestorer, named: dict[str, Tensor]):
    found = {term.name: term.generator_value(named, {"critic": critic}).item() for term in restorer.terms}
    wanted = {
        "content": equation_8(restorer, named["image"], named["sharp"]),
        "adversarial": equation_7(by_hand(named["sharp"]), by_hand(named["image"])),
    }
    assert found == pytest.approx(wanted, rel=1e-4)


def test_loss_of_the_critic(game: Term, named: dict[str, Tensor]):
    found, _, _ = game.critic_value(named, {"critic": critic})
    assert found.item() == pytest.approx(equation_6(by_hand(named["sharp"]), by_hand(named["image"])), rel=1e-4)
    assert game.penalty(named, {"critic": critic}) is None


def test_gradient_flows_through_the_mean_of_fake_logits(game: Term):
    """Of equation 7 by differences of each logit: its first half moves with E C(f) alone."""
    fake = torch.tensor([0.4, -1.1, 2.0, 0.3], requires_grad=True)
    real = torch.tensor([1.0, -0.5, 0.2, 1.7])
    logits = {"sharp": real.view(4, 1, 1, 1), "image": fake.view(4, 1, 1, 1), "blurred": real}
    game.generator_value(logits, {"critic": lambda image: image}).backward()
    step = 1e-5
    for index in range(4):
        moved = []
        for sign in (1, -1):
            values = fake.tolist()
            values[index] += sign * step
            moved.append(equation_7(real.tolist(), values))
        assert fake.grad[index].item() == pytest.approx((moved[0] - moved[1]) / (2 * step), rel=1e-4)


def test_a_whole_step_adds_up_to_the_objective(options: Options, restorer: GANRestorer):
    log, sharp, image, real, fake = whole_step(options, restorer, 1)
    assert len(real) == len(fake) == 1, "the results of the patches are averaged before they are compared"
    content = 100 * equation_8(restorer, image, sharp)
    assert log["term/content"].item() == pytest.approx(content, rel=1e-4)
    assert log["term/adversarial"].item() == pytest.approx(equation_7(real, fake), rel=1e-4)
    assert log["critic/critic"].item() == pytest.approx(equation_6(real, fake), rel=1e-4)
    assert log["loss"].item() == pytest.approx(content + equation_7(real, fake), rel=1e-4)
