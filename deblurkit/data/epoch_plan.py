"""How often an epoch draws from each training set, and which images it draws: the same for (seed, epoch), always."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from deblurkit.errors import UserError

PLACE = "datasets.train"
"""Where option files have the training sets."""


@dataclass(frozen=True)
class EpochPlan:
    """The number of draws that an epoch takes from each training set.

    A set's images are drawn pass after pass, each of them once in a pass. An epoch of whole passes has every image
    equally often. Where a share ends within a pass, the next epoch goes on with the images that are left.

    Attributes:
        sizes: Images of each set.
        draws: Draws from each set in an epoch.
    """

    sizes: tuple[int, ...]
    draws: tuple[int, ...]

    @classmethod
    def repeating(cls, sizes: Sequence[int], repeats: Sequence[int]) -> EpochPlan:
        """Returns a plan that draws each image of a set as often as its set is repeated."""
        return cls(tuple(sizes), tuple(size * times for size, times in zip(sizes, repeats, strict=True)))

    @classmethod
    def weighted(cls, sizes: Sequence[int], weights: Sequence[float]) -> EpochPlan:
        """Returns a plan with as many draws as all sets have images, shared by the sets' weights.

        Raises:
            UserError: The share of a set is less than one draw.
        """
        total = sum(sizes)
        relative = [weight / max(weights) for weight in weights]  # sums of these are finite
        exact = [total * weight / sum(relative) for weight in relative]
        draws = [int(share) for share in exact]
        # What rounding down leaves over goes to those that lost most by it.
        by_loss = sorted(range(len(draws)), key=lambda number: draws[number] - exact[number])
        for number in by_loss[: total - sum(draws)]:
            draws[number] += 1
        lines = []
        for number, count in enumerate(draws):
            if count == 0:
                said = f"{weights[number]:g} gives it none of the {total} draws of an epoch; raise it, or drop the set"
                lines.append(f"{place(number, len(draws))}: weight: {said}")
        if lines:
            raise UserError(*lines)
        return cls(tuple(sizes), tuple(draws))

    def __len__(self) -> int:
        """Returns the number of draws in an epoch."""
        return sum(self.draws)

    def epoch(self, seed: int, epoch: int, stream: int) -> EpochDraws:
        """Returns what an epoch draws."""
        return EpochDraws(self, seed, epoch, stream)


class EpochDraws:
    """The draws of one epoch, set by set; each is computed when it is asked for, and so takes no memory.

    Kept are only the orders of sets whose share ends within a pass: 4 bytes an image of theirs, for each pass begun.
    """

    def __init__(self, plan: EpochPlan, seed: int, epoch: int, stream: int) -> None:
        self.plan, self.number = plan, epoch
        self._ends = np.cumsum(plan.draws)
        self._orders: dict[tuple[int, int], np.ndarray] = {}
        for number, (size, count) in enumerate(zip(plan.sizes, plan.draws, strict=True)):
            if count % size:
                for begun in range(epoch * count // size, (epoch * count + count - 1) // size + 1):
                    # Five numbers: neither an epoch's order nor a sample, which have four, takes the same ones.
                    self._orders[number, begun] = shuffled(size, [seed, begun, number, 2 * stream + 1, 1])

    def images(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the images drawn at ``places``, and how many passes before each have begun in the epoch.

        Places count from 0 to the plan's length; images are numbered through all sets. With the second number no image
        has the same random numbers twice.
        """
        places = places.astype(np.int64)  # draws of many epochs are more than 32 bits count
        images, repeats = np.empty_like(places), np.empty_like(places)
        sets = np.searchsorted(self._ends, places, side="right")
        for number, start in enumerate(starts(self.plan.sizes)):
            here = np.flatnonzero(sets == number)
            size, count = self.plan.sizes[number], self.plan.draws[number]
            before = self.number * count  # draws of the set in earlier epochs
            passes, within = np.divmod(before + places[here] - (self._ends[number] - count), size)
            if count % size:
                for begun in np.unique(passes):
                    of_pass = passes == begun
                    within[of_pass] = self._orders[number, int(begun)][within[of_pass]]
            images[here], repeats[here] = start + within, passes - before // size
        return images, repeats


def shuffled(count: int, seed: Sequence[int]) -> np.ndarray:
    """Returns the numbers below ``count`` in an order that follows from the seed: ``Generator.permutation(count)``."""
    order = np.arange(count, dtype=np.int32 if count < 2**31 else np.int64)  # half the bytes, the same order
    np.random.default_rng(seed).shuffle(order)
    return order


def place(number: int, count: int) -> str:
    """Returns what messages call one of ``count`` training sets."""
    return PLACE if count == 1 else f"{PLACE}.{number}"


def starts(sizes: Sequence[int]) -> list[int]:
    """Returns the first number of each set's images, numbered through all sets."""
    return list(accumulate(sizes, initial=0))[:-1]
