"""The whole objective of the depthwise-separable GAN, as options/dsc.yml builds it, against its equations 5 to 8."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from deblurkit.engine.optim import build_optimizers
from deblurkit.engine.parts import Problems, build_parts
from deblurkit.engine.restorer import GANRestorer
from deblurkit.engine.terms import Term
from deblurkit.options.load import load_options
from deblurkit.options.schema import Options

FILE = Path(__file__).parents[2] / "options" / "dsc.yml"
SMALL = ["generator.channels=4", "generator.blocks=1", "generator.reduction=4", "generator.dropout=0.0"]
STILL = ["optimizers.generator.lr=0.0", "optimizers.discriminators.lr=0.0"]


@pytest.fixture(scope="module")
def options() -> Options:
    overrides = [*SMALL, *STILL, "discriminators.critic.channels=4", "losses.content.weights=random"]
    return load_options(FILE, overrides)


@pytest.fixture(scope="module")
def restorer(options: Options) -> GANRestorer:
    problems = Problems()
    parts = build_parts(options, problems, say=lambda _: None)
    problems.raise_any()
    return GANRestorer(parts)


@pytest.fixture
def game(restorer: GANRestorer) -> Term:
    return next(term for term in restorer.terms if term.name == "adversarial")


@pytest.fixture
def named() -> dict[str, Tensor]:
    """Two images of two by three patches in [-1, 1]; the restored ones take gradients."""
    random = torch.Generator().manual_seed(0)
    sharp, image, blurred = 2 * torch.rand(3, 2, 3, 16, 24, generator=random) - 1
    return {"sharp": sharp, "image": (image * 0.7).requires_grad_(), "blurred": blurred}


def critic(image: Tensor) -> Tensor:
    """One logit for each patch of 8x8."""
    return 20 * functional.avg_pool2d(image[:, :1] - 0.5 * image[:, 2:], 8)


def by_hand(image: Tensor) -> list[float]:
    """The same logits, patch by patch."""
    patches = [sample[:, y : y + 8, x : x + 8] for sample in image for y in (0, 8) for x in (0, 8, 16)]
    return [20 * (patch[0].mean() - 0.5 * patch[2].mean()).item() for patch in patches]


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


def d_ra(a: float, others: list[float]) -> float:
    """Equation 5."""
    return 1 / (1 + math.exp(-(a - mean(others))))


def equation_6(real: list[float], fake: list[float]) -> float:
    return -mean(math.log(d_ra(r, fake)) for r in real) - mean(math.log(1 - d_ra(f, real)) for f in fake)


def equation_7(real: list[float], fake: list[float]) -> float:
    """Without its last term."""
    return -mean(math.log(1 - d_ra(r, fake)) for r in real) - mean(math.log(d_ra(f, real)) for f in fake)


def conv3_3(weights: dict[str, Tensor], image: Tensor) -> Tensor:
    """VGG-19 up to its seventh convolution, of images in [-1, 1]."""
    offset, scale = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    features = ((image + 1) / 2 - offset) / scale
    for index in (0, 2, 5, 7, 10, 12):
        features = functional.conv2d(features, weights[f"{index}.weight"], weights[f"{index}.bias"], padding=1)
        features = functional.relu(features)
        if index in (2, 7):
            features = functional.max_pool2d(features, 2)
    return functional.conv2d(features, weights["14.weight"], weights["14.bias"], padding=1)


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
    """Of the real networks, whose optimizers stand still, on a batch in [0, 1]."""
    random = torch.Generator().manual_seed(1)
    blurred, sharp = torch.rand(2, 1, 3, 64, 64, generator=random)
    log = restorer.train_step(
        [{"blurred": blurred, "sharp": sharp, "key": ["0"]}],
        build_optimizers(options, restorer.networks(), torch.device("cpu")),
    )
    with torch.no_grad():
        image = restorer.generator(2 * blurred - 1)
        real, fake = (restorer.critics["critic"](x).flatten().tolist() for x in (2 * sharp - 1, image))
    content = 100 * equation_8(restorer, image, 2 * sharp - 1)
    assert log["term/content"].item() == pytest.approx(content, rel=1e-4)
    assert log["term/adversarial"].item() == pytest.approx(equation_7(real, fake), rel=1e-4)
    assert log["critic/critic"].item() == pytest.approx(equation_6(real, fake), rel=1e-4)
    assert log["loss"].item() == pytest.approx(content + equation_7(real, fake), rel=1e-4)
