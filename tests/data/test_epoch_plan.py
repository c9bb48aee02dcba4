"""What an epoch draws of several training sets."""

from __future__ import annotations

import tracemalloc
from collections import Counter

import numpy as np
import pytest

from deblurkit.data.epoch_plan import EpochPlan, shuffled
from deblurkit.data.loader import EpochBatchSampler
from deblurkit.errors import UserError


def images(plan: EpochPlan, seed: int, epoch: int, stream: int) -> tuple[np.ndarray, np.ndarray]:
    return plan.epoch(seed, epoch, stream).images(np.arange(len(plan)))


def as_it_was(plan: EpochPlan, seed: int, epoch: int, stream: int) -> tuple[np.ndarray, np.ndarray]:
    """The whole epoch in arrays of int64, as it was computed when the first checkpoints were written."""
    chosen, repeats, start = [], [], 0
    for number, (size, count) in enumerate(zip(plan.sizes, plan.draws, strict=True)):
        passes, within = np.divmod(epoch * count + np.arange(count), size)
        if count % size:
            for begun in np.unique(passes):
                random = np.random.default_rng([seed, int(begun), number, 2 * stream + 1, 1])
                here = passes == begun
                within[here] = random.permutation(size)[within[here]]
        chosen.append(start + within)
        repeats.append(passes - passes[0])
        start += size
    return np.concatenate(chosen), np.concatenate(repeats)


def drawn(plan: EpochPlan, epoch: int, seed: int = 1, stream: int = 0) -> Counter[int]:
    return Counter(images(plan, seed, epoch, stream)[0].tolist())


def test_one_set_is_drawn_once_in_its_own_order():
    found, repeats = images(EpochPlan.repeating([5], [1]), 7, 3, 0)
    assert found.tolist() == [0, 1, 2, 3, 4]
    assert not repeats.any()


@pytest.mark.parametrize("epoch", [0, 5])
def test_a_repeated_set_has_each_image_as_often_in_every_epoch(epoch: int):
    plan = EpochPlan.repeating([3, 2], [1, 4])
    assert len(plan) == 11
    assert drawn(plan, epoch) == {0: 1, 1: 1, 2: 1, 3: 4, 4: 4}
    pairs = list(zip(*map(np.ndarray.tolist, images(plan, 1, epoch, 0)), strict=True))
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
    orders = [images(plan, 1, epoch, 0)[0][:25].tolist() for epoch in range(14)]
    assert len({tuple(order) for order in orders}) == 14
    pairs = list(zip(*map(np.ndarray.tolist, images(plan, 1, 6, 0)), strict=True))
    assert len(set(pairs)) == 100


def test_an_epoch_follows_from_its_number_alone():
    plan = EpochPlan.weighted([7, 3], [1, 1])
    for epoch in (0, 4):
        again = EpochPlan.weighted([7, 3], [1, 1])
        for one, other in zip(images(plan, 2, epoch, 0), images(again, 2, epoch, 0), strict=True):
            assert np.array_equal(one, other)
    assert drawn(plan, 0, seed=2) != drawn(plan, 0, seed=3), "another seed draws others"
    assert drawn(plan, 0, seed=2) != drawn(plan, 0, seed=2, stream=1), "critics draw others"


def test_a_share_of_no_draw_is_refused():
    with pytest.raises(UserError) as caught:
        EpochPlan.weighted([10, 10], [1, 1e-3])
    assert caught.value.problems == (
        "datasets.train.1: weight: 0.001 gives it none of the 20 draws of an epoch; raise it, or drop the set",
    )


@pytest.mark.parametrize(
    "plan",
    [
        EpochPlan.repeating([5], [1]),
        EpochPlan.repeating([1, 1], [1, 7]),
        EpochPlan.repeating([30, 20, 7], [1, 4, 2]),
        EpochPlan.weighted([70, 20, 10], [1, 1, 2]),
        EpochPlan.weighted([3, 1000], [9, 1]),
    ],
)
def test_draws_that_are_computed_one_by_one_are_those_of_before(plan: EpochPlan):
    """Runs go on from old checkpoints bit for bit: whole, in any order of places, and in batches."""
    for epoch, stream, seed in ((0, 0, 0), (3, 1, 7), (10**9, 0, 2**31)):
        wanted = as_it_was(plan, seed, epoch, stream)
        draws = plan.epoch(seed, epoch, stream)
        order = np.random.default_rng(5).permutation(len(plan))
        assert np.array_equal(shuffled(len(plan), [5]), order)
        for places in (np.arange(len(plan)), order, *np.array_split(order.astype(np.int32), 4)):
            for found, of_plan in zip(draws.images(places), wanted, strict=True):
                assert np.array_equal(found, of_plan[places])


def test_an_epoch_of_millions_takes_four_bytes_an_image_and_a_batch_of_it_none():
    size = 2_000_000
    plan = EpochPlan.repeating([size], [1])
    tracemalloc.start()
    try:
        batches = iter(EpochBatchSampler(plan, 8, seed=0, rank=1, world=4))
        next(batches)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size <= kept < 1.1 * size, "a quarter of the order, 4 bytes each"
    assert peak < 5.5 * size
