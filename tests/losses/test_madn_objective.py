"""MADN's whole objective, equations 10 to 16 and 18 to 20, against what options/madn.yml builds.

Equation 17 is misprinted (no lambda, ``phi1 +`` for ``phi1 *``, the gradient domain's term twice), and equation 19
draws its fakes from P_gt: equations 10, 11, 13 and 14 and P_g are used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from objectives import built_parts
from scipy import ndimage
from torch import Tensor

from deblurkit.engine.loss_terms import Term
from deblurkit.options.load import load_options

LAMBDA, PHI_1, PHI_2, ALPHA, BETA_1, BETA_2 = 0.05, 0.5, 1.0, 0.01, 0.01, 1.0
SMALL = ["generator.channels=[2,2,2]", "generator.blocks=1", "discriminators.critic.channels=[2,2,2,2,2]"]


@pytest.fixture(scope="module")
def terms(checkout: Path) -> dict[str, Term]:
    options = load_options(checkout / "options" / "madn.yml", SMALL)
    return {term.name: term for term in built_parts(options).terms}


@pytest.fixture(scope="module")
def named() -> dict[str, Any]:
    """Two images of 16 x 24 in double precision, and what a generator might have made of them."""
    random = torch.Generator().manual_seed(0)

    def draw(divisor: int = 1) -> Tensor:
        return torch.rand(2, 3, 16 // divisor, 24 // divisor, generator=random, dtype=torch.float64)

    return {
        "blurred": draw(),
        "sharp": draw(),
        "image": 1.5 * draw() - 0.2,
        "gradient": draw() - 0.1,
        "scales": [draw(), draw(2), draw(4)],
    }


def critic(image: Tensor) -> Tensor:
    """Stands for D before its sigmoid: tells colours and brightness apart; one logit an image."""
    return (image * image.new_tensor([2.0, -1.0, 0.5])[:, None, None]).mean((1, 2, 3)).unsqueeze(1) * 3 - 0.4


def probability(image: np.ndarray) -> np.ndarray:
    """D of the equations, after its sigmoid."""
    logits = 3 * (image * np.array([2.0, -1.0, 0.5])[:, None, None]).mean((1, 2, 3)) - 0.4
    return 1 / (1 + np.exp(-logits))


def gradient_map(image: np.ndarray) -> np.ndarray:
    """M: the Sobel magnitude of each channel."""

    def side(slope_axis: int, smooth_axis: int) -> np.ndarray:
        slope = ndimage.correlate1d(image, [-1, 0, 1], slope_axis, mode="nearest")
        return ndimage.correlate1d(slope, [1, 2, 1], smooth_axis, mode="nearest") / 4

    return np.sqrt(side(3, 2) ** 2 + side(2, 3) ** 2 + 1e-6)


def shrunk(image: np.ndarray, factor: int) -> np.ndarray:
    """Bicubic interpolation with a = -0.75 at the ratios 2 and 4."""
    for axis in (2, 3):
        length = image.shape[axis]
        centre = factor * np.arange(length // factor) + factor // 2 - 1
        pixels = [np.take(image, np.clip(centre + offset, 0, length - 1), axis) for offset in (-1, 0, 1, 2)]
        image = (19 * (pixels[1] + pixels[2]) - 3 * (pixels[0] + pixels[3])) / 32
    return image


@pytest.fixture(scope="module")
def by_hand(named: dict[str, Any]) -> dict[str, float]:
    """Each term of the generator's loss, weighted, by the names of the option file."""
    sharp, image, gradient = (named[name].numpy() for name in ("sharp", "image", "gradient"))
    truth = [sharp, shrunk(sharp, 2), shrunk(sharp, 4)]
    pixel = sum(
        ((out.numpy() - true) ** 2).sum() / (2 * true.size) for out, true in zip(named["scales"], truth, strict=True)
    )
    return {
        "scales": ALPHA * pixel,
        "gradient_map": PHI_1 * abs(gradient_map(sharp) - gradient).mean(),
        "image_gradient": PHI_2 * BETA_1 * abs(gradient_map(sharp) - gradient_map(image)).mean(),
        "image": PHI_2 * BETA_2 * abs(image - sharp).mean(),
        "adversarial_image": LAMBDA * -np.log(probability(image)).mean(),
        "adversarial_gradient": LAMBDA * -np.log(probability(gradient)).mean(),
    }


def test_every_term_with_its_weight(terms: dict[str, Term], named: dict[str, Any], by_hand: dict[str, float]):
    found = {name: term.weight * term.generator_value(named, {"critic": critic}).item() for name, term in terms.items()}
    assert found == pytest.approx(by_hand, rel=1e-5)


def test_total_of_equation_10(terms: dict[str, Term], named: dict[str, Any], by_hand: dict[str, float]):
    total = sum(term.weight * term.generator_value(named, {"critic": critic}) for term in terms.values())
    content = sum(by_hand[name] for name in ("scales", "gradient_map", "image_gradient", "image"))
    adversarial = by_hand["adversarial_image"] + by_hand["adversarial_gradient"]
    assert float(total) == pytest.approx(content + adversarial, rel=1e-5)


def test_critic_of_equations_18_to_20(terms: dict[str, Term], named: dict[str, Any]):
    """One critic, unweighted, for images and for gradient maps."""
    games = [term for term in terms.values() if term.critic == "critic"]
    found = sum(term.critic_value(named, {"critic": critic})[0] for term in games)
    sharp, image, gradient = (named[name].numpy() for name in ("sharp", "image", "gradient"))
    wanted = sum(
        -np.log(probability(real)).mean() - np.log(1 - probability(fake)).mean()
        for real, fake in ((sharp, image), (gradient_map(sharp), gradient))
    )
    assert len(games) == 2
    assert float(found) == pytest.approx(wanted, rel=1e-5)
