"""The training sets of an option file: their entries, and the one set that they make together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deblurkit.contracts import Dataset
from deblurkit.data.epoch_plan import EpochPlan, place
from deblurkit.data.training_sets import TrainingSets
from deblurkit.errors import UserError

if TYPE_CHECKING:
    from deblurkit.options.schema import Options, TrainSet


def training_sets(options: Options) -> list[TrainSet]:
    """Returns the entries of the training sets, of which the first has the loader's settings; one at least.

    Raises:
        UserError: The options lack something that a training needs; it names all that they lack.
    """
    missing = options.missing_for_training()
    if missing:
        raise UserError(*missing)
    return options.datasets.train


def join_sets(sets: Sequence[Dataset], entries: Sequence[TrainSet]) -> tuple[Dataset, EpochPlan]:
    """Returns the training sets, built of their entries, as one data set, and the plan of an epoch.

    Raises:
        UserError: They do not fit together.
    """
    sizes = [len(dataset) for dataset in sets]
    empty = [f"{place(number, len(sets))}: the set is empty" for number, size in enumerate(sizes) if size == 0]
    if empty:
        raise UserError(*empty)
    weights = [entry.weight for entry in entries if entry.weight is not None]
    if weights:
        plan = EpochPlan.weighted(sizes, weights)
    else:
        plan = EpochPlan.repeating(sizes, [entry.repeat or 1 for entry in entries])
    if len(sets) == 1:
        return sets[0], plan
    together = TrainingSets(sets, plan)
    if entries[0].loader.batch_size > 1:
        together.try_together()
    return together, plan
