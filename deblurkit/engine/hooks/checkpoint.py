"""Writes the whole state of the training at intervals and at the end."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook


class CheckpointHook(Hook):
    """Saves every ``every`` iterations and at the last; keeps the ``keep`` newest.

    Args:
        every: Iterations.
        keep: How many checkpoints by iteration stay on the disk (``best_psnr.pth`` besides).
    """

    priority = "VERY_LOW"

    def __init__(self, every: int, keep: int) -> None:
        self.every = every
        self.keep = keep

    def after_iteration(self, runner: Any) -> None:
        """Save where it is due."""
        if runner.iter % self.every == 0 or runner.iter == runner.max_iters:
            runner.save(self.keep)
