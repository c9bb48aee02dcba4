"""The page of a small reproduction: scores, verdicts and what they cannot say, in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from claims import CLAIMS, UNTESTABLE_BY_RECIPES, UNTESTABLE_BY_STRUCTURES, judge
from experiments import Objective, Run

KINDS: dict[Objective, str] = {"one": "structures under one objective", "own": "own recipe"}
_EQUAL: dict[Objective, str] = {
    "one": "All networks had the same data, objective and number of updates. No published figure is reproduced here: "
    "training is thousands of times shorter, and there is no content loss.",
    "own": "Each option file had its own objective and manner of training; the data, crops, batch and number of the "
    "generator's updates were the same. No published figure is reproduced here: this is the beginning of a training.",
}
_UNTESTABLE: dict[Objective, Sequence[str]] = {"one": UNTESTABLE_BY_STRUCTURES, "own": UNTESTABLE_BY_RECIPES}


def page(about: Mapping[str, str], objective: Objective, runs: Sequence[Run]) -> str:
    """Return the report of what is done so far.

    Args:
        about: What one must know to read the figures.
        objective: Of every run.
        runs: In the order of the tables.
    """
    lines = [
        f"# Reproduction at small scale: {KINDS[objective]}",
        "",
        *(f"- {key}: {value}" for key, value in about.items()),
        "",
        *_scores(objective, runs),
        *_verdicts(objective, runs),
        "## What this cannot test",
        "",
        *(f"- {text}" for text in _UNTESTABLE[objective]),
        "",
        *_look(objective, [run for run in runs if run.look is not None]),
    ]
    return "\n".join(lines)


def _scores(objective: Objective, runs: Sequence[Run]) -> list[str]:
    seeds = sorted({run.seed for run in runs})
    return [
        f"## Scores: {KINDS[objective]}",
        "",
        f"PSNR in decibels on the test images: each seed's, their mean and standard deviation. {_EQUAL[objective]}",
        "",
        f"| experiment | content loss | parameters | {' | '.join(f'seed {seed}' for seed in seeds)} | mean | s.d. | "
        "gain | SSIM | s / update |",
        f"| --- | --- | ---: |{' ---: |' * (len(seeds) + 5)}",
        *(_row(name, group, seeds) for name, group in _grouped(runs).items()),
        "",
    ]


def _row(name: str, group: Sequence[Run], seeds: Sequence[int]) -> str:
    by_seed = {run.seed: run.psnr for run in group}
    values = list(by_seed.values())
    mean = statistics.fmean(values)
    cells = [
        name,
        group[0].content,
        f"{group[0].parameters:,}",
        *(f"{by_seed[seed]:.2f}" if seed in by_seed else "-" for seed in seeds),
        f"{mean:.2f}",
        f"{statistics.stdev(values):.2f}" if len(values) > 1 else "-",
        f"{mean - group[0].psnr_blurred:+.2f}",
        f"{statistics.fmean(run.ssim for run in group):.4f}",
        f"{statistics.median(run.seconds_per_update for run in group):.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def _verdicts(objective: Objective, runs: Sequence[Run]) -> list[str]:
    groups = _grouped(runs)
    scores = {name: {run.seed: run.psnr for run in group} for name, group in groups.items()}
    lines = [
        f"## The papers' claims: {KINDS[objective]}",
        "",
        "The difference's 95 % confidence interval, paired by seed: `held`: above zero; `contradicted`: below zero; "
        "`undecided`: it holds zero. A verdict is about these networks and this budget, not about the papers'. Where "
        "nothing differs, one comparison of twenty is expected to be held or contradicted all the same.",
        "",
        "| claim | content losses of the two | published | here | verdict |",
        "| --- | --- | ---: | ---: | --- |",
    ]
    for claim in CLAIMS:
        verdict = judge(claim, scores)
        if verdict is None:
            continue
        content = " / ".join(groups[name][0].content for name in (claim.better, claim.worse))
        published = "order only" if claim.published is None else f"{claim.published:+.2f}"
        here = f"{verdict.difference:+.2f} ± {verdict.margin:.2f}"
        lines.append(f"| {claim.source} | {content} | {published} | {here} | {verdict.word} |")
    return [*lines, ""]


def _look(objective: Objective, runs: Sequence[Run]) -> list[str]:
    if not runs:
        return []
    lines = [
        f"## A look at other pairs: {KINDS[objective]}",
        "",
        "PSNR in decibels, mean over the seeds; never trained on, and too few to be a score.",
        "",
        "| experiment | content loss | PSNR | blurred |",
        "| --- | --- | ---: | ---: |",
    ]
    for name, group in _grouped(runs).items():
        mean = statistics.fmean(run.look for run in group if run.look is not None)
        lines.append(f"| {name} | {group[0].content} | {mean:.2f} | {group[0].look_blurred:.2f} |")
    return [*lines, ""]


def _grouped(runs: Sequence[Run]) -> dict[str, list[Run]]:
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.name, []).append(run)
    return groups
