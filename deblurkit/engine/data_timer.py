"""How long a training waits for its data, as the device sees it."""

from __future__ import annotations

import time
from typing import Any

import torch


class DataClock:
    """Adds up the time between :meth:`start` and :meth:`stop`, in which the next batch is asked for.

    A GPU works on while the process waits, so that there it is the GPU's own time between the end of what it was given
    before and the moment when it has the batch.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._seconds = 0.0
        self._asked: Any = None
        self._spans: list[tuple[Any, Any]] = []

    def start(self) -> None:
        """The next batch is asked for."""
        self._asked = self._now()

    def stop(self) -> None:
        """It is there."""
        self._spans.append((self._asked, self._now()))

    @property
    def seconds(self) -> float:
        """The seconds added up so far; waits until a GPU has got there."""
        for asked, there in self._spans:
            if isinstance(there, float):
                self._seconds += there - asked
            else:
                there.synchronize()
                self._seconds += asked.elapsed_time(there) / 1000
        self._spans.clear()
        return self._seconds

    def _now(self) -> Any:
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event
