"""All of a run that is built before its folder is touched, and the runner that is made of it."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.optim import OptimWrapperDict
from rich.console import Console
from torch import nn

from deblurkit.checkpoint import build_generator
from deblurkit.contracts import Dataset, Restorer, dataset_traits, generator_traits, loss_traits, needs_scores
from deblurkit.data.epoch_plan import place
from deblurkit.data.loader import build_dataset, describe
from deblurkit.data.training_sets import TrainingSets, described_sets
from deblurkit.device import switch_tf32
from deblurkit.engine.data_record import in_words
from deblurkit.engine.fast import Fast, choose, compile_networks
from deblurkit.engine.hooks.checkpoint import CheckpointHook
from deblurkit.engine.hooks.ema import EMAHook, notes_on_average
from deblurkit.engine.hooks.freeze import FreezeHook
from deblurkit.engine.hooks.progress import ProgressHook
from deblurkit.engine.hooks.samples import SampleHook
from deblurkit.engine.hooks.scalars import ScalarsHook
from deblurkit.engine.hooks.signals import SignalHook
from deblurkit.engine.hooks.validation import ValidationHook
from deblurkit.engine.loop import IterationLoop, TrainingData, TrainLoaders
from deblurkit.engine.loss_terms import Term
from deblurkit.engine.optim import NetworkOptimizer, Schedules, build_optimizers, build_schedulers, scale_rates
from deblurkit.engine.position import Length, Position
from deblurkit.engine.resume import Resumption
from deblurkit.engine.runner import TrainingRunner
from deblurkit.engine.services import check_services
from deblurkit.engine.sets import join_sets, training_sets
from deblurkit.engine.step import Parts
from deblurkit.engine.tensorboard import TensorboardFrom, why_unusable
from deblurkit.engine.work_dir import WorkDir
from deblurkit.errors import UserError, did_you_mean
from deblurkit.evaluation.protocols.protocol import Protocol, get_protocol
from deblurkit.inner_outputs import find_outputs
from deblurkit.inspection.looking import seen_inside
from deblurkit.options.outputs import freeze_problems, parts_and_weights
from deblurkit.options.selection import parse_selection
from deblurkit.plugins import load_plugins
from deblurkit.pretrained import MissingWeightsError
from deblurkit.registry import DISCRIMINATORS, LOSSES, RESTORERS

if TYPE_CHECKING:
    from deblurkit.options.schema import LossTerm, Options

Say = Callable[[str], None]


class Problems:
    """Collects users' mistakes, so that all are reported at once."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    @contextmanager
    def gathered(self, where: str) -> Iterator[None]:
        """Keeps what the code inside refuses with the key path where it is written, and goes on behind it."""
        try:
            yield
        except UserError as error:
            self._lines += [line if line.startswith(where) else f"{where}: {line}" for line in error.problems]

    def raise_any(self) -> None:
        """Raises a UserError of all that was collected, if there is anything."""
        if self._lines:
            raise UserError(*self._lines)


def build_parts(
    options: Options, problems: Problems, say: Say, random_weights: bool = False, pretrained: bool = True
) -> Parts:
    """Builds generator, critics and terms, drawing their weights from ``options.seed``.

    Args:
        options: What to build.
        problems: Takes what cannot be built; it is missing in what is returned.
        say: Told what every log must say, such as that a loss uses random weights.
        random_weights: For a trial: where pretrained weights of a perceptual loss or of a part of the generator cannot
            be had, use random ones, and say so.
        pretrained: Whether the generator takes up the weights of others that its options name; not in a run that
            takes up weights of its own.
    """
    load_plugins(options.plugins)
    # The order in which networks are built decides which weights they draw from the seed: it is part of a run.
    torch.manual_seed(options.seed)
    generator: nn.Module = nn.Identity()
    with problems.gathered("generator"):
        generator = build_generator(options)
        load = generator_traits(generator).load_pretrained
        if pretrained and load is not None:
            try:
                load()
            except MissingWeightsError as error:
                if not random_weights:
                    raise
                say(f"generator: {error}; RANDOM weights stand in for this trial")
    critics: dict[str, nn.Module] = {}
    for name, cfg in options.discriminators.items():
        with problems.gathered(f"discriminators.{name}"):
            critics[name] = DISCRIMINATORS.build(cfg, where=name)
    terms: list[Term] = []
    for name, term in options.losses.items():
        with problems.gathered(f"losses.{name}"):
            terms.append(_build_term(name, term, say, random_weights))
    train = options.train
    return Parts(
        generator=generator,
        critics=critics,
        terms=terms,
        critic_steps=train.critic_steps,
        critic_batches=train.critic_batches,
        order=train.order,
        critic_warmup=train.critic_warmup,
        accumulate=train.accumulate,
        precision=train.precision,
    )


def _build_term(name: str, term: LossTerm, say: Say, random_weights: bool) -> Term:
    try:
        loss = LOSSES.build(term.component, where=f"losses.{name}")
    except MissingWeightsError as error:
        if not random_weights:
            raise
        say(f"losses.{name}: {error}; RANDOM weights stand in for this trial")
        loss = LOSSES.build({**term.component, "weights": "random"}, where=f"losses.{name}")
    for note in loss_traits(loss).notes:
        say(f"losses.{name}: {note}")
    return Term(
        name=name,
        loss=loss,
        weight=term.weight,
        pred=parse_selection(term.pred),
        target=parse_selection(term.target),
        critic=term.critic,
        start=term.start,
        end=term.end,
    )


def build_step(
    parts: Parts, options: Options, device: torch.device, fast: Fast, say: Say
) -> tuple[Restorer, dict[str, NetworkOptimizer], Schedules]:
    """Moves the parts to the device and returns what does the iterations: restorer, optimizers and their schedules.

    Raises:
        UserError: The restorer, an optimizer or a schedule refuses its arguments.
    """
    parts.channels_last, parts.joined = fast.channels_last, fast.joined
    for network in (parts.generator, *parts.critics.values()):
        network.to(device)
        if parts.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for term in parts.terms:
        term.loss.to(device)
    switch_tf32(options.train.precision == "tf32")
    compile_networks(parts, fast)
    restorer: Restorer = RESTORERS.build(options.restorer, parts, where="restorer")
    optimizers = build_optimizers(options, restorer.networks(), device, fast.fused)
    # Before the schedules are built: they take the rates that they find for those of the beginning.
    for note in scale_rates(options, optimizers, effective_batch(options)):
        say(note)
    return restorer, optimizers, build_schedulers(options, optimizers)


def effective_batch(options: Options) -> int:
    """Returns the number of images that one update of the generator sees, those of all processes together."""
    return training_sets(options)[0].loader.batch_size * options.train.accumulate * get_world_size()


class Setup:
    """Everything of a run that is built before its folder is touched; ``pretrained`` as for :func:`build_parts`.

    Raises:
        UserError: With everything that stands against the run.
    """

    def __init__(self, options: Options, device: torch.device, pretrained: bool = True) -> None:
        problems = Problems()
        entries = training_sets(options)
        loader = entries[0].loader
        with problems.gathered(""):  # its lines name their keys
            check_services(options, device)
        self.options, self.device = options, device
        self.notes: list[str] = []
        self._logger: logging.Logger | None = None
        self.protocol: Protocol | None = None
        with problems.gathered("val.protocol"):
            self.protocol = get_protocol(options.val.protocol, "val.protocol")
        self.parts = build_parts(options, problems, self.notes.append, pretrained=pretrained)
        sets: list[Dataset] = []
        for number, entry in enumerate(entries):
            where = place(number, len(entries))
            with problems.gathered(where):
                sets.append(build_dataset(entry.model_copy(update={"loader": loader}), where))
        self.val_sets: dict[str, Dataset] = {}
        for name, val_entry in options.datasets.val.items():
            with problems.gathered(f"datasets.val.{name}"):
                self.val_sets[name] = build_dataset(val_entry, f"datasets.val.{name}")
        problems.raise_any()
        assert self.protocol is not None
        self.dataset, self.plan = join_sets(sets, entries)
        # From here on each step needs the one before it, so the first problem ends the build.
        generator = self.parts.generator
        freezing = freeze_problems(type(generator).__name__, *parts_and_weights(generator), options.train.freeze)
        if freezing:  # of a generator that the options' check could not build
            raise UserError(*(f"train.freeze{'.' if part else ''}{part}: {text}" for part, text in freezing.items()))
        self.fast = choose(options, self.parts, device)
        built = build_step(self.parts, options, device, self.fast, self.notes.append)
        self.restorer, self.optimizers, self.schedulers = built
        self.batches = len(self.plan) // get_world_size() // loader.batch_size  # in an epoch
        taken = self.restorer.generator_batches
        if self.batches < taken:
            raise UserError(
                f"datasets.train: one iteration takes {taken} batch(es) of {loader.batch_size} in each "
                f"of {get_world_size()} process(es), an epoch has {len(self.plan)} images: lower batch_size or "
                "train.accumulate"
            )
        self.length = Length(self.batches // taken, options.train.epochs, options.train.iters)
        data = TrainingData(self.dataset, self.plan, loader, options.seed)
        self.loaders = TrainLoaders(data, self.length.epoch, self.restorer, device)
        if pretrained:  # else it takes up weights, of its own or with --init-from, and does not begin at random ones
            self.notes += notes_on_average(options.train.ema, self.length.end(Position()))
        self._require_scores(self.protocol)
        # What strips show besides: the options' check cannot look for it in the networks of every plugin.
        shown, generator = options.logging.outputs, self.restorer.generator
        self.shown = find_outputs(generator, shown, seen_inside(generator), "logging.outputs") if shown else []

    def _require_scores(self, protocol: Protocol) -> None:
        """Sees that a validation gives each score that something waits for: it would wait for ever."""
        known = [f"val/{name}/{metric}" for name, metric in itertools.product(self.val_sets, protocol.metrics)]
        waiting: list[tuple[str, str]] = []
        for scheduler in itertools.chain(*self.schedulers.values()):
            if needs_scores(scheduler):
                waiting.append((f"schedulers: {type(scheduler).__name__}", scheduler.monitor))
        for index, hook in enumerate(self.options.hooks):
            if hook["type"] == "EarlyStoppingHook":
                waiting.append((f"hooks.{index}", hook["monitor"]))
        for key, monitor in waiting:
            if monitor not in known:
                hint = did_you_mean(monitor, known) or f" (known: {', '.join(known) or 'none'})"
                raise UserError(f"{key}: monitor: no validation gives {monitor!r}{hint}")

    def runner(self, folder: WorkDir, console: Console, resumption: Resumption | None, launcher: str) -> TrainingRunner:
        """Returns the runner, ready to train; ``resumption`` says where the networks stand, if not at the beginning."""
        position = Position() if resumption is None else resumption.position
        ours: dict[str, Any] = {
            "randomness": {"seed": self.options.seed, "diff_rank_seed": True},
            "visualizer": self._visualizer(folder, position.iteration),
            "default_hooks": self._hooks(console, resumption),
            "env_cfg": {"mp_cfg": {}},
        }
        # What the option file says under `engine` merges over ours, one level deep.
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
                "train_cfg": {"type": IterationLoop, "length": self.length},
                "optim_wrapper": OptimWrapperDict(**self.optimizers),
                "param_scheduler": self.schedulers,
                "custom_hooks": list(self.options.hooks),
                "launcher": launcher,
                **ours,
                **extra,
            },
        )
        # After the resumption: a wrapper sends the first process's weights to the others when it is made.
        if get_world_size() > 1:
            self.restorer.distribute()
        self._logger = runner.logger
        self._introduce(runner.logger, position)
        return runner

    def _hooks(self, console: Console, resumption: Resumption | None) -> dict[str, Any]:
        """Returns the hooks by the names under which MMEngine knows its own; ``None`` leaves one of those out."""
        train, signals = self.options.train, SignalHook()
        hooks: dict[str, Any] = {
            "runtime_info": None,
            "timer": None,
            "sampler_seed": None,
            "logger": ScalarsHook(),
            "param_scheduler": {"type": "ParamSchedulerHook"},
            "checkpoint": CheckpointHook(bool(self.val_sets)),
            "signals": signals,
        }
        if train.ema is not None:
            start = None if resumption is None else resumption.found.state["ema"]
            hooks["ema"] = EMAHook(train.ema.decay, train.ema.warmup, start)
        if self.val_sets and self.protocol is not None:
            hooks["validation"] = ValidationHook(self.val_sets, self.protocol, signals.received)
            if self.options.logging.samples:
                hooks["samples"] = SampleHook(self.val_sets, self.shown)
        if train.freeze:
            hooks["freeze"] = FreezeHook(train.freeze)
        if console.is_terminal and get_rank() == 0:
            hooks["progress"] = ProgressHook(console)
        return hooks

    def _visualizer(self, folder: WorkDir, iteration: int) -> dict[str, Any]:
        def warn(text: str) -> None:
            if self._logger is not None:  # the run has a log once its runner is built
                self._logger.warning(text)

        backends: list[dict[str, Any]] = []
        lacking = why_unusable() if self.options.logging.tensorboard else None
        if lacking is not None:
            self.notes.append(lacking)
        elif self.options.logging.tensorboard:
            save_dir = str(folder.path / "tensorboard")
            backends.append({"type": TensorboardFrom, "save_dir": save_dir, "iteration": iteration, "say": warn})
        wandb = self.options.logging.wandb
        if wandb is not None:
            backends.append({"type": "WandbVisBackend", "save_dir": str(folder.path / "wandb"), "init_kwargs": wandb})
        return {"type": "Visualizer", "vis_backends": backends, "save_dir": str(folder.path)}

    def _introduce(self, logger: logging.Logger, position: Position) -> None:
        """Logs what is trained, on what and for how long, and all that the log must say."""
        counts = ", ".join(
            f"{name} {sum(p.numel() for p in network.parameters()):,} parameters"
            for name, network in self.restorer.networks().items()
        )
        logger.info(f"{counts} | {len(self.dataset)} training images, effective batch {effective_batch(self.options)}")
        end, epoch = self.length.end(position), self.length.epoch
        logger.info(f"{end} iterations, {epoch} in an epoch")
        if self.loaders.of_critics:
            passes = self.loaders.of_critics * end / self.batches
            logger.info(
                f"critics draw batches of their own: they see the set {passes:.1f} times by the end, the generator "
                f"{end / epoch:.1f} times"
            )
        if self.fast.words:
            logger.info(self.fast.words)
        for note in self.notes:
            logger.warning(note)
        trained_on = self.dataset.sets if isinstance(self.dataset, TrainingSets) else [self.dataset]
        facts = described_sets(describe(self.dataset))
        described = {}
        for number, dataset in enumerate(trained_on):
            described[place(number, len(trained_on))] = (dataset, facts[number])
        for name, dataset in self.val_sets.items():
            described[f"datasets.val.{name}"] = (dataset, describe(dataset))
        for name, (dataset, said) in described.items():
            logger.info(f"{name}: {in_words(said)}")
            for note in dataset_traits(dataset).notes:
                logger.warning(f"{name}: {note}")
