"""Everything of a run that is built before its folder is touched, and the runner made of it."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.optim import OptimWrapperDict
from rich.console import Console

from deblurkit.data.loader import CriticBatches, build_train_loader, describe
from deblurkit.data.prefetch import DeviceBatches
from deblurkit.engine.data_record import DataRecord, in_words
from deblurkit.engine.hooks.checkpoint import CheckpointHook
from deblurkit.engine.hooks.ema import EMAHook
from deblurkit.engine.hooks.freeze import FreezeHook
from deblurkit.engine.hooks.progress import ProgressHook
from deblurkit.engine.hooks.samples import SampleHook
from deblurkit.engine.hooks.scalars import ScalarsHook
from deblurkit.engine.hooks.signals import SignalHook
from deblurkit.engine.hooks.validation import ValidationHook
from deblurkit.engine.loop import IterationLoop
from deblurkit.engine.optim import build_optimizers, build_schedulers, scale_rates
from deblurkit.engine.parts import Problems, build_parts, build_training_sets, place
from deblurkit.engine.position import Length, Position
from deblurkit.engine.resume import Resumption
from deblurkit.engine.runner import TrainingRunner
from deblurkit.engine.tensorboard import TensorboardFrom, why_unusable
from deblurkit.engine.work_dir import WorkDir
from deblurkit.errors import UserError, did_you_mean
from deblurkit.evaluation.protocols.protocol import get_protocol
from deblurkit.inner_outputs import InnerOutput, find_outputs
from deblurkit.inspection.looking import seen_inside
from deblurkit.registry import RESTORERS

if TYPE_CHECKING:
    from deblurkit.options.schema import Options


class TrainLoaders:
    """Makes the endless training loader from any position; what the loop calls its dataloader.

    Args:
        options: The run's.
        dataset: The training set.
        epoch_length: Iterations in which the generator goes through it once.
        restorer: Says how many batches it takes.
        device: Where batches go.
    """

    def __init__(self, options: Options, dataset: Any, epoch_length: int, restorer: Any, device: torch.device) -> None:
        self.options = options
        self.dataset = dataset
        self.epoch_length = epoch_length
        self.of_generator: int = restorer.generator_batches
        self.of_critics: int = restorer.critic_batches
        self.device = device
        self.record = DataRecord(dataset)

    def __call__(self, position: Position) -> DeviceBatches:
        """Returns batches on the device from a position on.

        The critics' place in their own passes follows from the number of iterations alone, so no checkpoint holds it.
        """
        entry = self.options.datasets.train
        assert entry is not None
        critics = None
        if self.of_critics:
            critics = CriticBatches(self.of_critics, self.of_generator, position.iteration * self.of_critics)
        loader = build_train_loader(
            self.dataset,
            entry.loader,
            self.options.seed,
            start_epoch=position.epoch,
            start_batch=position.into_epoch * self.of_generator,
            rank=get_rank(),
            world=get_world_size(),
            used_batches=self.epoch_length * self.of_generator,
            critics=critics,
            pin_memory=self.device.type == "cuda",
        )
        return DeviceBatches(loader, self.device, getattr(self.dataset, "finish", None))


class Setup:
    """Everything of a run that is built before its folder is touched.

    Args:
        options: What to build.
        device: Where the networks go.
        pretrained: See :func:`~deblurkit.engine.parts.build_parts`.

    Raises:
        UserError: With everything that stands against the run.
    """

    def __init__(self, options: Options, device: torch.device, pretrained: bool = True) -> None:
        problems = Problems()
        self.options, self.device = options, device
        self.notes: list[str] = []
        self._logger: logging.Logger | None = None
        self.protocol = problems.gather(partial(get_protocol, options.val.protocol, "val.protocol"), "val.protocol")
        self.parts = build_parts(options, problems, self.notes.append, pretrained=pretrained)
        self.dataset, self.val_sets = build_training_sets(options, problems)
        problems.raise_any()
        place(self.parts, options, device)
        self.restorer = RESTORERS.build(options.restorer, self.parts, where="restorer")
        self.loaders, self.length = self._measure()
        self.optimizers = build_optimizers(options, self.restorer.networks(), device)
        self.notes += scale_rates(options, self.optimizers, get_world_size())
        self.schedulers = build_schedulers(options, self.optimizers)
        self._check_monitors()
        self.shown = self._find_outputs()

    def _check_monitors(self) -> None:
        """Refuses a schedule that waits for a score which no validation gives."""
        metrics = self.protocol.metrics if self.protocol is not None else {}
        known = [f"val/{name}/{metric}" for name in self.val_sets for metric in metrics]
        for schedulers in self.schedulers.values():
            for scheduler in schedulers:
                if getattr(scheduler, "need_val_args", False) and scheduler.monitor not in known:
                    hint = did_you_mean(scheduler.monitor, known) or f" (known: {', '.join(known) or 'none'})"
                    raise UserError(
                        f"schedulers: {type(scheduler).__name__}: monitor: no validation gives "
                        f"{scheduler.monitor!r}{hint}"
                    )

    def _find_outputs(self) -> list[InnerOutput]:
        """Returns what strips show besides, or refuse it, which the options' check cannot do for every plugin."""
        names, generator = self.options.logging.outputs, self.restorer.generator
        return find_outputs(generator, names, seen_inside(generator), "logging.outputs") if names else []

    def _measure(self) -> tuple[TrainLoaders, Length]:
        entry = self.options.datasets.train
        assert entry is not None
        taken = self.restorer.generator_batches
        batches = len(self.dataset) // get_world_size() // entry.loader.batch_size
        if batches < taken:
            raise UserError(
                f"datasets.train: one iteration takes {taken} batch(es) of {entry.loader.batch_size} in each "
                f"of {get_world_size()} process(es), the set has {len(self.dataset)} images: lower batch_size or "
                "train.accumulate"
            )
        epoch = batches // taken
        length = Length(epoch, self.options.train.epochs, self.options.train.iters)
        return TrainLoaders(self.options, self.dataset, epoch, self.restorer, self.device), length

    def runner(self, folder: WorkDir, console: Console, resumption: Resumption | None, launcher: str) -> TrainingRunner:
        """Returns the runner, ready to train; ``resumption`` says where the networks stand, if not at the beginning."""
        loop = {
            "type": IterationLoop,
            "length": self.length,
            "batches": self.restorer.critic_batches + self.restorer.generator_batches,
        }
        ours: dict[str, Any] = {
            "randomness": {"seed": self.options.seed, "diff_rank_seed": True},
            "visualizer": self._visualizer(folder, 0 if resumption is None else resumption.position.iteration),
            "default_hooks": self._hooks(folder, console, resumption),
            "env_cfg": {"mp_cfg": {}},
        }
        extra = {key: value for key, value in self.options.engine.items() if key != "auto_scale_lr"}
        for key in ours.keys() & extra.keys():
            extra[key] = {**ours[key], **extra[key]}
        runner = TrainingRunner(
            options=self.options,
            folder=folder,
            device=self.device,
            console=console,
            resumption=resumption,
            arguments={
                "model": self.restorer,
                "train_dataloader": self.loaders,
                "train_cfg": loop,
                "optim_wrapper": OptimWrapperDict(**self.optimizers),
                "param_scheduler": self.schedulers,
                "custom_hooks": list(self.options.hooks),
                "launcher": launcher,
                **ours,
                **extra,
            },
        )
        if get_world_size() > 1:
            self.restorer.distribute()
        self._logger = runner.logger
        self._introduce(runner, Position() if resumption is None else resumption.position)
        return runner

    def _warn(self, text: str) -> None:
        """Says something in the log of the run, once it has one."""
        if self._logger is not None:
            self._logger.warning(text)

    def _introduce(self, runner: TrainingRunner, position: Position) -> None:
        entry = self.options.datasets.train
        assert entry is not None
        effective = entry.loader.batch_size * self.options.train.accumulate * get_world_size()
        counts = ", ".join(
            f"{name} {sum(p.numel() for p in network.parameters()):,} parameters"
            for name, network in self.restorer.networks().items()
        )
        runner.logger.info(f"{counts} | {len(self.dataset)} training images, effective batch {effective}")
        end = self.length.end(position)
        runner.logger.info(f"{end} iterations, {self.length.epoch} in an epoch")
        if self.loaders.of_critics:
            one = len(self.dataset) // get_world_size() // entry.loader.batch_size
            runner.logger.info(
                f"critics draw batches of their own: they see the set {self.loaders.of_critics * end / one:.1f} times "
                f"by the end, the generator {end / self.length.epoch:.1f} times"
            )
        for note in self.notes:
            runner.logger.warning(note)
        self._introduce_data("train", self.dataset, runner)
        for name, dataset in self.val_sets.items():
            self._introduce_data(f"val.{name}", dataset, runner)

    def _introduce_data(self, name: str, dataset: Any, runner: TrainingRunner) -> None:
        runner.logger.info(f"datasets.{name}: {in_words(describe(dataset))}")
        for note in getattr(dataset, "notes", []):
            runner.logger.warning(f"datasets.{name}: {note}")

    def _hooks(self, folder: WorkDir, console: Console, resumption: Resumption | None) -> dict[str, Any]:
        options, train = self.options, self.options.train
        assert options.datasets.train is not None
        signals = SignalHook()
        hooks: dict[str, Any] = {
            "runtime_info": None,
            "timer": None,
            "sampler_seed": None,
            "logger": ScalarsHook(options.logging.every, folder.scalars, options.datasets.train.loader.workers),
            "param_scheduler": {"type": "ParamSchedulerHook"},
            "checkpoint": CheckpointHook(train.checkpoint_every, options.val.every if self.val_sets else None),
            "signals": signals,
        }
        if train.ema is not None:
            hooks["ema"] = EMAHook(train.ema.decay, None if resumption is None else resumption.found.state["ema"])
        if self.val_sets:
            assert self.protocol is not None
            hooks["validation"] = ValidationHook(
                self.val_sets,
                self.protocol,
                train.precision,
                options.val.inference or self.protocol.inference,
                options.seed,
                signals.received,
            )
            if options.logging.samples:
                hooks["samples"] = SampleHook(
                    self.val_sets,
                    folder.samples,
                    options.logging.samples,
                    self.shown,
                    options.val.every,
                    train.precision,
                    options.seed,
                )
        if train.freeze:
            hooks["freeze"] = FreezeHook(train.freeze)
        if console.is_terminal and get_rank() == 0:
            hooks["progress"] = ProgressHook(console, options.name)
        return hooks

    def _visualizer(self, folder: WorkDir, iteration: int) -> dict[str, Any]:
        backends: list[dict[str, Any]] = []
        lacking = why_unusable() if self.options.logging.tensorboard else None
        if lacking is not None:
            self.notes.append(lacking)
        elif self.options.logging.tensorboard:
            save_dir = str(folder.path / "tensorboard")
            backends.append({"type": TensorboardFrom, "save_dir": save_dir, "iteration": iteration, "say": self._warn})
        if self.options.logging.wandb is not None:
            save_dir = str(folder.path / "wandb")
            backends.append(
                {"type": "WandbVisBackend", "save_dir": save_dir, "init_kwargs": self.options.logging.wandb}
            )
        return {"type": "Visualizer", "vis_backends": backends, "save_dir": str(folder.path)}
