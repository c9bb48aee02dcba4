"""What the papers claim of their structures, and how a small experiment judges it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Claim:
    """One comparison that a paper prints.

    Attributes:
        source: Paper and table.
        better: The experiment that is said to score higher.
        worse: The one that it is compared with.
        published: The published difference in PSNR on GoPro, in decibels.
    """

    source: str
    better: str
    worse: str
    published: float


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
    Claim("001 table 1: GradientNet over DeblurGAN", "structure_guided", "deblurgan", 3.9889),
    Claim("001 table 1: GradientNet over DeblurGAN-v2", "structure_guided", "deblurgan_v2", 1.4166),
    Claim("000 table: crosshatch over DeblurGAN", "crosshatch", "deblurgan", 2.80),
    Claim("000 table: crosshatch over DeblurGAN-v2", "crosshatch", "deblurgan_v2", 1.95),
    Claim("004 table I: separable convolutions over DeblurGAN", "dsc", "deblurgan", 0.92),
    Claim("DeblurGAN-v2 table 1: v2 over DeblurGAN", "deblurgan_v2", "deblurgan", 0.85),
)

UNTESTABLE = (
    "001 table 4 (what the content and the gradient term bring), and every claim about a content loss (DeblurGAN, 000, "
    "003, 004): the content loss needs VGG-19's ImageNet weights, which this experiment does not have. With random "
    "features in their place it would be another claim.",
    "002 (MADN) against Nah, Sun and Whyte: none of these is among the networks here. Its figure 9, which compares "
    "loss combinations, is visual only.",
    "DeblurGAN-v2's gain from an ImageNet encoder: the encoders start from random weights here.",
    "Published seconds: other machines. Parameters and MACs are compared by tools/measure.py.",
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


def page(record: Mapping[str, Any]) -> str:
    """Return the report in Markdown, from what ``reproduce.py`` writes as JSON."""
    runs = record["runs"]
    scores = {name: {run["seed"]: run["psnr"] for run in group} for name, group in _grouped(runs).items()}
    seeds = sorted({run["seed"] for run in runs})
    lines = [
        f"# Reproduction at small scale, setting `{record['setting']['name']}`",
        "",
        *(f"- {key}: {value}" for key, value in record["about"].items()),
        "",
        "PSNR in decibels on the test images: each seed's, their mean and standard deviation. All networks had the "
        "same data, objective and number of updates. No published figure is reproduced here: training is thousands of "
        "times shorter, and there is no content loss.",
        "",
        f"| network | parameters | {' | '.join(f'seed {seed}' for seed in seeds)} | mean | s.d. | gain | SSIM |",
        f"| --- | ---: |{' ---: |' * (len(seeds) + 4)}",
        *(_row(name, group, seeds) for name, group in _grouped(runs).items()),
        "",
        "## The papers' claims",
        "",
        "The difference's 95 % confidence interval, paired by seed: `held`: above zero; `contradicted`: below zero; "
        "`undecided`: it holds zero. A verdict is about these networks and this budget, not about the papers'.",
        "",
        "| claim | published | here | verdict |",
        "| --- | ---: | ---: | --- |",
    ]
    for claim in CLAIMS:
        verdict = judge(claim, scores)
        if verdict is not None:
            here = f"{verdict.difference:+.2f} ± {verdict.margin:.2f}"
            lines.append(f"| {claim.source} | {claim.published:+.2f} | {here} | {verdict.word} |")
    lines += ["", "## What this cannot test", "", *(f"- {text}" for text in UNTESTABLE), ""]
    look = [run for run in runs if run.get("look")]
    if look:
        lines += [
            "## A look at other pairs",
            "",
            "PSNR in decibels, mean over the seeds; never trained on, and too few to be a score.",
            "",
            "| network | PSNR | blurred |",
            "| --- | ---: | ---: |",
        ]
        for name, group in _grouped(look).items():
            mean = statistics.fmean(run["look"]["restored"] for run in group)
            lines.append(f"| {name} | {mean:.2f} | {group[0]['look']['blurred']:.2f} |")
        lines.append("")
    return "\n".join(lines)


def _grouped(runs: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        groups.setdefault(run["name"], []).append(run)
    return groups


def _row(name: str, group: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> str:
    by_seed = {run["seed"]: run["psnr"] for run in group}
    values = list(by_seed.values())
    own = " | ".join(f"{by_seed[seed]:.2f}" if seed in by_seed else "-" for seed in seeds)
    deviation = f"{statistics.stdev(values):.2f}" if len(values) > 1 else "-"
    gain = statistics.fmean(values) - group[0]["psnr_blurred"]
    ssim = statistics.fmean(run["ssim"] for run in group)
    cells = [f"{group[0]['parameters']:,}", own, f"{statistics.fmean(values):.2f}", deviation, f"{gain:+.2f}"]
    return f"| {name} | {' | '.join(cells)} | {ssim:.4f} |"
