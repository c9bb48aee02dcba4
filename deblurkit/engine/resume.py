"""Taking a run up again: which checkpoint, whether it fits the options of today, and where it goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.dist import get_rank, get_world_size

from deblurkit import checkpoint
from deblurkit.checkpoint import CheckpointError
from deblurkit.contracts import needs_scores
from deblurkit.engine.changes import Change, Effect, changes
from deblurkit.engine.optim import Validation, advance
from deblurkit.engine.position import Position
from deblurkit.engine.processes import decided_by_first, in_every
from deblurkit.engine.state import restore_networks, restore_optimizers
from deblurkit.engine.work_dir import WorkDir
from deblurkit.errors import UserError

if TYPE_CHECKING:
    from deblurkit.engine.build import Setup


@dataclass(frozen=True)
class Found:
    """The checkpoint that a run takes up: its file and its content."""

    path: Path
    state: dict[str, Any]


@dataclass(frozen=True)
class Resumption:
    """Where and how a run goes on, once networks, optimizers and schedules stand there.

    Attributes:
        found: The checkpoint.
        position: Where the run stands.
        best: Score and iteration of the best validation that still counts, if any.
        validation_due: Whether the validation at this position was not finished.
        validations: Those that were, from the beginning of the run.
        average_began: The iteration at which the averaged generator begins, or began.
        lines: What the log must say.
    """

    found: Found
    position: Position
    best: dict[str, float]
    validation_due: bool
    validations: list[Validation]
    average_began: int
    lines: tuple[str, ...]


def find(folder: WorkDir, resume: bool | str | Path, overwrite: bool, say: Callable[[str], None]) -> Found | None:
    """Returns the checkpoint to take up, or ``None`` where the run starts from the beginning.

    The first process decides. The others read the same file and compare its digest: where disks differ between
    machines, processes would otherwise go on from different weights.

    Raises:
        UserError: The folder holds an earlier run, or another one than the checkpoint is of; or the checkpoint cannot
            be read, or is another file for another process.
    """
    decided: list[Found] = []  # kept where it was read: only its path and digest go to the other processes

    def decide() -> tuple[Path, str] | None:
        found = _chosen(folder, resume, overwrite, say)
        if found is None:
            return None
        decided.append(found)
        return found.path, checkpoint.digest(found.path) if get_world_size() > 1 else ""

    choice = decided_by_first(decide)
    if choice is None:
        return None
    path, digest = choice
    return in_every(lambda: decided[0] if decided else _same_file(path, digest))


def _chosen(folder: WorkDir, resume: bool | str | Path, overwrite: bool, say: Callable[[str], None]) -> Found | None:
    if resume is False:
        if folder.used() and not overwrite:
            raise UserError(
                f"{folder.path}: not empty; --resume goes on with it, --overwrite starts anew, --work-dir names another"
            )
        return None
    if resume is True:
        if overwrite:
            raise UserError("--resume goes on with a run, --overwrite starts it anew: give one of them")
        newest = folder.newest(say)
        if newest is None:
            say(f"{folder.path}: no checkpoint to resume, starting from the beginning")
        return newest and Found(*newest)
    path = Path(resume)
    own = path.resolve().parent == folder.checkpoints.resolve()
    if own and overwrite:
        raise UserError(f"--overwrite would remove {path}, which --resume names: give one of them")
    if not own and folder.used() and not overwrite:
        raise UserError(
            f"{path}: not one of the checkpoints in {folder.path}, which holds a run of its own: name an empty "
            "--work-dir, or --overwrite that run"
        )
    return Found(path, checkpoint.load(path))


def _same_file(path: Path, digest: str) -> Found:
    """Returns the checkpoint that the first process chose, read by another one."""
    where = f"process {get_rank()}: {path}"
    if not path.is_file():
        raise CheckpointError(f"{where}: not there, the first process resumes it; all must see the same work dir")
    if checkpoint.digest(path) != digest:
        raise CheckpointError(f"{where}: not the file that the first process resumes; all must see the same work dir")
    return Found(path, checkpoint.load(path))


def take_up(setup: Setup, found: Found, folder: WorkDir) -> Resumption:
    """Puts what was built for a run where a checkpoint stands; writes nothing; collective.

    Raises:
        UserError: Options were changed that a run cannot change on the way; names each, and the way out.
        CheckpointError: The checkpoint does not fit what the options build.
    """
    changed = changes(found.state["options"], setup.options.to_dict())
    position = in_every(lambda: _restore(setup, found, changed))
    new_measure = any(change.rule.new_measure for change in changed)
    # Asked of one folder, for all: processes with different best scores would not all save at the next validation.
    best, doubt = decided_by_first(lambda: _best_that_counts(found.state, folder, new_measure))
    lines = [f"changed since the checkpoint: {change}" for change in changed]
    wrote = len(found.state["rng"])
    if wrote != get_world_size():
        lines.append(f"{wrote} process(es) wrote the checkpoint, now there are {get_world_size()}")
    was = found.state["position"].get("epoch_length", setup.length.epoch)
    if was != setup.length.epoch:
        done = position.epoch + position.into_epoch / setup.length.epoch
        lines.append(f"an epoch has {setup.length.epoch} iterations instead of {was}: goes on after {done:.2f} epochs")
    validation_due = bool(setup.val_sets) and found.state.get("validation_due", False)
    # Older checkpoints do not say: their averages began with the run, but for some that an option change began.
    began = found.state.get("average_began", 0)
    if found.state["ema"] is None and setup.options.train.ema is not None:
        began = position.iteration
    return Resumption(found, position, best, validation_due, _validations(found.state), began, (*lines, *doubt))


def _restore(setup: Setup, found: Found, changed: Sequence[Change]) -> Position:
    state, where = found.state, str(found.path)
    # The options first: of two reasons against a resumption the user can do something about this one.
    refused = [f"{where}: {change}" for change in changed if change.rule.effect is Effect.REFUSED]
    if refused:
        raise UserError(
            *refused, f"{where}: give these options back their values, or take its weights alone with --init-from"
        )
    # A run that counted epochs otherwise: its end, its rates and its place in the data would all be others.
    train = state["options"].get("train")
    own = isinstance(train, dict) and train.get("critic_batches") == "own" and state["critics"]
    if own and "epoch_of" not in state["position"]:
        raise CheckpointError(
            f"{where}: written by an older version, whose epochs with `critic_batches: own` were passes of critics and "
            "generator together; take its weights alone with --init-from"
        )
    position = setup.length.taken_up(state["position"], where)
    restore_networks(setup.restorer, state, where)
    # Schedules first: an optimizer that takes up its averages keeps the rates that it finds.
    _advance_schedules(setup, position, state, where)
    restore_optimizers(setup.options, setup.optimizers, state, where)
    setup.loaders.record.go_on_from(state)
    return position


def _advance_schedules(setup: Setup, position: Position, state: dict[str, Any], where: str) -> None:
    train = setup.options.train
    steps, most = (position.iteration, train.iters) if train.epochs is None else (position.epoch, train.epochs)
    for name, schedulers in setup.schedulers.items():
        watching = any(needs_scores(scheduler) for scheduler in schedulers)
        if watching and "validations" not in state and position.iteration:
            raise CheckpointError(
                f"{where}: written by an older version, without the scores that the schedules of {name} look at; take "
                "its weights alone with --init-from"
            )
        try:
            advance(schedulers, steps if most is None else min(steps, most), _validations(state))
        except KeyError as error:
            raise CheckpointError(f"{where}: the schedules of {name} need a score that it lacks: {error}") from None


def _validations(state: dict[str, Any]) -> list[Validation]:
    """Returns the validations of a checkpoint; older ones hold none."""
    return [(epoch, scores) for epoch, scores in state.get("validations", [])]


def _best_that_counts(
    state: dict[str, Any], folder: WorkDir, new_measure: bool
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Returns the best score of a checkpoint, if that can be compared and its weights are still there; else a line."""
    best = dict(state["best"])
    if not best:
        return {}, ()
    if new_measure:
        return {}, ("the best score so far no longer counts, since validation measures something else now",)
    kept = folder.iteration_of_best()
    if kept is None or kept > state["position"]["iteration"]:
        return {}, (
            f"the best score so far, of iteration {best['iteration']}, no longer counts: its weights are not in "
            f"{folder.path}",
        )
    return best, ()
