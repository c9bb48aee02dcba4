"""Writes the whole state of the training at intervals, before each validation, and at the end."""

from __future__ import annotations

from mmengine.hooks import Hook

from deblurkit.engine.runner import TrainingRunner


class CheckpointHook(Hook):
    """Saves every ``train.checkpoint_every`` iterations, where a validation is due, and at the last."""

    priority = "BELOW_NORMAL"  # before the validation

    def __init__(self, validating: bool) -> None:
        self.validating = validating

    def after_iteration(self, runner: TrainingRunner) -> None:
        """Saves where it is due, and says whether a validation is."""
        options, last = runner.options, runner.iter == runner.max_iters
        runner.validation_due = self.validating and (runner.iter % options.val.every == 0 or last)
        # What goes wrong in a validation, or ends the process during it, costs no training: the checkpoint comes first
        # and says that the validation is due, so that a resumed run makes it up.
        if runner.validation_due or runner.iter % options.train.checkpoint_every == 0 or last:
            runner.save()
