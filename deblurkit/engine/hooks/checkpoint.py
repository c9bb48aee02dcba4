"""Writes the whole state of the training at intervals, before each validation, and at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmengine.hooks import Hook

if TYPE_CHECKING:
    from deblurkit.engine.runner import TrainingRunner


class CheckpointHook(Hook):
    """Saves every ``every`` iterations, where a validation is due, and at the last.

    What goes wrong in a validation, or ends the process during it, costs no training: the checkpoint comes first and
    says that the validation is due, so that a resumed run makes it up.

    Args:
        every: Iterations.
        validate_every: Iterations between validations, or ``None`` without any.
    """

    priority = "BELOW_NORMAL"  # before the validation

    def __init__(self, every: int, validate_every: int | None) -> None:
        self.every = every
        self.validate_every = validate_every

    def after_iteration(self, runner: TrainingRunner) -> None:
        """Saves where it is due, and says whether a validation is."""
        last = runner.iter == runner.max_iters
        runner.validation_due = self.validate_every is not None and (runner.iter % self.validate_every == 0 or last)
        if runner.validation_due or runner.iter % self.every == 0 or last:
            runner.save()
