"""What is said of a data set from its images' rows."""

from __future__ import annotations

import math

import pytest

from deblurkit.evaluation.aggregate import dataset_result
from deblurkit.evaluation.protocols.protocol import get_protocol
from deblurkit.evaluation.scoring import Outcome, Spent
from deblurkit.results import ImageScore, Scores


def gains(*pairs: tuple[Scores | None, Scores | None]) -> Scores | None:
    rows = [ImageScore(str(number), *pair, None) for number, pair in enumerate(pairs)]
    outcomes = [Outcome(number, row, None, None, (), Spent(0.0, 0.0, 0.0)) for number, row in enumerate(rows)]
    return dataset_result(outcomes, get_protocol("gopro-basicsr-v1"), 1.0).gain


def test_a_gain_is_over_the_images_that_have_both_scores() -> None:
    """The third image has no score of its blurred input: that the restored one is bad there is no loss."""
    first, second = ({"psnr": 20.0}, {"psnr": 21.0}), ({"psnr": 30.0}, {"psnr": 33.0})
    assert gains(first, second, ({}, {"psnr": 6.0})) == {"psnr": 2.0}
    assert gains(first, second, (None, {"psnr": 6.0})) == {"psnr": 2.0}
    assert gains(({"ssim": 0.5}, {"psnr": 20.0})) == {}
    assert gains((None, {"psnr": 20.0})) is None


def test_infinite_gains() -> None:
    first, perfect, lost = ({"psnr": 20.0}, {"psnr": 21.0}), ({"psnr": 20.0}, {"psnr": math.inf}), {"psnr": math.inf}
    assert gains(first, perfect) == {"psnr": math.inf}
    assert gains(first, (lost, lost)) == {"psnr": pytest.approx(1.0)}, "an identical image gains nothing that is known"
    assert gains(first, perfect, (lost, {"psnr": 20.0})) == {}
