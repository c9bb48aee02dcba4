"""Restores and scores a data set: the same for validation during training, for tests, and for folders of images.

Three things go on at once: threads read ahead, the calling thread restores, threads score what is restored.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from torch import Tensor

from deblurkit import names
from deblurkit.allocator import keeping_freed_memory
from deblurkit.contracts import Dataset, dataset_traits
from deblurkit.data.dataset import Pairs
from deblurkit.data.images import to_tensor, to_uint8, write_image
from deblurkit.data.loader import FirstImages, collate
from deblurkit.device import usable_cores
from deblurkit.errors import UserError
from deblurkit.evaluation.alignment import Facts
from deblurkit.evaluation.protocols.protocol import Protocol, Scored
from deblurkit.evaluation.sources import Restored, Source
from deblurkit.inference.forward import NonFiniteOutputError
from deblurkit.metrics.images import Array
from deblurkit.results import ImageScore

Progress = Callable[[int, int], None]
"""Called with the number of images done and the number of all."""

MOST_THREADS = 16
PIXELS_AHEAD = 2**25
"""At most so many pixels are read ahead, and at most so many wait for their scores; but one image at least."""

_UNDEFINED = "_undefined"  # what a metric's name ends with in the fact that it has no value


class ScoringError(RuntimeError):
    """Something failed that no user is to blame for; names the image."""


class Spent(NamedTuple):
    """Seconds that one image took, each part as the clock of its thread ran: parts of several images overlap."""

    decode: float
    network: float
    metrics: float


@dataclass(frozen=True)
class Outcome:
    """All that is kept of one image.

    Attributes:
        index: Where it stands in its data set.
        row: Its scores.
        mode: The inference mode that was used; ``None`` where it was restored elsewhere.
        live_bytes: What live tensors took at once, as estimated; ``None`` where that is unknown.
        events: What happened on the way, such as a fall-back to tiles.
        spent: How long it took.
        thumbnail: What :attr:`Keeping.picture` made of the restored image.
    """

    index: int
    row: ImageScore
    mode: str | None
    live_bytes: int | None
    events: tuple[str, ...]
    spent: Spent
    thumbnail: bytes | None = None


@dataclass(frozen=True)
class Keeping:
    """Work on each image beyond scoring it; all of it is done in the threads that score.

    Attributes:
        file: Tells where a restored image goes, from its index and key.
        picture: Makes a thumbnail of a restored image, uint8 ``(h, w, 3)``.
        record: Told of each outcome once its restored image is saved, one call at a time, in any order.
    """

    file: Callable[[int, str], Path] | None = None
    picture: Callable[[np.ndarray], bytes] | None = None
    record: Callable[[Outcome], None] | None = None


def score_dataset(
    source: Source,
    dataset: Dataset,
    protocol: Protocol,
    *,
    seed: int = 0,
    indices: Sequence[int] | None = None,
    done: Mapping[int, Outcome] | None = None,
    keeping: Keeping | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> list[Outcome]:
    """Restores the images of a data set, and scores each and its blurred input.

    At most ``threads`` images are read ahead and as many wait for their scores, fewer where they are large
    (:data:`PIXELS_AHEAD`), while one is restored: memory does not grow with the number of images. The scores do not
    depend on the number of threads.

    Args:
        source: What restores. A network's ``seconds`` on the CPU are those beside threads that read and score.
        dataset: Images without ``sharp`` get the scores that need none.
        protocol: What is computed.
        seed: Image ``index`` is drawn with random numbers of ``(seed, 0, index)``.
        indices: Which images; by default those that the protocol scores (:func:`scored_images`).
        done: Outcomes known already, by index: these images are not touched again.
        keeping: What else to do with each image.
        threads: How many read and score; by default one a core, :data:`MOST_THREADS` at most.
        progress: Told of images done, in this thread.

    Returns:
        One outcome for each index, in their order.

    Raises:
        NonFiniteOutputError: The generator returned pixels that are no numbers; names the image.
        UserError: An image cannot be read or scored.
        ScoringError: Anything else went wrong with one image.
    """
    chosen = scored_images(dataset, protocol) if indices is None else list(indices)
    outcomes = dict(done or {})  # an earlier run's, which may hold more than is asked for
    remaining = [index for index in chosen if index not in outcomes]
    known = len(chosen) - len(remaining)
    threads = threads or min(MOST_THREADS, usable_cores())
    work = _Work(source, dataset, protocol, seed, keeping or Keeping())
    with source.running(protocol.training_mode), _one_opencv_thread(), keeping_freed_memory():
        for number, outcome in enumerate(_stream(work, remaining, threads), known + 1):
            outcomes[outcome.index] = outcome
            if progress is not None:
                progress(number, len(chosen))
    return [outcomes[index] for index in chosen]


def restore_again(
    source: Source, dataset: Dataset, protocol: Protocol, seed: int, indices: Sequence[int]
) -> Iterator[tuple[int, Tensor]]:
    """Restores a few images exactly as :func:`score_dataset` does.

    Yields:
        An index, and its restored image ``(3, h, w)`` in [0, 1].
    """
    work = _Work(source, dataset, protocol, seed, Keeping())
    with source.running(protocol.training_mode):
        for index in indices:
            ready = work.read(index)
            yield index, work.restore(ready).image


def scored_images(dataset: Dataset, protocol: Protocol) -> list[int]:
    """Returns the indices of the images that a protocol scores.

    Raises:
        UserError: The protocol scores none of them; or not all, and the data set cannot name its images.
    """
    keys = dataset_traits(dataset).keys
    if keys is not None:
        chosen = list(protocol.select(keys()))
        if not chosen and len(dataset):
            raise UserError(f"protocol {protocol.id} scores none of the {len(dataset)} images of {_name(dataset)}")
        return chosen
    if type(protocol).select is not Protocol.select:
        raise UserError(f"protocol {protocol.id} chooses images by name; {_name(dataset)} has no method keys()")
    return list(range(len(dataset)))


def undefined_notes(facts: Sequence[Facts]) -> list[str]:
    """Says in lines which scores had no value, and of how many of a data set's images, from the images' facts."""
    counts: Counter[str] = Counter()
    for found in facts:
        counts.update(name.removesuffix(_UNDEFINED) for name in found if name.endswith(_UNDEFINED))
    notes = []
    for metric, count in counts.items():
        notes.append(f"{metric} is not defined for {count} of {len(facts)} images: they are left out of its mean")
    return notes


def check_truths(dataset: Dataset, protocol: Protocol) -> None:
    """Refuses a data set with one true image each where a protocol needs them all."""
    if protocol.all_truths and dataset_traits(dataset).truths is None:
        raise UserError(
            f"protocol {protocol.id} scores against all true frames of an image, but {_name(dataset)} gives one: "
            "it is for data sets with a method truths(index), such as Kohler"
        )


def draw(dataset: Dataset, index: int, seed: int) -> dict[str, Any]:
    """Returns one sample, finished on the CPU if the data set leaves that to do; ``seed`` and ``index`` decide it."""
    sample = dataset.sample(index, np.random.default_rng((seed, 0, index)))
    finish = dataset_traits(dataset).finish
    if finish is None:
        return sample
    return {name: values[0] for name, values in finish(collate([sample])).items()}


def image_file(folder: Path, key: str) -> Path:
    """Returns ``folder/<key>.png``.

    Raises:
        UserError: ``key`` leads out of the folder, or cannot be written on every system.
    """
    try:
        below = names.image_path(key)
    except ValueError as error:
        raise UserError(f"image {key[:200]!a}: {error}, it cannot be saved under {folder}") from None
    return folder.joinpath(below.parent, f"{below.name}.png")


@dataclass(frozen=True)
class _Ready:
    """A sample that was read."""

    index: int
    sample: dict[str, Any]
    seconds: float


class _Work:
    """The steps of one image: read, restore, score."""

    def __init__(self, source: Source, dataset: Any, protocol: Protocol, seed: int, keeping: Keeping) -> None:
        check_truths(dataset, protocol)
        self.source, self.dataset, self.protocol, self.seed, self.keeping = source, dataset, protocol, seed, keeping
        self.stopped = threading.Event()
        whole = dataset.dataset if isinstance(dataset, FirstImages) else dataset
        # Our own sets may be read by several threads; nobody asked that of plugins'.
        self._reading: Any = contextlib.nullcontext() if isinstance(whole, Pairs) else threading.Lock()
        self._recording = threading.Lock()

    def read(self, index: int) -> _Ready:
        start = time.perf_counter()
        with _naming(f"image {index}"), self._reading:
            sample = draw(self.dataset, index, self.seed)
        with _naming(sample["key"]):
            sample = self.protocol.prepare(sample, np.random.default_rng((self.seed, 1, index)))
            return _Ready(index, self.source.fetch(sample), time.perf_counter() - start)

    def restore(self, ready: _Ready) -> Restored:
        with _naming(ready.sample["key"]):
            restored = self.source.restore(ready.sample, (self.seed, 2, ready.index))
            return restored._replace(image=self.protocol.after(restored.image, ready.sample))

    def score(self, ready: _Ready, restored: Restored) -> Outcome:
        start = time.perf_counter()
        key = ready.sample["key"]
        with _naming(key):
            # The blurred input is treated as a restoration is, cropped alike, or its score would not compare.
            given = ready.sample.get("blurred")
            blurred = self._scored(ready, None if given is None else self.protocol.after(given, ready.sample))
            after = self._scored(ready, restored.image)
            row = ImageScore(
                key, blurred.scores or None, after.scores or None, restored.seconds, blurred.facts, after.facts
            )
            spent = Spent(ready.seconds, restored.seconds or 0.0, time.perf_counter() - start)
            outcome = Outcome(ready.index, row, restored.mode, restored.live_bytes, restored.events, spent)
            return self._keep(outcome, restored)

    def _scored(self, ready: _Ready, image: Tensor | None) -> Scored:
        if image is None:
            return Scored({}, {})
        try:
            found = self.protocol.score(self.protocol.quantise(image), self._truths(ready))
        except ValueError as error:
            raise UserError(f"{ready.sample['key']}: protocol {self.protocol.id}: {error}") from None
        # Scores that are NaN, as NIQE's is of an image without texture, are left out, which is a fact.
        scores, facts = {}, dict(found.facts)
        for name, value in found.scores.items():
            if math.isnan(value):
                facts[f"{name}{_UNDEFINED}"] = "yes"
            else:
                scores[name] = value
        return Scored(scores, facts)

    def _truths(self, ready: _Ready) -> Iterator[Array]:
        """Yields the true images, read when they are wanted; none once the work is stopped."""
        if self.protocol.all_truths:
            for truth in self.dataset.truths(ready.index):
                if self.stopped.is_set():
                    raise _StoppedError
                yield truth if truth.dtype == np.uint8 else self.protocol.quantise(to_tensor(truth))
        elif ready.sample.get("sharp") is not None:
            yield self.protocol.quantise(ready.sample["sharp"])

    def _keep(self, outcome: Outcome, restored: Restored) -> Outcome:
        keeping = self.keeping
        if keeping.file is not None or keeping.picture is not None:
            pixels = to_uint8(restored.image)
            if keeping.picture is not None:
                outcome = replace(outcome, thumbnail=keeping.picture(pixels))
            if keeping.file is not None:
                file = keeping.file(outcome.index, outcome.row.key)
                file.parent.mkdir(parents=True, exist_ok=True)
                write_image(file, pixels)
        if keeping.record is not None:
            with self._recording:  # after the image: what is recorded is never done again
                keeping.record(outcome)
        return outcome


class _StoppedError(Exception):
    """The work was stopped; nobody waits for its result any more."""


def _stream(work: _Work, indices: Sequence[int], threads: int) -> Iterator[Outcome]:
    """Yields the images' outcomes in order; what is under way when the caller stops is finished, nothing is begun."""
    waiting = iter(indices)
    reading: deque[Future[_Ready]] = deque()
    scoring: deque[Future[Outcome]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="scoring")
    most, largest = 1, 1  # how large they are is known from the first one on
    try:
        reading.extend(pool.submit(work.read, index) for index in itertools.islice(waiting, 1))
        while reading:
            # This thread restores; what it waits for is the next image, never a score.
            ready = reading.popleft().result()
            for value in ready.sample.values():
                if isinstance(value, Tensor):
                    largest = max(largest, value.shape[-1] * value.shape[-2])
            most = max(1, min(threads, PIXELS_AHEAD // largest))
            ahead = itertools.islice(waiting, max(0, most - len(reading)))
            reading.extend(pool.submit(work.read, index) for index in ahead)
            restored = work.restore(ready)
            # Outcomes are given in the images' order, and a full queue of scores holds the restoring up.
            while scoring and (len(scoring) >= most or scoring[0].done()):
                yield scoring.popleft().result()
            scoring.append(pool.submit(work.score, ready, restored))
        while scoring:
            yield scoring.popleft().result()
    finally:
        work.stopped.set()
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _naming(image: str) -> Iterator[None]:
    """Adds the image's name to exceptions that lack it, except those that are no fault."""
    try:
        yield
    except (UserError, NonFiniteOutputError, ScoringError, _StoppedError):
        raise
    except Exception as error:
        raise ScoringError(f"{image}: {type(error).__name__}: {error}") from error


@contextlib.contextmanager
def _one_opencv_thread() -> Iterator[None]:
    """Keeps OpenCV from using all cores in each of our threads."""
    before = cv2.getNumThreads()  # of the whole process: put back for whoever reads images next
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _name(dataset: Any) -> str:
    return type(dataset.dataset if isinstance(dataset, FirstImages) else dataset).__name__
