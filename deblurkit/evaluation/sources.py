"""Where restored images come from: a network that runs now, or (:mod:`folders`) files that somebody made before."""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from deblurkit.device import Precision
from deblurkit.inference.forward import NonFiniteOutputError, device_of, non_finite
from deblurkit.inference.session import Session


class Restored(NamedTuple):
    """One restored image."""

    image: Tensor
    """``(3, h, w)`` float32 in [0, 1], on the CPU."""
    seconds: float | None
    """Wall-clock time from the blurred tensor in memory to the restored one; ``None`` where it was made elsewhere."""
    mode: str | None
    """The inference mode that was really used; ``None`` where it was made elsewhere."""
    live_bytes: int | None = None
    """Bytes that live tensors took at once, as estimated; ``None`` where that is unknown."""
    events: tuple[str, ...] = ()
    """Events on the way, such as a fall-back to tiles."""


class Source(ABC):
    """Gives the restored image of each sample."""

    @contextlib.contextmanager
    def running(self, training_mode: bool) -> Iterator[None]:
        """Makes ready for :meth:`restore` within the block.

        Args:
            training_mode: Lets a network behave as it does in training (see :class:`NetworkSource`).
        """
        yield

    def fetch(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Adds to a sample what can be had ahead of time; called from several threads."""
        return sample

    @abstractmethod
    def restore(self, sample: dict[str, Any], seed: Sequence[int]) -> Restored:
        """Returns a fetched sample's restored image; called from one thread.

        Args:
            sample: With ``blurred``, ``(3, h, w)`` in [0, 1], and ``key``.
            seed: Decides every random number of the restoration.
        """

    def resume(self, modes: Mapping[str, int], events: Mapping[str, int]) -> None:  # noqa: B027
        """Takes images into account that were restored before an interruption.

        Args:
            modes: How many in which mode.
            events: To how many happened what.
        """

    def notes(self) -> list[str]:
        """Returns what a report must say of the restorations made so far."""
        return []


class NetworkSource(Source):
    """A generator.

    Args:
        generator: Where it computes; given back in the mode it came in.
        precision: See :func:`deblurkit.inference.restore.restore`.
        inference: See there.

    In training mode, which some published numbers come from, dropout is on and normalisation takes its statistics from
    the image alone. Its random numbers then depend on the image only, and running statistics are put back afterwards.
    """

    def __init__(self, generator: nn.Module, precision: Precision = "fp32", inference: str = "whole") -> None:
        self.generator = generator
        self.precision = precision
        self.inference = inference
        self.device = device_of(generator, torch.device("cpu"))
        self._session: Session | None = None
        self._before: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self._training_mode = False

    @contextlib.contextmanager
    def running(self, training_mode: bool) -> Iterator[None]:
        """Puts the generator into eval mode, or training mode, within the block."""
        modes = {module: module.training for module in self.generator.modules()}
        buffers = {}
        if training_mode:  # in which normalisation moves its running statistics
            buffers = {name: buffer.clone() for name, buffer in self.generator.named_buffers()}
        self.generator.train(training_mode)
        self._training_mode = training_mode
        try:
            # Opened here, since it looks at the network in the mode that it is for.
            self._session = Session(self.generator, self.precision, self.inference)
            self._session.used.update(self._before[0])
            self._session.events.update(self._before[1])
            yield
        finally:
            for module, training in modes.items():  # one by one: a part that is held in eval mode stays in it
                module.training = training
            with torch.no_grad():
                for name, buffer in self.generator.named_buffers():
                    if name in buffers:
                        buffer.copy_(buffers[name])

    def restore(self, sample: dict[str, Any], seed: Sequence[int]) -> Restored:
        """Restores one image.

        Raises:
            NonFiniteOutputError: The generator returned pixels that are no numbers; names the image.
        """
        session = self._session
        if session is None:
            raise RuntimeError("restore() belongs inside running()")
        # A session counts over all images; what belongs to this one is what its counts rise by.
        used, events = Counter(session.used), Counter(session.events)
        with self._random_numbers(seed):
            start = time.perf_counter()
            image = session(sample["blurred"])  # on the CPU, so the device has done its work
            seconds = time.perf_counter() - start
        if not torch.isfinite(image).all():  # rounded to 8 bits it would pass for black
            raise NonFiniteOutputError(f"{sample['key']}: {non_finite(self.generator, self.precision)}")
        happened = (session.events - events).elements()
        mode = next(iter(session.used - used), None)
        return Restored(image, seconds, mode, session.live_bytes, tuple(happened))

    def resume(self, modes: Mapping[str, int], events: Mapping[str, int]) -> None:
        """Counts images that were restored before an interruption."""
        self._before = (Counter(modes), Counter(events))

    def notes(self) -> list[str]:
        """Returns the session's: fall-backs to tiles, and layers for which tiles are not the whole image."""
        return self._session.notes() if self._session is not None else []

    @contextlib.contextmanager
    def _random_numbers(self, seed: Sequence[int]) -> Iterator[None]:
        """Seeds torch within the block if the network draws random numbers, and leaves its generators as they were."""
        if not self._training_mode:
            yield
            return
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(int(np.random.default_rng(list(seed)).integers(2**63)))
            yield
