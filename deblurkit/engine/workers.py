"""How many workers read ahead where the option file says ``workers: auto``: timed in the first iterations."""

from __future__ import annotations

import math
from statistics import median

_SETTLING = 2  # iterations that are not counted: a network's first take longer, and workers have to start
_TIMED = 8
_WORTH = 0.02  # of an iteration: less is not worth another process


class WorkerTrial:
    """Tries none and then as many workers as would keep up, and stays with what was faster.

    Workers take cores from a training on the CPU, so that only a trial shows whether they help. The data are the same
    with any number: they depend on seed, epoch and index alone.

    Attributes:
        workers: How many to use now.
        ended: Whether that is the choice.
        words: The choice and its reason, for the log.
    """

    def __init__(self, most: int, ahead: int) -> None:
        """``most``: cores that a training can spare; ``ahead``: batches that each worker reads ahead."""
        self.most, self.ahead = most, ahead
        self.workers = 0
        self.ended = most < 1
        self.words = "0, as there is no core to spare" if self.ended else ""
        self._alone: float | None = None  # seconds of an iteration without workers
        self._times: list[tuple[float, float]] = []

    def note(self, waited: float, seconds: float) -> bool:
        """Takes what an iteration waited for data, and took in all; returns whether ``workers`` is another now."""
        if self.ended:
            return False
        self._times.append((waited, seconds))
        # What workers read ahead while the training stood still would flatter them.
        settling = _SETTLING + self.workers * self.ahead
        if len(self._times) < settling + _TIMED:
            return False
        waited, seconds = (median(times) for times in zip(*self._times[settling:], strict=True))
        self._times.clear()
        before = self.workers
        if self._alone is None:
            self._alone = seconds
            if waited < _WORTH * seconds:
                self._end(f"0, as reading takes {waited / seconds:.1%} of an iteration")
            else:
                self.workers = min(self.most, math.ceil(waited / max(seconds - waited, 1e-9)))
        else:
            figures = f"{1000 * self._alone:.3g} ms an iteration with 0, {1000 * seconds:.3g} ms with {self.workers}"
            if not self._stays(seconds, self._alone):
                self.workers = 0
            self._end(f"{self.workers}: {figures}")
        return self.workers != before

    @staticmethod
    def _stays(seconds: float, alone: float) -> bool:
        """Tells whether workers made the iterations enough shorter."""
        return seconds <= (1 - _WORTH) * alone

    def _end(self, words: str) -> None:
        self.ended, self.words = True, words
