"""The training loop: iterations with true epoch boundaries, taken up where a checkpoint left them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from mmengine.dist import get_local_size, get_rank, get_world_size
from mmengine.runner import BaseLoop
from torch import nn

from deblurkit.contracts import Dataset, Restorer, dataset_traits
from deblurkit.data.epoch_plan import PLACE, EpochPlan
from deblurkit.data.loader import CriticBatches, build_train_loader
from deblurkit.data.prefetch import Batch, DeviceBatches
from deblurkit.device import usable_cores
from deblurkit.engine.data_record import DataRecord
from deblurkit.engine.data_timer import DataClock
from deblurkit.engine.position import Length, Position
from deblurkit.engine.workers import WorkerTrial

if TYPE_CHECKING:
    from deblurkit.engine.runner import TrainingRunner
    from deblurkit.options.schema import Loader


@dataclass(frozen=True)
class TrainingData:
    """The data of a training, and all that decides their order.

    Attributes:
        dataset: The training set, or several as one.
        plan: What an epoch draws of it.
        loader: How samples become batches.
    """

    dataset: Dataset
    plan: EpochPlan
    loader: Loader
    seed: int


class TrainLoaders:
    """Makes the endless training loader from any position; what the loop calls its dataloader.

    ``epoch_length`` is the number of iterations of the generator in an epoch.

    Attributes:
        trial: Chooses the number of workers, where the option file leaves it open.
    """

    def __init__(self, data: TrainingData, epoch_length: int, restorer: Restorer, device: torch.device) -> None:
        self.data = data
        self.epoch_length = epoch_length
        self.of_generator = restorer.generator_batches
        self.of_critics = restorer.critic_batches
        self.device = device
        self.record = DataRecord(data.dataset)
        self.trial: WorkerTrial | None = None
        if data.loader.workers == "auto":
            self.trial = WorkerTrial(usable_cores() // get_local_size() - 1, data.loader.prefetch)

    def __call__(self, position: Position) -> DeviceBatches:
        """Returns batches on the device from a position on."""
        critics = None
        if self.of_critics:
            # Their place in their own passes follows from the number of iterations, so no checkpoint holds it.
            critics = CriticBatches(self.of_critics, self.of_generator, position.iteration * self.of_critics)
        settings = self.data.loader
        if self.trial is not None:
            settings = settings.model_copy(update={"workers": self.trial.workers})
        loader = build_train_loader(
            self.data.dataset,
            settings,
            self.data.seed,
            start_epoch=position.epoch,
            start_batch=position.into_epoch * self.of_generator,
            rank=get_rank(),
            world=get_world_size(),
            used_batches=self.epoch_length * self.of_generator,
            critics=critics,
            pin_memory=self.device.type == "cuda",
            plan=self.data.plan,
        )
        return DeviceBatches(loader, self.device, dataset_traits(self.data.dataset).finish)


class IterationLoop(BaseLoop):
    """Runs iterations to the end of the run.

    A hook may have ``after_iteration(runner)``: it is called between iterations, after MMEngine's epoch hooks, with
    ``runner.iter`` the number of iterations done; what is saved there is a whole state.

    Attributes:
        position: Where the run stands.
        max_iters: The iteration at which it ends.
        stop_training: Whether it ends before that, after the present iteration; a hook may set it.
    """

    def __init__(self, runner: TrainingRunner, dataloader: TrainLoaders, length: Length) -> None:
        self._runner = runner
        self.dataloader = dataloader
        self.length = length
        self.batches = dataloader.of_critics + dataloader.of_generator  # in an iteration
        self.waiting = DataClock(runner.device)
        self.stop_training = False  # MMEngine's name, by which its EarlyStoppingHook ends a run
        self.val_interval = self.val_begin = 0  # MMEngine's validation loop is not used
        self.take_up(Position())

    def take_up(self, position: Position) -> None:
        """Goes to a position; before the run."""
        self.position = position
        self.max_iters = self.length.end(position)

    def state_dict(self) -> dict[str, Any]:
        """Returns the checkpoint's section on where the run stands."""
        return {"position": self.length.record(self.position)}

    @property
    def iter(self) -> int:
        """Iterations that are done."""
        return self.position.iteration

    @property
    def epoch(self) -> int:
        """Epochs that are complete."""
        return self.position.epoch

    @property
    def max_epochs(self) -> int:
        """The epoch in which the run ends, for MMEngine's hooks."""
        return self.epoch + -(-(self.max_iters - self.iter + self.position.into_epoch) // self.length.epoch)

    @property
    def _goes_on(self) -> bool:
        return self.iter < self.max_iters and not self.stop_training

    def run(self) -> nn.Module:
        """Trains from the present position to the end."""
        runner = self._runner
        runner.call_hook("before_train")
        if self._goes_on:
            batches: Any = iter(self.dataloader(self.position))
            try:
                runner.call_hook("before_train_epoch")
                while self._goes_on:
                    trial = self.dataloader.trial
                    if trial is None or trial.ended:
                        self._run_iteration(batches)
                    elif self._timed_iteration(batches, trial):  # another number of workers goes on in the same place
                        batches.close()
                        batches = iter(self.dataloader(self.position))
            finally:
                batches.close()  # ends the workers, which ignore signals, before the process waits for them
        runner.call_hook("after_train")
        return runner.model

    def _run_iteration(self, batches: Iterator[Batch]) -> None:
        runner = self._runner
        self.waiting.start()
        data = [next(batches) for _ in range(self.batches)]
        self.waiting.stop()
        runner.call_hook("before_train_iter", batch_idx=self.iter, data_batch=data)
        runner.restorer.iteration = self.iter
        outputs = runner.model.train_step(data, optim_wrapper=runner.optim_wrapper)
        runner.restorer.guard.check_steps(self.iter + 1, data[-1]["key"], runner.optim_wrapper)
        runner.call_hook("after_train_iter", batch_idx=self.iter, data_batch=data, outputs=outputs)
        # The position moves on after MMEngine's epoch hooks: for them this iteration is still one of its epoch.
        following = self.length.after(self.position)
        if following.epoch > self.epoch:
            runner.call_hook("after_train_epoch")
        self.position = following
        runner.call_hook("after_iteration")
        if following.into_epoch == 0 and self._goes_on:
            runner.call_hook("before_train_epoch")

    def _timed_iteration(self, batches: Iterator[Batch], trial: WorkerTrial) -> bool:
        """Does one iteration for the trial of workers; returns whether another number of them is to read from now on.

        All that an iteration takes counts, hooks as well; those that only act now and then are no part of its median.
        """
        began, waited = time.perf_counter(), self.waiting.seconds
        self._run_iteration(batches)
        waited = self.waiting.seconds - waited  # which waits for a GPU, so that the clock below shows its time, too
        changed = trial.note(waited, time.perf_counter() - began)
        if trial.ended:
            self._runner.logger.info(f"{PLACE}.workers: auto chose {trial.words}")
        return changed
