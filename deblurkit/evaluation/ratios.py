"""Times of two generators held against each other, as two rows of one paper's table are: machines cancel out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from deblurkit.checkpoint import build_generator
from deblurkit.costs import TimeRatio
from deblurkit.evaluation.cost import Timing, noise_image, parse_size, seconds_of
from deblurkit.options.schema import Options

_SET = "gopro"  # whose images `seconds_720p` is about


@dataclass(frozen=True)
class Pair:
    """A paper's own network and one that it compares with; ``published``: the first's time in units of the second's."""

    first: Options
    second: Options
    published: float


def published_pairs(experiments: Sequence[Options]) -> list[Pair]:
    """Returns the pairs of which one's paper prints both times.

    The first's time is ``paper.cost.seconds_720p``; the second's the ``seconds`` of the row of ``paper.compared`` whose
    method is one of the names that ``paper.called`` of the second's options lists.
    """
    pairs = []
    for first in experiments:
        if first.paper is None or first.paper.cost is None or first.paper.cost.seconds_720p is None:
            continue
        for second in experiments:
            if second is first or second.paper is None:
                continue
            for row in first.paper.compared:
                if row["method"] in second.paper.called and row["dataset"] == _SET and "seconds" in row:
                    pairs.append(Pair(first, second, first.paper.cost.seconds_720p / float(row["seconds"])))
                    break
    return pairs


def measure_ratios(
    experiments: Sequence[Options],
    sizes: Sequence[str],
    timing: Timing,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[TimeRatio]:
    """Times each of :func:`published_pairs` in turn, with fresh weights, at the sizes that ``timing`` includes."""
    jobs = list(itertools.product(published_pairs(experiments), filter(timing.includes, sizes)))
    found = []
    for done, (pair, size) in enumerate(jobs, start=1):
        first = build_generator(pair.first).eval().to(timing.device)
        second = build_generator(pair.second).eval().to(timing.device)
        ratios = in_turn(first, second, parse_size(size), timing)
        p5, median, p95 = np.percentile(ratios, [5, 50, 95]).tolist()
        names = (pair.first.name, pair.second.name)
        found.append(TimeRatio(*names, size, pair.published, median, p5, p95, rounds=len(ratios)))
        if progress is not None:
            progress("comparing", done, len(jobs))
    return found


def in_turn(first: nn.Module, second: nn.Module, shape: tuple[int, int], timing: Timing) -> list[float]:
    """Returns the ratio of both times in each round; what disturbs the machine for a while meets both."""
    image = noise_image(shape, timing.device)
    ratios = []
    for number in range(timing.warmup + timing.repeats):
        # who begins alternates: the second of a round may find caches warm, or the machine hotter
        order = (first, second) if number % 2 else (second, first)
        seconds = {network: seconds_of(network, image, timing) for network in order}
        ratios.append(seconds[first] / seconds[second])
    return ratios[timing.warmup :]
