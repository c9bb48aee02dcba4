"""What the tests of whole GAN objectives share: option files at rest, images, a training step, VGG-19 by hand."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from deblurkit.engine.build import Problems, build_parts
from deblurkit.engine.loss_terms import Term
from deblurkit.engine.optim import build_optimizers
from deblurkit.engine.step import GANRestorer, Parts
from deblurkit.options.load import load_options
from deblurkit.options.schema import Options

FOLDER = Path(__file__).parents[2] / "options"
STILL = ["optimizers.generator.lr=0.0", "optimizers.discriminators.lr=0.0"]


def still_options(name: str, overrides: list[str]) -> Options:
    """Load options/NAME.yml with optimizers that stand still and random weights for VGG-19."""
    return load_options(FOLDER / f"{name}.yml", [*overrides, *STILL, "losses.content.weights=random"])


def built_parts(options: Options) -> Parts:
    problems = Problems()
    parts = build_parts(options, problems, say=lambda _: None)
    problems.raise_any()
    return parts


def gan_restorer(options: Options) -> GANRestorer:
    return GANRestorer(built_parts(options))


def adversarial_term(restorer: GANRestorer) -> Term:
    return next(term for term in restorer.terms if term.name == "adversarial")


def sharp_image_blurred() -> Tensor:
    """Draw two images of 16x24 in [-1, 1] of each kind."""
    return 2 * torch.rand(3, 2, 3, 16, 24, generator=torch.Generator().manual_seed(0)) - 1


def mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)


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


def whole_step(
    options: Options, restorer: GANRestorer, n: int
) -> tuple[dict[str, Tensor], Tensor, Tensor, list[float], list[float]]:
    """Take a step of the real networks, whose optimizers stand still, on a batch of ``n`` images in [0, 1].

    Returns:
        The step's log; sharp and restored images in [-1, 1]; the critic's logits for the former and the latter.
    """
    random = torch.Generator().manual_seed(1)
    blurred, sharp = torch.rand(2, n, 3, 64, 64, generator=random)
    log = restorer.train_step(
        [{"blurred": blurred, "sharp": sharp, "key": [str(index) for index in range(n)]}],
        build_optimizers(options, restorer.networks(), torch.device("cpu")),
    )
    sharp = 2 * sharp - 1
    with torch.no_grad():
        image = restorer.generator(2 * blurred - 1)
        real, fake = (restorer.critics["critic"](x).flatten().tolist() for x in (sharp, image))
    return log, sharp, image, real, fake
