"""The whole objective of the crosshatch-attention GAN, as options/crosshatch.yml builds it, against its equations."""

from __future__ import annotations

import pytest
import torch
from objectives import adversarial_term, conv3_3, gan_restorer, mean, sharp_image_blurred, still_options, whole_step
from torch import Tensor

from deblurkit.engine.loss_terms import Term
from deblurkit.engine.step import GANRestorer
from deblurkit.options.schema import Options

SMALL = [
    "generator.encoder=[4, 8, 8]",
    "generator.res_channels=8",
    "generator.decoder=[8, 4]",
    "generator.blocks=1",
    "generator.dropout=0.0",
    "discriminators.critic.channels=4",
    "discriminators.critic.hidden=8",
]


@pytest.fixture(scope="module")
def options() -> Options:
    return still_options("crosshatch", SMALL)


@pytest.fixture(scope="module")
def restorer(options: Options) -> GANRestorer:
    return gan_restorer(options)


@pytest.fixture
def game(restorer: GANRestorer) -> Term:
    return adversarial_term(restorer)


@pytest.fixture
def named() -> dict[str, Tensor]:
    """Two images of 16x24 in [-1, 1], some of whose pixels are further than 1 apart."""
    sharp, image, blurred = sharp_image_blurred()
    return {"sharp": sharp, "image": image, "blurred": blurred}


def critic(image: Tensor) -> Tensor:
    """One logit for each image."""
    return 20 * (image[:, :1] - 0.5 * image[:, 2:]).mean((2, 3))


def by_hand(image: Tensor) -> list[float]:
    return [20 * (sample[0].mean() - 0.5 * sample[2].mean()).item() for sample in image]


def equation_3(real: list[float], fake: list[float]) -> float:
    """The critic's, of its outputs for real and fake images."""
    higher = mean((r - mean(fake) - 1) ** 2 for r in real) / 2
    return higher + mean((f - mean(real) + 1) ** 2 for f in fake) / 2


def equation_4(real: list[float], fake: list[float]) -> float:
    """The generator's: one term."""
    return mean((f - mean(real) - 1) ** 2 for f in fake) / 2


def equation_5(restorer: GANRestorer, sharp: Tensor, image: Tensor) -> float:
    weights = restorer.losses["content"].features.state_dict()
    with torch.no_grad():
        return (conv3_3(weights, sharp) - conv3_3(weights, image)).double().square().mean().item()


def equation_6(sharp: Tensor, image: Tensor) -> float:
    """Element by element: half the square below 1, the distance less a half above."""
    distances = (sharp - image).abs().flatten().tolist()
    assert min(distances) < 1 < max(distances), "both branches are tried"
    return mean(d * d / 2 if d < 1 else d - 0.5 for d in distances)


def slopes(image: Tensor) -> Tensor:
    """Both Sobel responses by shifts of the mirrored image, on a new axis."""
    rows, columns = ([1, *range(size), size - 2] for size in image.shape[-2:])
    x = image.double()[..., rows, :][..., columns]
    horizontal = x[..., 2:] - x[..., :-2]
    vertical = x[..., 2:, :] - x[..., :-2, :]
    gx = horizontal[..., :-2, :] + 2 * horizontal[..., 1:-1, :] + horizontal[..., 2:, :]
    gy = vertical[..., :-2] + 2 * vertical[..., 1:-1] + vertical[..., 2:]
    return torch.stack([gx, gy])


def equation_8(sharp: Tensor, image: Tensor) -> float:
    return (slopes(sharp) - slopes(image)).abs().mean().item()


def objective(restorer: GANRestorer, sharp: Tensor, image: Tensor, logits: tuple[list[float], list[float]]):
    """Each term without its weight."""
    return {
        "adversarial": equation_4(*logits),
        "content": equation_5(restorer, sharp, image),
        "pixel": equation_6(sharp, image),
        "gradient": equation_8(sharp, image),
    }


WEIGHTS = {"adversarial": 4.0, "content": 0.6, "pixel": 40.0, "gradient": 40.0}


def test_terms_and_weights(restorer: GANRestorer):
    assert {term.name: term.weight for term in restorer.terms} == WEIGHTS


def test_each_term_of_the_generator(restorer: GANRestorer, named: dict[str, Tensor]):
    found = {term.name: term.generator_value(named, {"critic": critic}).item() for term in restorer.terms}
    sharp, image = named["sharp"], named["image"]
    wanted = objective(restorer, sharp, image, (by_hand(sharp), by_hand(image)))
    assert found == pytest.approx(wanted, rel=1e-4)


def test_loss_of_the_critic(game: Term, named: dict[str, Tensor]):
    found, _, _ = game.critic_value(named, {"critic": critic})
    assert found.item() == pytest.approx(equation_3(by_hand(named["sharp"]), by_hand(named["image"])), rel=1e-4)
    assert game.penalty(named, {"critic": critic}) is None


def test_numbers_on_paper(game: Term):
    """Real logits 2 and 0, fake ones 0.5 and -1.5: means 1 and -0.5."""
    real, fake = torch.tensor([[2.0], [0.0]]), torch.tensor([[0.5], [-1.5]])
    assert game.loss.generator_loss(real, fake).item() == pytest.approx((1.5**2 + 3.5**2) / 4)
    wanted = (1.5**2 + 0.5**2) / 4 + (0.5**2 + 1.5**2) / 4
    assert game.loss.critic_loss(real, fake).item() == pytest.approx(wanted)


def test_a_whole_step_adds_up_to_the_objective(options: Options, restorer: GANRestorer):
    log, sharp, image, real, fake = whole_step(options, restorer, 2)
    assert all(0 < score < 1 for score in (*real, *fake)), "the paper's critic ends in a sigmoid"
    terms = {name: WEIGHTS[name] * value for name, value in objective(restorer, sharp, image, (real, fake)).items()}
    assert {name: log[f"term/{name}"].item() for name in terms} == pytest.approx(terms, rel=1e-4)
    assert log["critic/critic"].item() == pytest.approx(equation_3(real, fake), rel=1e-4)
    assert log["loss"].item() == pytest.approx(sum(terms.values()), rel=1e-4)
