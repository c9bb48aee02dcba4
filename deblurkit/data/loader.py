"""From a data set in an option file to batches, the same whatever the number of workers and however often resumed."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import torch
from torch.utils import data as torch_data
from torch.utils.data import Sampler, default_collate

from deblurkit.contracts import Dataset, dataset_traits
from deblurkit.data.dataset import Pairs
from deblurkit.data.epoch_plan import PLACE, EpochPlan, shuffled
from deblurkit.errors import MissingSetError, UserError
from deblurkit.plugins import load_plugins, loaded_plugins
from deblurkit.registry import DATASETS

if TYPE_CHECKING:
    from deblurkit.options.schema import DatasetEntry, Loader


SET = "training_set"
"""What samples have besides where a training has several sets: the number of theirs."""


class Draw(NamedTuple):
    """One sample of a training; stream 0 is the generator's, 1 that of critics that draw batches of their own.

    ``repeat`` counts how often the epoch has drawn the image before, where it draws images more than once.
    """

    epoch: int
    image: int
    stream: int = 0
    repeat: int = 0


@dataclass(frozen=True)
class CriticBatches:
    """The batches that critics draw for themselves, before those that the generator takes in the same iteration."""

    of_critics: int  # batches that the critics take in an iteration
    of_generator: int  # batches that the generator takes
    start: int  # the first batch of the critics' endless stream


def build_dataset(entry: DatasetEntry, where: str) -> Any:
    """Builds a data set, checks its files, and applies ``limit`` and ``cache``; messages begin with ``where``.

    Raises:
        MissingSetError: It is a published set, and its folder does not exist.
        UserError: It cannot be built, or its files are not in order: a line for each problem.
    """
    try:
        dataset = DATASETS.build(entry.component, where=where)
        traits = dataset_traits(dataset)
        if traits.verify is not None:
            traits.verify()
        if entry.loader.cache:
            if traits.cache is None:
                raise UserError(f"cache: a {type(dataset).__name__} cannot be cached: it has no method cache(count)")
            traits.cache(entry.limit)
    except UserError as error:
        lines = [line if line.startswith(where) else f"{where}: {line}" for line in error.problems]
        if isinstance(error, MissingSetError):
            raise MissingSetError(*lines, brief=error.brief) from error
        raise UserError(*lines) from error
    if entry.limit is None or entry.limit >= len(dataset):
        return dataset
    return FirstImages(dataset, entry.limit)


def describe(dataset: object) -> dict[str, str | int]:
    """Returns a data set's description of itself; where it has none, its type's name."""
    own = dataset_traits(dataset).describe
    return dict(own()) if own is not None else {"set": type(dataset).__name__}


class FirstImages:
    """The first ``count`` images of a data set."""

    def __init__(self, dataset: Dataset, count: int) -> None:
        self.dataset: Any = dataset  # with whatever else it has
        self.count = count
        if isinstance(dataset, Pairs):
            dataset.used = count  # no transform may mix in an image that is left out

    def __len__(self) -> int:
        """Returns the number of images kept."""
        return self.count

    def __getattr__(self, name: str) -> Any:
        """Returns what the whole set has: its samples, sizes, notes; of its keys those of the images kept."""
        if name == "dataset":  # while it is unpickled, which would go on for ever
            raise AttributeError(name)
        if name == "keys":
            keys = self.dataset.keys
            return lambda: keys()[: self.count]
        return getattr(self.dataset, name)

    def describe(self) -> dict[str, str | int]:
        """Returns what the whole set says of itself, and the limit."""
        return {**describe(self.dataset), "limit": self.count}


class SeededSamples(torch_data.Dataset[dict[str, Any]]):
    """Samples whose random numbers depend on (seed, epoch, index, stream, repeat) and on nothing else.

    It can be sent to spawned workers together with the plugins that its data set may come from.
    """

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __getitem__(self, position: Draw) -> dict[str, Any]:
        """Returns the sample at ``(epoch, index)`` of a stream."""
        epoch, index, stream, repeat = Draw(*position)
        numbers = [self.seed, epoch, index, 2 * stream, *([repeat] if repeat else [])]
        return self.dataset.sample(index, np.random.default_rng(numbers))

    def __getitems__(self, positions: list[Draw]) -> list[dict[str, Any]] | UserError:
        """Returns a batch's samples, or the user's mistake that one of them met (see :class:`Batches`)."""
        try:
            return [self[position] for position in positions]
        except UserError as error:  # returned, as one that is raised comes out of a worker as text
            return error

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.dataset)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the data set as bytes, so that plugins can be loaded before it is unpickled."""
        return _restore_samples, (loaded_plugins(), pickle.dumps(self.dataset), self.seed)


def _restore_samples(plugins: list[str], pickled: bytes, seed: int) -> SeededSamples:
    load_plugins(plugins)
    return SeededSamples(pickle.loads(pickled), seed)


class EpochBatchSampler(Sampler[list[Draw]]):
    """Batches of ``(epoch, index)`` without end, epoch after epoch, each shuffled by (seed, epoch, stream).

    Every process gets as many draws of an epoch as every other, none of them twice; what is left over is dropped,
    another few in each epoch. Starting late costs nothing: no data are read to get there.

    Args:
        plan: What an epoch draws.
        batch_size: Images in a batch of one process.
        start_epoch, start_batch: Epoch, and batch of that epoch, to begin with, from 0.
        rank, world: This process's number, and the number of processes.
        batches_per_epoch: Use only so many batches of an epoch (of each process), where fewer than there are.

    Raises:
        ValueError: There are not enough images for one batch.
    """

    def __init__(
        self,
        plan: EpochPlan,
        batch_size: int,
        seed: int,
        start_epoch: int = 0,
        start_batch: int = 0,
        rank: int = 0,
        world: int = 1,
        batches_per_epoch: int | None = None,
        stream: int = 0,
    ) -> None:
        self.plan, self.batch_size, self.seed, self.stream = plan, batch_size, seed, stream
        self.start_epoch, self.start_batch = start_epoch, start_batch
        self.rank, self.world = rank, world
        self.batches = len(plan) // world // batch_size
        if batches_per_epoch is not None:
            self.batches = min(self.batches, batches_per_epoch)
        if self.batches < 1:
            raise ValueError(f"{len(plan)} images over {world} processes make no batch of {batch_size}")

    def __iter__(self) -> Iterator[list[Draw]]:
        """Yields this process's batches, beginning where it was told to."""
        epoch, batch = self.start_epoch, self.start_batch
        while True:
            # Odd fourth numbers keep this apart from the samples' own generators, whose are even.
            order = shuffled(len(self.plan), [self.seed, epoch, 0, 2 * self.stream + 1])
            if self.world > 1:  # every process shuffles the whole epoch alike, and keeps its share of the order alone
                order = order[self.rank :: self.world].copy()
            draws = self.plan.epoch(self.seed, epoch, self.stream)
            for number in range(batch, self.batches):
                chosen = order[number * self.batch_size : (number + 1) * self.batch_size]
                images, repeats = draws.images(chosen)
                pairs = zip(images.tolist(), repeats.tolist(), strict=True)
                yield [Draw(epoch, image, self.stream, repeat) for image, repeat in pairs]
            epoch, batch = epoch + 1, 0


class TwoStreams(Sampler[list[Draw]]):
    """The batches of each iteration, without end: first the critics' own, then the generator's."""

    def __init__(self, critics: EpochBatchSampler, generator: EpochBatchSampler, counts: CriticBatches) -> None:
        self.critics, self.generator, self.counts = critics, generator, counts

    def __iter__(self) -> Iterator[list[Draw]]:
        """Yields both in turn."""
        critics, generator = iter(self.critics), iter(self.generator)
        while True:
            yield from islice(critics, self.counts.of_critics)
            yield from islice(generator, self.counts.of_generator)


class Batches(torch_data.DataLoader[dict[str, Any]]):
    """A loader that raises a :class:`UserError` met in a worker as it was, not wrapped in the worker's traceback."""

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        """Yields batches, until a sample cannot be made."""
        for batch in super().__iter__():
            if isinstance(batch, UserError):
                raise batch
            yield batch


def build_train_loader(
    dataset: Dataset,
    loader: Loader,
    seed: int,
    *,
    start_epoch: int = 0,
    start_batch: int = 0,
    rank: int = 0,
    world: int = 1,
    used_batches: int | None = None,
    critics: CriticBatches | None = None,
    pin_memory: bool = False,
    plan: EpochPlan | None = None,
) -> Batches:
    """Returns an endless loader of shuffled batches.

    Batches are ``{"blurred": float32 (n, 3, h, w) in [0, 1], "sharp": the same, "key": list of n strings}``. With
    (epoch, index) the seed decides every random number of a sample. The first batch is ``start_batch`` of
    ``start_epoch``, for process ``rank`` of ``world``. Of each epoch the generator uses ``used_batches``, all by
    default; ``critics`` says what critics draw besides, by passes of their own over the whole set. ``pin_memory``
    copies batches into page-locked memory, for a GPU. ``plan`` says what an epoch draws, each image once by default.

    Raises:
        UserError: An epoch is smaller than one batch of every process.
    """
    plan, batch_size = plan or EpochPlan.repeating([len(dataset)], [1]), loader.batch_size
    if len(plan) < batch_size * world:
        per = f" in each of {world} processes" if world > 1 else ""
        least = f"needs at least {batch_size * world} images; an epoch has {len(plan)}"
        raise UserError(f"{PLACE}: batch_size: {batch_size}{per} {least}")
    generator = EpochBatchSampler(plan, batch_size, seed, start_epoch, start_batch, rank, world, used_batches)
    sampler: Sampler[list[Draw]] = generator
    if critics is not None:
        start = divmod(critics.start, len(plan) // world // batch_size)  # epoch and batch: critics use whole epochs
        own = EpochBatchSampler(plan, batch_size, seed, *start, rank, world, stream=1)
        sampler = TwoStreams(own, generator, critics)
    count = 0 if loader.workers == "auto" else loader.workers  # whoever times them gives a number
    workers: dict[str, Any] = {}
    if count:  # without any, torch refuses the two
        workers = {"prefetch_factor": loader.prefetch, "persistent_workers": loader.persistent}
    return Batches(
        SeededSamples(dataset, seed),
        batch_sampler=sampler,
        num_workers=count,
        collate_fn=_collate_or_error,
        worker_init_fn=_start_worker,
        # Without its own, each iterator would draw from torch's global generator and so change the training.
        generator=torch.Generator().manual_seed(seed),
        pin_memory=pin_memory,
        **workers,
    )


def collate(samples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Stacks samples into a batch: tensors and numbers by name, at any depth of dicts; other values become lists.

    Raises:
        UserError: Their images differ in size.
    """
    image = "blurred" if "blurred" in samples[0] else "sharp"
    sizes = {tuple(sample[image].shape[-2:]): sample["key"] for sample in samples}
    if len(sizes) > 1:
        found = ", ".join(f"{key} {height} x {width}" for (height, width), key in sizes.items())
        raise UserError(f"images of one batch differ in size (h x w): {found}; give the set a crop, or batch_size 1")
    return dict(default_collate(list(samples)))


def collate_by_set(samples: Sequence[dict[str, Any]]) -> dict[Any, Any]:
    """Stacks samples into a batch; those of several sets into one for each, by the sets' numbers.

    What the sets leave to be done on the device differs, so that only there the parts become one batch.
    """
    if SET not in samples[0]:
        return collate(samples)
    groups: dict[int, list[dict[str, Any]]] = {}
    for sample in samples:
        own = dict(sample)
        groups.setdefault(own.pop(SET), []).append(own)
    return {number: collate(groups[number]) for number in sorted(groups)}


def _collate_or_error(samples: list[dict[str, Any]] | UserError) -> dict[Any, Any] | UserError:
    if isinstance(samples, UserError):
        return samples
    try:
        return collate_by_set(samples)
    except UserError as error:
        return error


def _start_worker(_: int) -> None:
    # One thread each: workers share the cores with each other and with the training. (Without workers the training
    # waits while images are read, so that OpenCV may use all cores there.)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    # Ctrl-C and a scheduler's SIGTERM reach the whole group, but the main process needs its workers to go on to the
    # next checkpoint; from the main process itself a SIGTERM must end them, or it would wait for them for ever.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":  # elsewhere SIGTERM ends a worker, whoever sends it
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        threading.Thread(target=_obey_parent, daemon=True).start()


def _obey_parent() -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != os.getppid():
        pass
    os._exit(0)
