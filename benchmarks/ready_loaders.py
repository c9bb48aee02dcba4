"""Batches that lie ready in memory, in place of those that a training's loader reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any

from deblurkit.engine.build import Setup
from deblurkit.engine.loop import TrainLoaders
from deblurkit.engine.position import Position


class ReadyLoaders(TrainLoaders):
    """Gives the same batches over and over to the training that a setup describes."""

    def __init__(self, setup: Setup, batches: Sequence[dict[str, Any]]) -> None:
        super().__init__(setup.loaders.data, setup.loaders.epoch_length, setup.restorer, setup.device)
        self.batches = batches

    def __call__(self, position: Position) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        """Return the batches, endlessly; a generator, which the loop closes."""
        yield from cycle(self.batches)
