"""The whole objective of the crosshatch-attention GAN, as options/crosshatch.yml builds it, against its equations."""

from __future__ import annotations

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

FILE = Path(__file__).parents[2] / "options" / "crosshatch.yml"
SMALL = [
    "generator.encoder=[4, 8, 8]",
    "generator.res_channels=8",
    "generator.decoder=[8, 4]",
    "generator.blocks=1",
    "generator.dropout=0.0",
    "discriminators.critic.channels=4",
    "discriminators.critic.hidden=8",
]
STILL = ["optimizers.generator.lr=0.0", "optimizers.discriminators.lr=0.0"]


@pytest.fixture(scope="module")
def options() -> Options:
    return load_options(FILE, [*SMALL, *STILL, "losses.content.weights=random"])


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
    """Two images of 16x24 in [-1, 1], some of whose pixels are further than 1 apart."""
    random = torch.Generator().manual_seed(0)
    sharp, image, blurred = 2 * torch.rand(3, 2, 3, 16, 24, generator=random) - 1
    return {"sharp": sharp, "image": image, "blurred": blurred}


def critic(image: Tensor) -> Tensor:
    """One logit for each image."""
    return 20 * (image[:, :1] - 0.5 * image[:, 2:]).mean((2, 3))


def by_hand(image: Tensor) -> list[float]:
    return [20 * (sample[0].mean() - 0.5 * sample[2].mean()).item() for sample in image]


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


def equation_3(real: list[float], fake: list[float]) -> float:
    """The critic's, of its outputs for real and fake images."""
    higher = mean((r - mean(fake) - 1) ** 2 for r in real) / 2
    return higher + mean((f - mean(real) + 1) ** 2 for f in fake) / 2


def equation_4(real: list[float], fake: list[float]) -> float:
    """The generator's: one term."""
    return mean((f - mean(real) - 1) ** 2 for f in fake) / 2


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
    """Of the real networks, whose optimizers stand still, on a batch in [0, 1]."""
    random = torch.Generator().manual_seed(1)
    blurred, sharp = torch.rand(2, 2, 3, 64, 64, generator=random)
    log = restorer.train_step(
        [{"blurred": blurred, "sharp": sharp, "key": ["0", "1"]}],
        build_optimizers(options, restorer.networks(), torch.device("cpu")),
    )
    sharp = 2 * sharp - 1
    with torch.no_grad():
        image = restorer.generator(2 * blurred - 1)
        real, fake = (restorer.critics["critic"](x).flatten().tolist() for x in (sharp, image))
    terms = {name: WEIGHTS[name] * value for name, value in objective(restorer, sharp, image, (real, fake)).items()}
    assert {name: log[f"term/{name}"].item() for name in terms} == pytest.approx(terms, rel=1e-4)
    assert log["critic/critic"].item() == pytest.approx(equation_3(real, fake), rel=1e-4)
    assert log["loss"].item() == pytest.approx(sum(terms.values()), rel=1e-4)
