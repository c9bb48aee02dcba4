"""Times of two generators held against each other, as two rows of one paper's table are: machines cancel out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from deblurkit.checkpoint import build_generator
from deblurkit.evaluation.cost import Timing, noise_image, parse_size, seconds_of
from deblurkit.options.schema import Options
from deblurkit.results import TimeRatio

_SET = "gopro"  # whose images `seconds_720p` is about


@dataclass(frozen=True)
class Pair:
    """Two experiments whose times one paper prints.

    Attributes:
        first: The paper's own network.
        second: One that it compares with.
        published: The first's time in units of the second's.
    """

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
        own = first.paper.cost.seconds_720p if first.paper is not None and first.paper.cost is not None else None
        for second in experiments:
            theirs = _seconds_in(first, second)
            if second is not first and own is not None and theirs is not None:
                pairs.append(Pair(first, second, own / theirs))
    return pairs


def measure_ratios(
    experiments: Sequence[Options],
    sizes: Sequence[str],
    timing: Timing,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[TimeRatio]:
    """Times each of :func:`published_pairs` in turn, with fresh weights, at the sizes that ``timing`` includes."""
    jobs = [(pair, size) for pair in published_pairs(experiments) for size in sizes if timing.includes(size)]
    found = []
    for done, (pair, size) in enumerate(jobs, start=1):
        generators = [build_generator(options).eval().to(timing.device) for options in (pair.first, pair.second)]
        ratios = in_turn(generators[0], generators[1], parse_size(size), timing)
        p5, median, p95 = (float(value) for value in np.percentile(ratios, [5, 50, 95]))
        names = (pair.first.name, pair.second.name)
        found.append(TimeRatio(*names, size, pair.published, median, p5, p95, len(ratios)))
        if progress is not None:
            progress("comparing", done, len(jobs))
    return found


def in_turn(first: nn.Module, second: nn.Module, shape: tuple[int, int], timing: Timing) -> list[float]:
    """Returns the ratio of both times in each round; what disturbs the machine for a while meets both."""
    image = noise_image(shape, timing.device)
    ratios = []
    for number in range(timing.warmup + timing.repeats):
        order = (first, second) if number % 2 else (second, first)
        seconds: Mapping[nn.Module, float] = {network: seconds_of(network, image, timing) for network in order}
        ratios.append(seconds[first] / seconds[second])
    return ratios[timing.warmup :]


def _seconds_in(first: Options, second: Options) -> float | None:
    if first.paper is None or second.paper is None:
        return None
    rows = [row for row in first.paper.compared if row["method"] in second.paper.called and row["dataset"] == _SET]
    return next((float(row["seconds"]) for row in rows if "seconds" in row), None)
