"""What the papers claim of their structures, and how a small experiment judges it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Claim:
    """One comparison that a paper prints.

    Attributes:
        source: Paper and table.
        better: The experiment that is said to score higher.
        worse: The one that it is compared with.
        published: The published difference in PSNR on GoPro, in decibels; ``None`` where the paper shows pictures only.
    """

    source: str
    better: str
    worse: str
    published: float | None


CLAIMS = (
    Claim("003 table 1: residual blocks over plain convolutions", "bag/model1", "bag/plain", 1.12),
    Claim("003 table 1: dense over residual blocks", "bag/model2", "bag/model1", 0.60),
    Claim("003 table 1: instance over batch norm", "bag/model3", "bag/model2", 0.26),
    Claim("003 table 1: spatial attention (and plain residual)", "bag/model4", "bag/model3", 0.08),
    Claim("003 table 1: multi-level over plain residual", "bag", "bag/model4", 0.27),
    Claim("003 table 2: BAG over DeblurGAN", "bag", "deblurgan", 2.2),
    Claim("003 table 2: DeblurGAN-v2 over BAG", "deblurgan_v2", "bag", 0.2),
    Claim(
        "001 table 5: recurrent RGCL over plain convolutions",
        "structure_guided+skip",
        "structure_guided/wo_rgcl+skip",
        0.1823,
    ),
    Claim("001 table 5: three paths over one", "structure_guided+skip", "structure_guided/wo_mbrbs+skip", 0.1393),
    Claim(
        "001 table 5: GradientNet over none", "structure_guided+skip", "structure_guided/wo_gradient_net+skip", 1.3544
    ),
    Claim("001 table 4: with the content loss", "structure_guided", "structure_guided/wo_content", 2.8501),
    Claim("001 table 4: with the gradient loss", "structure_guided", "structure_guided/wo_gradient", 0.5241),
    Claim(
        "001 table 5: recurrent RGCL over plain convolutions", "structure_guided", "structure_guided/wo_rgcl", 0.1823
    ),
    Claim("001 table 5: three paths over one", "structure_guided", "structure_guided/wo_mbrbs", 0.1393),
    Claim("001 table 5: GradientNet over none", "structure_guided", "structure_guided/wo_gradient_net", 1.3544),
    Claim("001 table 1: GradientNet over DeblurGAN", "structure_guided", "deblurgan", 3.9889),
    Claim("001 table 1: GradientNet over DeblurGAN-v2", "structure_guided", "deblurgan_v2", 1.4166),
    Claim("000 table: crosshatch over DeblurGAN", "crosshatch", "deblurgan", 2.80),
    Claim("000 table: crosshatch over DeblurGAN-v2", "crosshatch", "deblurgan_v2", 1.95),
    Claim("002 figure 9: with the adversarial loss", "madn/pixel_content_adversarial", "madn/pixel_content", None),
    Claim("002 figure 9: with the losses of gradients", "madn", "madn/pixel_content_adversarial", None),
    Claim("004 table I: separable convolutions over DeblurGAN", "dsc", "deblurgan", 0.92),
    Claim("DeblurGAN-v2 table 1: v2 over DeblurGAN", "deblurgan_v2", "deblurgan", 0.85),
)

UNTESTABLE_BY_STRUCTURES = (
    "001 table 4 (what the content and the gradient term bring), and every claim about a content loss (DeblurGAN, 000, "
    "003, 004): the content loss needs VGG-19's ImageNet weights, which this experiment does not have. With random "
    "features in their place it would be another claim.",
    "002 (MADN) against Nah, Sun and Whyte: none of these is among the networks here. Its figure 9, which compares "
    "loss combinations, is visual only.",
    "DeblurGAN-v2's gain from an ImageNet encoder: the encoders start from random weights here.",
    "Published seconds: other machines. Parameters and MACs are compared by deblurkit measure.",
)
UNTESTABLE_BY_RECIPES = (
    "What a recipe reaches at its end: the budget is its beginning, in which a network without a skip from input to "
    "output is still learning to copy. A verdict is about the beginning.",
    "What ImageNet's features bring to a content loss, where its line says RANDOM VGG-19: random features tell images "
    "apart too, but this is another claim than the paper's.",
    "000 and 004 print no ablation. The files of options/ablations/crosshatch are other readings of the paper, ours: "
    "they are measured and nothing is claimed of them.",
    "002's figure 9 has pictures and no numbers: PSNR is held against an order that the paper saw with its eyes.",
    "DeblurGAN-v2's gain from an ImageNet encoder: the encoders start from random weights here.",
)


@dataclass(frozen=True)
class Verdict:
    """A claim and what the seeds say of it.

    Attributes:
        claim: The claim.
        difference: Mean over the seeds of ``better - worse`` in decibels.
        margin: Half the width of its 95 % confidence interval (Student's t, paired by seed); infinite for one seed.
        word: ``held``, ``contradicted``, or ``undecided`` where the interval holds zero.
    """

    claim: Claim
    difference: float
    margin: float
    word: str


def judge(claim: Claim, scores: Mapping[str, Mapping[int, float]]) -> Verdict | None:
    """Compare the two experiments seed by seed.

    Args:
        claim: What is claimed.
        scores: PSNR in decibels by experiment and seed.

    Returns:
        ``None`` where the two have no seed in common.
    """
    better, worse = scores.get(claim.better, {}), scores.get(claim.worse, {})
    differences = [better[seed] - worse[seed] for seed in sorted(set(better) & set(worse))]
    if not differences:
        return None
    mean, margin = interval(differences)
    word = "held" if mean > margin else "contradicted" if mean < -margin else "undecided"
    return Verdict(claim, mean, margin, word)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and half the width of its 95 % confidence interval."""
    if len(values) < 2:
        return values[0], math.inf
    spread = statistics.stdev(values) / math.sqrt(len(values))
    return statistics.fmean(values), float(stats.t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1)) * spread
