"""From options to a finished training: the public :func:`train`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmengine.dist import get_rank, get_world_size, init_dist
from rich.console import Console

from deblurkit import checkpoint
from deblurkit.checkpoint import CheckpointError
from deblurkit.data.loader import build_train_loader
from deblurkit.engine.hooks.checkpoint import CheckpointHook
from deblurkit.engine.hooks.ema import EMAHook
from deblurkit.engine.hooks.freeze import FreezeHook
from deblurkit.engine.hooks.progress import ProgressHook
from deblurkit.engine.hooks.scalars import ScalarsHook
from deblurkit.engine.hooks.signals import SignalHook
from deblurkit.engine.hooks.validation import ValidationHook
from deblurkit.engine.loops import IterationLoop
from deblurkit.engine.optim import build_optimizers, build_schedulers, scale_rates
from deblurkit.engine.parts import Problems, build_parts, build_training_sets, place
from deblurkit.engine.runner import TrainingRunner
from deblurkit.engine.workdir import WorkDir
from deblurkit.errors import UserError
from deblurkit.evaluation.protocols import get_protocol
from deblurkit.options.dump import write_options
from deblurkit.registry import RESTORERS

if TYPE_CHECKING:
    from deblurkit.options.schema import Options


@dataclass(frozen=True)
class Length:
    """How long a run is, in iterations."""

    epoch: int
    total: int
    epochs: int


class TrainLoaders:
    """Makes the endless training loader from any position; what the loop calls its dataloader."""

    def __init__(self, options: Options, dataset: Any, used_batches: int, pin_memory: bool) -> None:
        self.options = options
        self.dataset = dataset
        self.used_batches = used_batches
        self.pin_memory = pin_memory

    def __call__(self, epoch: int, batch: int) -> Any:
        """Return a loader that starts at a batch of an epoch."""
        entry = self.options.datasets.train
        assert entry is not None
        return build_train_loader(
            self.dataset,
            entry.loader,
            self.options.seed,
            start_epoch=epoch,
            start_batch=batch,
            rank=get_rank(),
            world=get_world_size(),
            used_batches=self.used_batches,
            pin_memory=self.pin_memory,
        )


def train(
    options: Options,
    work_dir: str | Path | None = None,
    resume: bool | str | Path = False,
    device: str | None = None,
    *,
    overwrite: bool = False,
    init_from: str | Path | None = None,
    launcher: str = "none",
) -> Path:
    """Train what ``options`` say.

    Args:
        options: From :func:`deblurkit.load_options`.
        work_dir: The run's folder itself; by default ``work_dirs/<name>``.
        resume: Take up the newest checkpoint of the work dir that loads, or the one named.
        device: ``cpu``, ``cuda``, ``cuda:1``; by default the GPU where there is one.
        overwrite: Remove what an earlier run left in the work dir, and start anew.
        init_from: A checkpoint whose weights to start with.
        launcher: ``none``, ``pytorch`` (torchrun), ``slurm`` or ``mpi``.

    Returns:
        The work dir.

    Raises:
        UserError: Something that was asked for cannot be done.
        Interrupted: A signal ended the run, after a checkpoint.
    """
    missing = options.missing_for_training()
    if missing:
        raise UserError(*missing)
    place_of_work = start_processes(launcher, device)
    folder = WorkDir(Path(work_dir) if work_dir is not None else Path("work_dirs") / options.name)
    created = not folder.path.exists()
    main = get_rank() == 0
    if main:
        folder.acquire()
    started = False
    try:
        console = Console(highlight=False)
        taken_up = _start_state(folder, resume, overwrite, console.print if main else _silent)
        setup = _Setup(options, place_of_work, console.print if main else _silent)
        if taken_up is not None and taken_up[1]["position"]["iteration"] >= setup.length.total:
            console.print(f"{folder.path}: already finished, {taken_up[0].name} is its last checkpoint", soft_wrap=True)
            return folder.path
        if init_from is not None and taken_up is None:
            _take_weights(setup, Path(init_from))
        started = True
        if main:
            if overwrite and not resume:
                folder.clear()
            folder.checkpoints.mkdir(exist_ok=True)
            write_options(options, folder.options)
        runner = setup.runner(folder, console, taken_up, launcher)
        if taken_up is not None:
            _tell_changes(taken_up[1]["options"], options.to_dict(), runner.logger.info)
        runner.train()
        return folder.path
    finally:
        if main:
            folder.release()
            if created and not started:
                folder.remove_if_empty()
        if launcher != "none" and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _silent(*_: Any, **__: Any) -> None:
    """Say nothing: only the first process of a run speaks."""


def start_processes(launcher: str, device: str | None) -> torch.device:
    """Join the processes of a distributed run, and return where this one computes.

    Raises:
        UserError: There is no such device, or the launcher needs one.
    """
    try:
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError:
        raise UserError(f"--device {device}: no such device; expected cpu, cuda or cuda:N") from None
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"--device {device}: this torch sees no GPU; --device cpu trains without")
    if launcher == "none":
        return chosen
    if chosen.type == "cpu":
        if launcher != "pytorch":
            raise UserError(f"--launcher {launcher}: only pytorch runs without GPUs")
        if "RANK" not in os.environ:
            raise UserError("--launcher pytorch: start it with torchrun, which sets RANK, WORLD_SIZE and MASTER_ADDR")
        torch.distributed.init_process_group("gloo")  # MMEngine's own start asks for a GPU even with gloo
        return chosen
    init_dist(launcher)
    return torch.device("cuda", torch.cuda.current_device())


def _start_state(
    folder: WorkDir, resume: bool | str | Path, overwrite: bool, say: Callable[[str], None]
) -> tuple[Path, dict[str, Any]] | None:
    """Return the checkpoint to take up, or ``None`` to start from the beginning.

    Raises:
        UserError: The folder is in use by an earlier run, or the checkpoint named does not load.
    """
    if not resume:
        if get_rank() == 0 and folder.used() and not overwrite:
            raise UserError(
                f"{folder.path}: not empty; --resume goes on with it, --overwrite starts anew, --work-dir names another"
            )
        return None
    if not isinstance(resume, bool):
        return Path(resume), checkpoint.load(resume)
    found = folder.newest(say)
    if found is None:
        say(f"{folder.path}: no checkpoint to resume, starting from the beginning")
    return found


def _tell_changes(saved: dict[str, Any], present: dict[str, Any], say: Callable[[str], None], place: str = "") -> None:
    """Say which options differ from those that the checkpoint was written with."""
    for key in sorted({*saved, *present}):
        before, after = saved.get(key), present.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            _tell_changes(before, after, say, f"{place}{key}.")
        elif before != after:
            say(f"changed since the checkpoint: {place}{key}: {before!r} -> {after!r}")


def _take_weights(setup: _Setup, path: Path) -> None:
    """Start from the weights of another run: its averaged generator, and each critic that has the same name.

    Raises:
        CheckpointError: They do not fit.
    """
    state = checkpoint.load(path)
    weights = state["ema"] if state["ema"] is not None else state["generator"]
    try:
        setup.parts.generator.load_state_dict(weights)
        for name, critic in setup.parts.critics.items():
            if name in state["critics"]:
                critic.load_state_dict(state["critics"][name])
    except RuntimeError as error:
        raise CheckpointError(f"--init-from {path}: its weights do not fit these options: {error}") from None


class _Setup:
    """Everything of a run that is built before its folder is touched."""

    def __init__(self, options: Options, device: torch.device, say: Callable[[str], None]) -> None:
        problems = Problems()
        self.options, self.device = options, device
        self.notes: list[str] = []
        self.protocol = problems.gather(lambda: get_protocol(options.val.protocol, "val.protocol"), "val.protocol")
        self.parts = build_parts(options, problems, self.notes.append)
        self.dataset, self.val_sets = build_training_sets(options, problems)
        problems.raise_any()
        place(self.parts, options, device)
        self.restorer = RESTORERS.build(options.restorer, self.parts, where="restorer")
        self.loaders, self.length = self._measure()
        self.optimizers = build_optimizers(options, self.restorer.networks(), device)
        self.notes += scale_rates(options, self.optimizers, get_world_size())
        self.schedulers = build_schedulers(options, self.optimizers, self.length.total)

    def _measure(self) -> tuple[TrainLoaders, Length]:
        entry = self.options.datasets.train
        assert entry is not None
        per_iteration = self.restorer.batches_per_iteration
        batches = len(self.dataset) // get_world_size() // entry.loader.batch_size
        if batches < per_iteration:
            raise UserError(
                f"datasets.train: one iteration takes {per_iteration} batch(es) of {entry.loader.batch_size} in each of "
                f"{get_world_size()} process(es), the set has {len(self.dataset)} images: lower batch_size or "
                "train.accumulate"
            )
        epoch = batches // per_iteration
        wanted = self.options.train
        limits = [limit for limit in (wanted.iters, wanted.epochs and wanted.epochs * epoch) if limit is not None]
        total = min(limits)
        length = Length(epoch=epoch, total=total, epochs=-(-total // epoch))
        return TrainLoaders(self.options, self.dataset, epoch * per_iteration, self.device.type == "cuda"), length

    def runner(
        self, folder: WorkDir, console: Console, taken_up: tuple[Path, dict[str, Any]] | None, launcher: str
    ) -> TrainingRunner:
        """Return the runner, ready to train."""
        loop = {
            "type": IterationLoop,
            "epoch_length": self.length.epoch,
            "max_iters": self.length.total,
            "max_epochs": self.length.epochs,
            "batches_per_iteration": self.restorer.batches_per_iteration,
        }
        ours: dict[str, Any] = {
            "randomness": {"seed": self.options.seed, "diff_rank_seed": True},
            "visualizer": self._visualizer(folder),
            "default_hooks": self._hooks(folder, console),
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
            resume=taken_up,
            arguments={
                "model": self.restorer,
                "train_dataloader": self.loaders,
                "train_cfg": loop,
                "optim_wrapper": _wrapped(self.optimizers),
                "param_scheduler": self.schedulers,
                "custom_hooks": list(self.options.hooks),
                "launcher": launcher,
                **ours,
                **extra,
            },
        )
        if get_world_size() > 1:
            self.restorer.distribute()
        self._introduce(runner)
        return runner

    def _introduce(self, runner: TrainingRunner) -> None:
        entry = self.options.datasets.train
        assert entry is not None
        effective = entry.loader.batch_size * self.options.train.accumulate * get_world_size()
        counts = ", ".join(
            f"{name} {sum(p.numel() for p in network.parameters()):,} parameters"
            for name, network in self.restorer.networks().items()
        )
        runner.logger.info(f"{counts} | {len(self.dataset)} training images, effective batch {effective}")
        runner.logger.info(f"{self.length.total} iterations, {self.length.epoch} in an epoch")
        for note in self.notes:
            runner.logger.warning(note)

    def _hooks(self, folder: WorkDir, console: Console) -> dict[str, Any]:
        options, train = self.options, self.options.train
        hooks: dict[str, Any] = {
            "runtime_info": None,
            "timer": None,
            "sampler_seed": None,
            "logger": ScalarsHook(options.logging.every, folder.scalars),
            "param_scheduler": {"type": "ParamSchedulerHook"},
            "checkpoint": CheckpointHook(train.checkpoint_every, train.keep),
            "signals": SignalHook(train.keep),
        }
        if train.ema is not None:
            hooks["ema"] = EMAHook(train.ema.decay)
        if self.val_sets:
            assert self.protocol is not None
            hooks["validation"] = ValidationHook(
                self.val_sets, self.protocol, options.val.every, train.precision, options.seed
            )
        if train.freeze:
            hooks["freeze"] = FreezeHook(train.freeze)
        if console.is_terminal and get_rank() == 0:
            hooks["progress"] = ProgressHook(console, options.name)
        return hooks

    def _visualizer(self, folder: WorkDir) -> dict[str, Any]:
        backends: list[dict[str, Any]] = []
        if self.options.logging.tensorboard:
            backends.append({"type": "TensorboardVisBackend", "save_dir": str(folder.path / "tensorboard")})
        if self.options.logging.wandb is not None:
            save_dir = str(folder.path / "wandb")
            backends.append(
                {"type": "WandbVisBackend", "save_dir": save_dir, "init_kwargs": self.options.logging.wandb}
            )
        return {"type": "Visualizer", "vis_backends": backends, "save_dir": str(folder.path)}


def _wrapped(optimizers: dict[str, Any]) -> Any:
    from mmengine.optim import OptimWrapperDict

    return OptimWrapperDict(**optimizers)
