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

    def images(self, seed: int, epoch: int, stream: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns what an epoch draws, set by set: numbers of images, and how many passes before each have begun in it.

        Images are numbered through all sets. With the second number no image has the same random numbers twice.
        """
        chosen, repeats = [], []
        parts = zip(starts(self.sizes), self.sizes, self.draws, strict=True)
        for number, (start, size, count) in enumerate(parts):
            passes, within = np.divmod(epoch * count + np.arange(count), size)
            if count % size:
                for begun in np.unique(passes):
                    # Five numbers: neither an epoch's order nor a sample, which have four, takes the same ones.
                    random = np.random.default_rng([seed, int(begun), number, 2 * stream + 1, 1])
                    here = passes == begun
                    within[here] = random.permutation(size)[within[here]]
            chosen.append(start + within)
            repeats.append(passes - passes[0])
        return np.concatenate(chosen), np.concatenate(repeats)


def place(number: int, count: int) -> str:
    """Returns what messages call one of ``count`` training sets."""
    return PLACE if count == 1 else f"{PLACE}.{number}"


def starts(sizes: Sequence[int]) -> list[int]:
    """Returns the first number of each set's images, numbered through all sets."""
    return list(accumulate(sizes, initial=0))[:-1]
