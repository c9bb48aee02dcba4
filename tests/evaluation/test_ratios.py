"""Times within one paper: which pairs a paper prints, and both networks timed in turn."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from deblurkit.evaluation.cost import Timing
from deblurkit.evaluation.ratios import in_turn, measure_ratios, published_pairs
from deblurkit.options.load import load_options

TIMING = Timing(torch.device("cpu"), ["32x32"], repeats=4, warmup=1)


def test_published_pairs_come_from_the_papers_tables(checkout: Path):
    names = ("deblurgan", "bag", "dsc", "structure_guided", "crosshatch")
    found = published_pairs([load_options(checkout / "options" / f"{name}.yml") for name in names])
    ratios = {(pair.first.name, pair.second.name): round(pair.published, 3) for pair in found}
    assert ratios == {
        ("bag", "deblurgan"): round(1.13 / 0.97, 3),
        ("dsc", "deblurgan"): round(0.48 / 0.91, 3),
        ("structure_guided", "deblurgan"): round(0.7 / 1.1, 3),
    }


class Slow(nn.Module):
    """Returns its input after a while."""

    def __init__(self, seconds: float, order: list[float]) -> None:
        super().__init__()
        self.seconds, self.order = seconds, order

    def forward(self, blurred: Tensor) -> Tensor:
        self.order.append(self.seconds)
        time.sleep(self.seconds)
        return blurred


def test_networks_take_turns():
    order: list[float] = []
    ratios = in_turn(Slow(0.04, order), Slow(0.01, order), (8, 8), TIMING)
    assert order == [0.01, 0.04, 0.04, 0.01, 0.01, 0.04, 0.04, 0.01, 0.01, 0.04]
    assert len(ratios) == 4
    assert all(2 < ratio < 5 for ratio in ratios)


def test_both_are_measured_in_one_run(checkout: Path):
    small = {"deblurgan": ["generator.channels=4", "generator.blocks=1"], "dsc": ["generator.channels=4"]}
    experiments = [load_options(checkout / "options" / f"{name}.yml", change) for name, change in small.items()]
    (ratio,) = measure_ratios(experiments, ["32x32", "64x64"], TIMING)
    assert (ratio.name, ratio.against, ratio.size, ratio.rounds) == ("dsc", "deblurgan", "32x32", 4)
    assert ratio.published == pytest.approx(0.48 / 0.91)
    assert 0 < ratio.p5 <= ratio.median <= ratio.p95
