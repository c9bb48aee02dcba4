"""Intervals and paired tests: coverage by simulation, hand-made cases, what is left out."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from scipy import stats

from deblurkit.evaluation.statistics import interval, paired


def test_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(3)
    draws = 250
    hits = sum(low <= 28.0 <= high for low, high in (interval(rng.normal(28, 3, 40)) for _ in range(draws)))
    assert stats.binom.ppf(1e-3, draws, 0.94) <= hits <= stats.binom.ppf(1 - 1e-3, draws, 0.95)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 1.0], (0.0, 1.0)),  # the mean of two resampled is 0, 1/2 or 1, a quarter of the time at each end
        ([0.5, 0.5, 0.5], (0.5, 0.5)),
        ([7.0], None),
        ([], None),
        ([28.0, 29.0, math.inf], None),
    ],
)
def test_hand_made_intervals(values: list[float], expected: tuple[float, float] | None):
    assert interval(values) == expected


def test_an_interval_is_that_of_a_mean():
    values = np.random.default_rng(0).normal(28, 3, 1111)
    low, high = interval(values)
    start = time.process_time()
    assert interval(values) == (low, high)
    assert time.process_time() - start < 1
    half = 1.96 * values.std(ddof=1) / math.sqrt(values.size)  # what it tends to with many values
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    inner = interval(values, level=0.5)
    assert low < inner[0] < inner[1] < high


def test_six_images_that_all_agree():
    """All 64 patterns of signs are equally likely, two are as one-sided as this."""
    found = paired([2.0, 4.0, 6.0, 8.0, 10.0, 12.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert (found.images, found.excluded, found.difference) == (6, 0, 3.5)
    assert found.p_value == pytest.approx(2 / 64)
    assert found.test.endswith("exact")
    assert 1.0 <= found.interval[0] < 3.5 < found.interval[1] <= 6.0


def test_equal_scores_take_part_in_the_ranking():
    """Pratt: the zero has rank 1, the positive ones 2 to 14: 104 where 52 are expected, with variance 6084 / 24."""
    found = paired([float(value) for value in range(14)], [0.0] * 14)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(52 / math.sqrt(6084 / 24)))
    assert found.test.endswith("normal approximation")


def test_few_images_with_equal_differences_are_tested_exactly():
    """Two of 64 patterns again, where the normal approximation would say 0.014 or less."""
    found = paired([0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], [0.0] * 7)
    assert found.p_value == pytest.approx(2 / 64)
    assert found.test.endswith("exact")


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [([1.0] * 5, [0.0] * 5, "fewer than 6"), ([27.5] * 20, [27.5] * 20, "no image differs")],
)
def test_what_is_not_tested(first: list[float], second: list[float], reason: str):
    found = paired(first, second)
    assert found.p_value is None
    assert reason in found.test
    assert found.difference == first[0] - second[0]


def test_infinite_scores_are_left_out_and_counted():
    found = paired([math.inf, math.inf, 30.0, 31.0], [math.inf, 20.0, 29.0, 29.0])
    assert (found.images, found.excluded, found.difference) == (2, 2, 1.5)
    nothing = paired([math.inf], [1.0])
    assert (nothing.images, nothing.difference, nothing.interval, nothing.p_value) == (0, None, None, None)


def test_the_order_changes_the_sign_only():
    rng = np.random.default_rng(1)
    first, second = rng.normal(28, 3, (2, 200))
    there, back = paired(first, second), paired(second, first)
    assert there.difference == pytest.approx(-back.difference)
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]))
    assert there.p_value == back.p_value


def test_one_in_twenty_is_found_where_nothing_differs():
    rng = np.random.default_rng(2)
    draws, level = 250, 0.05
    found = sum(paired(*rng.normal(28, 3, (2, 12))).p_value < level for _ in range(draws))
    assert stats.binom.ppf(1e-3, draws, level) <= found <= stats.binom.ppf(1 - 1e-3, draws, level)


def test_a_difference_far_below_the_spread_is_found():
    """What pairing is for: images differ by 3 dB, candidates by 0.05."""
    rng = np.random.default_rng(4)
    second = rng.normal(28, 3, 300)
    found = paired(second + rng.normal(0.05, 0.1, 300), second)
    assert found.p_value < 1e-6
    assert 0.03 < found.interval[0] < found.interval[1] < 0.07


def test_every_score_needs_its_partner():
    with pytest.raises(ValueError, match="2 scores on one side, 1 on the other"):
        paired([1.0, 2.0], [1.0])
