"""What an epoch draws of several training sets."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from deblurkit.data.epoch_plan import EpochPlan
from deblurkit.errors import UserError


def drawn(plan: EpochPlan, epoch: int, seed: int = 1, stream: int = 0) -> Counter[int]:
    return Counter(plan.images(seed, epoch, stream)[0].tolist())


def test_one_set_is_drawn_once_in_its_own_order():
    images, repeats = EpochPlan.repeating([5], [1]).images(7, 3, 0)
    assert images.tolist() == [0, 1, 2, 3, 4]
    assert not repeats.any()


@pytest.mark.parametrize("epoch", [0, 5])
def test_a_repeated_set_has_each_image_as_often_in_every_epoch(epoch: int):
    plan = EpochPlan.repeating([3, 2], [1, 4])
    assert len(plan) == 11
    assert drawn(plan, epoch) == {0: 1, 1: 1, 2: 1, 3: 4, 4: 4}
    pairs = list(zip(*map(np.ndarray.tolist, plan.images(1, epoch, 0)), strict=True))
    assert len(set(pairs)) == 11, "no two draws of an image have the same random numbers"


def test_weights_share_an_epoch_as_long_as_all_sets():
    plan = EpochPlan.weighted([70, 20, 10], [1, 1, 2])
    assert plan.draws == (25, 25, 50)
    assert EpochPlan.weighted([5, 5], [2, 1]).draws == (7, 3), "what is left over goes to the largest remainder"
    assert EpochPlan.weighted([70, 20, 10], [7, 2, 1]).draws == (70, 20, 10)
    assert EpochPlan.weighted([5, 5], [1.5e308, 1.5e308]).draws == (5, 5)


def test_weighted_sets_are_drawn_pass_after_pass():
    """25 draws an epoch of 70 images: 14 epochs are 5 passes, in each of which every image comes once."""
    plan = EpochPlan.weighted([70, 20, 10], [1, 1, 2])
    total: Counter[int] = Counter()
    for epoch in range(14):
        found = drawn(plan, epoch)
        assert sum(count for image, count in found.items() if image < 70) == 25
        total += found
        assert max(total[image] for image in range(70)) - min(total[image] for image in range(70)) <= 1
    assert {total[image] for image in range(70)} == {5}
    orders = [plan.images(1, epoch, 0)[0][:25].tolist() for epoch in range(14)]
    assert len({tuple(order) for order in orders}) == 14
    pairs = list(zip(*map(np.ndarray.tolist, plan.images(1, 6, 0)), strict=True))
    assert len(set(pairs)) == 100


def test_an_epoch_follows_from_its_number_alone():
    plan = EpochPlan.weighted([7, 3], [1, 1])
    for epoch in (0, 4):
        again = EpochPlan.weighted([7, 3], [1, 1])
        for one, other in zip(plan.images(2, epoch, 0), again.images(2, epoch, 0), strict=True):
            assert np.array_equal(one, other)
    assert drawn(plan, 0, seed=2) != drawn(plan, 0, seed=3), "another seed draws others"
    assert drawn(plan, 0, seed=2) != drawn(plan, 0, seed=2, stream=1), "critics draw others"


def test_a_share_of_no_draw_is_refused():
    with pytest.raises(UserError) as caught:
        EpochPlan.weighted([10, 10], [1, 1e-3])
    assert caught.value.problems == (
        "datasets.train.1: weight: 0.001 gives it none of the 20 draws of an epoch; raise it, or drop the set",
    )
