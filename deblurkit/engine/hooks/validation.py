"""Scores the validation sets during training, with the code that tests use."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import Hook

from deblurkit.contracts import Dataset
from deblurkit.device import usable_cores
from deblurkit.engine.finite_guard import NonFiniteError
from deblurkit.engine.hooks.ema import averaged
from deblurkit.engine.processes import in_every
from deblurkit.engine.runner import TrainingRunner
from deblurkit.evaluation.aggregate import infinite_notes, infinite_scores, summarise
from deblurkit.evaluation.protocols.protocol import Protocol
from deblurkit.evaluation.scoring import MOST_THREADS, score_dataset, scored_images
from deblurkit.evaluation.sources import NetworkSource
from deblurkit.inference.forward import NonFiniteOutputError
from deblurkit.results import ImageScore


class _GaveWayError(BaseException):
    """A signal came while images were restored; not an Exception, since nothing is wrong with the image at hand."""


class _Validated(NamedTuple):
    """One set's mean scores by their names in records, and the PSNR in dB that ranks the weights, if it has one."""

    scores: dict[str, float]
    psnr: float | None


class ValidationHook(Hook):
    """Where the checkpoint hook says that it is due: restores each validation set with the averaged weights.

    The best score is the mean PSNR over the validation sets; the weights that reached it are ``best_psnr.pth``. Where
    images are restored identically, and their PSNR is infinite, it is over the others: one blurred image that is sharp
    already would make the first weights, which change nothing, the best forever.

    A signal breaks a validation off between two calls of the generator; the resumed run makes it up.

    Args:
        sets: Validation sets by name.
        protocol: How they are scored.
        interrupted: Tells whether this process got a signal.
    """

    priority = "LOW"

    def __init__(self, sets: dict[str, Dataset], protocol: Protocol, interrupted: Callable[[], bool]) -> None:
        self.sets = sets
        self.protocol = protocol
        self.interrupted = interrupted

    def before_train(self, runner: TrainingRunner) -> None:
        """Makes up a validation that the run before this one did not finish."""
        self.after_iteration(runner)

    def after_iteration(self, runner: TrainingRunner) -> None:
        """Validates where it is due, and saves the result with the state."""
        if not runner.validation_due:
            return
        runner.call_hook("before_val")
        metrics: dict[str, float] = {}
        ranking: list[float] = []
        for name, dataset in self.sets.items():
            found = self._validate(runner, name, dataset)
            if found is None:
                return
            metrics.update(found.scores)
            ranking += [] if found.psnr is None else [found.psnr]
        runner.validations.append((runner.epoch, metrics))
        runner.call_hook("after_val_epoch", metrics=metrics)
        runner.call_hook("after_val")
        if metrics:
            runner.record({"iteration": runner.iter, "epoch": runner.epoch, **metrics}, {})
        runner.validation_due = False
        runner.save(best=self._is_best(runner, ranking))

    def _validate(self, runner: TrainingRunner, name: str, dataset: Dataset) -> _Validated | None:
        """Returns the scores of one set, ``None`` where a signal came; collective."""
        own = in_every(partial(self._own_rows, runner, name, dataset))
        rows: list[ImageScore] = []
        for part in all_gather_object(own):
            if part is None:
                runner.logger.info(f"validation of {name} at iteration {runner.iter} gives way to a signal")
                return None
            rows += part
        # Every process has all rows, and so the same best score and schedules.
        summary = summarise(rows, self.protocol)
        if summary.restored is None or summary.blurred is None:
            runner.logger.info(f"validation {name}: {summary.images} images without truth, nothing to score")
            return _Validated({}, None)
        metrics = {f"val/{name}/{metric}": value for metric, value in summary.restored.items()}
        told = ", ".join(
            f"{metric} {value:.3f} (blurred {summary.blurred[metric]:.3f})"
            for metric, value in summary.restored.items()
        )
        weights = "weights" if runner.restorer.ema is None else "averaged weights"
        runner.logger.info(f"iteration {runner.iter} validation {name}, {summary.images} images, {weights}: {told}")
        psnr, infinite = summary.restored.get("psnr"), infinite_scores(rows)
        if infinite is not None:
            for line in infinite_notes(rows, infinite):
                runner.logger.warning(f"validation {name}, {line}")
            if "psnr" in infinite.restored and infinite.restored["psnr"].mean is not None:
                psnr = infinite.restored["psnr"].mean
        return _Validated(metrics, psnr)

    def _own_rows(self, runner: TrainingRunner, name: str, dataset: Dataset) -> list[ImageScore] | None:
        """Returns the scores of this process's share of a set, ``None`` where a signal came."""
        generator, options = averaged(runner.restorer), runner.options
        # The processes take turns through the set, which shares easy and hard sequences between them.
        indices = scored_images(dataset, self.protocol)[get_rank() :: get_world_size()]
        inference = options.val.inference or self.protocol.inference
        source = NetworkSource(generator, options.train.precision, inference)
        self.protocol.to(source.device)
        threads = max(1, min(MOST_THREADS, usable_cores() // get_world_size()))
        # A signal is looked for at each call of the generator: a whole set may take longer than a cluster waits.
        watch = generator.register_forward_pre_hook(self._give_way)
        try:
            done = score_dataset(source, dataset, self.protocol, seed=options.seed, indices=indices, threads=threads)
        except _GaveWayError:
            return None
        except NonFiniteOutputError as error:
            raise NonFiniteError(f"iteration {runner.iter}: validation of {name}: {error}") from None
        finally:
            watch.remove()
        return [outcome.row for outcome in done]

    def _give_way(self, *_: object) -> None:
        if self.interrupted():
            raise _GaveWayError

    def _is_best(self, runner: TrainingRunner, scores: list[float]) -> bool:
        """Tells whether the present weights have the best score so far, and keeps that score."""
        if not scores:
            return False
        score = sum(scores) / len(scores)
        if math.isnan(score) or score <= runner.best.get("psnr", -math.inf):
            return False
        runner.best = {"psnr": score, "iteration": runner.iter}
        return True
