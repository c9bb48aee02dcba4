"""Scores the validation sets during training, with the code that tests use."""

from __future__ import annotations

import math
from typing import Any

from mmengine.dist import all_gather_object, get_rank, get_world_size, is_main_process
from mmengine.hooks import Hook

from deblurkit.data.cores import usable_cores
from deblurkit.engine.hooks.ema import averaged
from deblurkit.evaluation.figures import summarise
from deblurkit.evaluation.protocols.protocol import Protocol
from deblurkit.evaluation.scoring import MOST_THREADS, score_dataset, scored_images
from deblurkit.evaluation.sources import NetworkSource
from deblurkit.inference.restore import NonFiniteOutputError


class ValidationHook(Hook):
    """Every ``every`` iterations and at the last: restores each validation set with the averaged weights.

    The best score is the mean PSNR over the validation sets; the weights that reached it are ``best_psnr.pth``.

    Args:
        sets: Validation sets by name.
        protocol: How they are scored.
        every: Iterations.
        precision: What the generator computes in.
        inference: How an image is restored.
        seed: Of the data sets' random numbers.
    """

    priority = "LOW"

    def __init__(
        self, sets: dict[str, Any], protocol: Protocol, every: int, precision: str, inference: str, seed: int
    ) -> None:
        self.sets = sets
        self.protocol = protocol
        self.every = every
        self.precision = precision
        self.inference = inference
        self.seed = seed

    def after_iteration(self, runner: Any) -> None:
        """Validate where it is due."""
        if runner.iter % self.every and runner.iter != runner.max_iters:
            return
        restorer = runner.restorer
        generator = averaged(restorer)
        restorer.guard.check_weights(runner.iter, [("the generator that is validated", generator)])
        runner.call_hook("before_val")
        metrics: dict[str, float] = {}
        for name, dataset in self.sets.items():
            metrics.update(self._validate(runner, generator, name, dataset))
        runner.call_hook("after_val_epoch", metrics=metrics)
        runner.call_hook("after_val")
        if metrics:
            runner.record({"iteration": runner.iter, "epoch": runner.epoch, **metrics}, {})
            self._keep_best(runner, metrics)

    def _validate(self, runner: Any, generator: Any, name: str, dataset: Any) -> dict[str, float]:
        indices = scored_images(dataset, self.protocol)[get_rank() :: get_world_size()]
        source = NetworkSource(generator, self.precision, self.inference)
        self.protocol.to(source.device)
        threads = max(1, min(MOST_THREADS, usable_cores() // get_world_size()))
        try:
            done = score_dataset(source, dataset, self.protocol, seed=self.seed, indices=indices, threads=threads)
        except NonFiniteOutputError as error:
            raise runner.non_finite(f"validation of {name}: {error}") from None
        rows = [outcome.row for outcome in done]
        summary = summarise([row for part in all_gather_object(rows) for row in part], self.protocol)
        if summary["restored"] is None or summary["blurred"] is None:
            runner.logger.info(f"validation {name}: {summary['images']} images without truth, nothing to score")
            return {}
        metrics = {f"val/{name}/{metric}": value for metric, value in summary["restored"].items()}
        told = ", ".join(
            f"{metric} {value:.3f} (blurred {summary['blurred'][metric]:.3f})"
            for metric, value in summary["restored"].items()
        )
        weights = "averaged weights" if runner.restorer.ema is not None else "weights"
        runner.logger.info(f"iteration {runner.iter} validation {name}, {summary['images']} images, {weights}: {told}")
        return metrics

    def _keep_best(self, runner: Any, metrics: dict[str, float]) -> None:
        scores = [value for name, value in metrics.items() if name.endswith("/psnr")]
        if not scores:
            return
        score = sum(scores) / len(scores)
        if not math.isnan(score) and score > runner.best.get("psnr", -math.inf):
            runner.best = {"psnr": score, "iteration": runner.iter}
            state = runner.capture()
            if is_main_process():
                runner.write(state, runner.folder.best)
