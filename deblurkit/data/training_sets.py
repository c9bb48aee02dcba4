"""Several training sets as one: samples of each, and batches of images from all of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deblurkit.contracts import Dataset, dataset_traits
from deblurkit.data.epoch_plan import PLACE, EpochPlan, starts
from deblurkit.data.loader import SET, collate_by_set, describe
from deblurkit.errors import UserError


class TrainingSets:
    """Several data sets as one, with images numbered through them, and batches in which they are mixed.

    Args:
        sets: The data sets.
        plan: How often each is drawn, for what the whole says of itself.
    """

    def __init__(self, sets: Sequence[Dataset], plan: EpochPlan) -> None:
        self.sets = list(sets)
        self.plan = plan
        self.starts = starts(plan.sizes)

    def __len__(self) -> int:
        """Returns the number of images in all sets."""
        return sum(self.plan.sizes)

    def sample(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        """Returns a sample of the set that the image belongs to, with the set's number, which its key begins with.

        Raises:
            UserError: As the set does, with its place in the option file.
        """
        number = bisect_right(self.starts, index) - 1
        try:
            sample = self.sets[number].sample(index - self.starts[number], rng)
        except UserError as error:
            raise UserError(*(f"{PLACE}.{number}: {problem}" for problem in error.problems)) from error
        return {**sample, "key": f"train.{number}/{sample['key']}", SET: number}

    def finish(self, batch: dict[Any, Any]) -> dict[str, Any]:
        """Makes one batch of the parts ``{number: batch}`` of several sets, each finished as its set does.

        The batch has what all parts have.

        Raises:
            UserError: The parts' images differ in size.
        """
        parts = []
        for number, part in batch.items():
            finish = dataset_traits(self.sets[number]).finish
            parts.append(part if finish is None else finish(part))
        sizes = {tuple(part["blurred"].shape[-2:]) for part in parts}
        if len(sizes) > 1:
            found = [f"{part['key'][0]} {' x '.join(map(str, part['blurred'].shape[-2:]))}" for part in parts]
            said = f"images of one batch differ in size (h x w): {', '.join(found)}"
            raise UserError(f"{PLACE}: {said}; give the sets one crop, or batch_size 1")
        return _joined(parts)

    def try_together(self) -> None:
        """Makes one batch of an image of each set, so that sets that do not fit are refused before a training begins.

        Raises:
            UserError: An image cannot be read, or the images differ in size.
        """
        first = [self.sample(start, np.random.default_rng(0)) for start in self.starts]
        self.finish(collate_by_set(first))

    def describe(self) -> dict[str, str | int]:
        """Returns what the sets say of themselves, each key with its set's number before it, and their shares."""
        facts: dict[str, str | int] = {"set": ""}
        names = []
        for number, (dataset, count) in enumerate(zip(self.sets, self.plan.draws, strict=True)):
            own = describe(dataset)
            names.append(str(own.pop("set", type(dataset).__name__)))
            share = f"{100 * count / len(self.plan):.3g} %"
            said = {"set": names[-1], "share": share, "images": self.plan.sizes[number], **own}
            facts |= {f"{number}.{key}": value for key, value in said.items()}
        return {**facts, "set": " + ".join(names)}

    @property
    def notes(self) -> list[str]:
        """What is to be said of each set, with its place."""
        found = []
        for number, dataset in enumerate(self.sets):
            found += [f"{PLACE}.{number}: {note}" for note in dataset_traits(dataset).notes]
        return found


def described_sets(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the descriptions of the sets in a description: several of :class:`TrainingSets`, else the one.

    >>> described_sets({"set": "A + B", "0.set": "A", "0.share": "75 %", "1.set": "B"})
    [{'set': 'A', 'share': '75 %'}, {'set': 'B'}]
    """
    sets: dict[str, dict[str, Any]] = {}
    for key, value in facts.items():
        number, _, own = key.partition(".")
        if own and number.isdecimal():
            sets.setdefault(number, {})[own] = value
    return list(sets.values()) or [dict(facts)]


def _joined(values: Sequence[Any]) -> Any:
    """Joins what the parts of a batch have under one name: tensors and lists end to end, dicts by name."""
    first = values[0]
    if isinstance(first, Tensor):
        return torch.cat(list(values))
    if isinstance(first, Mapping):
        names = [name for name in first if all(name in value for value in values)]
        return {name: _joined([value[name] for value in values]) for name in names}
    return [item for value in values for item in value]
