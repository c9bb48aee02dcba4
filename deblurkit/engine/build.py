"""From options to a finished training: the public :func:`train`."""

from __future__ import annotations

import gc
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmengine.dist import get_rank, init_dist
from rich.console import Console

from deblurkit import checkpoint
from deblurkit.engine.setup import Setup
from deblurkit.engine.workdir import WorkDir
from deblurkit.errors import UserError
from deblurkit.inference.deblurrer import pick_device
from deblurkit.interop.foreign import read_weights
from deblurkit.options.dump import write_options

if TYPE_CHECKING:
    from deblurkit.options.schema import Options


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
        init_from: A checkpoint, or a published weight file (:mod:`deblurkit.interop`), whose weights to start with.
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
    console = Console(highlight=False, soft_wrap=True, quiet=get_rank() != 0)
    with _holding(folder, launcher):
        # The function's own frame, so that all that a training holds is gone when its processes part.
        _train(options, folder, console, place_of_work, resume, overwrite, init_from, launcher)
    return folder.path


def _train(
    options: Options,
    folder: WorkDir,
    console: Console,
    device: torch.device,
    resume: bool | str | Path,
    overwrite: bool,
    init_from: str | Path | None,
    launcher: str,
) -> None:
    taken_up = _start_state(folder, resume, overwrite, console.print)
    setup = Setup(options, device, pretrained=taken_up is None and init_from is None)
    if taken_up is not None and taken_up[1]["position"]["iteration"] >= setup.length.total:
        console.print(f"{folder.path}: already finished, {taken_up[0].name} is its last checkpoint")
        return
    if taken_up is None and init_from is not None:
        _take_weights(setup, Path(init_from), console.print)
    if get_rank() == 0:
        _prepare(folder, options, clear=overwrite and not resume)
    runner = setup.runner(folder, console, taken_up, launcher)
    if taken_up is not None:
        _tell_changes(taken_up[1]["options"], options.to_dict(), runner.logger.info)
    runner.train()
    if options.logging.curves and get_rank() == 0:
        _draw_curves(folder, runner.logger.info, runner.logger.warning)


def _draw_curves(folder: WorkDir, say: Callable[[str], None], warn: Callable[[str], None]) -> None:
    """Write the page of the run; what goes wrong with it is told, and does not fail the training."""
    from deblurkit.report.curves.page import write_curves  # matplotlib and jinja2, only once they are needed

    try:
        say(f"curves and samples: {write_curves([folder.path])}")
    except Exception as error:
        warn(f"the curves could not be drawn: {type(error).__name__}: {error}")


@contextmanager
def _holding(folder: WorkDir, launcher: str) -> Iterator[None]:
    """Hold the folder in the first process, and leave neither it nor the other processes behind."""
    created = not folder.path.exists()
    if get_rank() == 0:
        folder.acquire()
    try:
        yield
    except BaseException as error:
        if launcher != "none":
            traceback.clear_frames(error.__traceback__)  # they hold the training; see _part
        raise
    finally:
        if get_rank() == 0:
            folder.release()
            if created:
                folder.remove_if_empty()
        if launcher != "none" and torch.distributed.is_initialized():
            _part()


def _part() -> None:
    """Leave the group of processes, and end its threads.

    One that outlives the interpreter aborts the process when it frees a tensor (pytorch issue 190489). They end with
    the last object that holds the group, among them the networks wrapped for gradient exchange, in reference cycles.
    """
    group = torch.distributed.group.WORLD
    torch.distributed.destroy_process_group()
    gc.collect()
    del group  # last: of all holders it alone lets other threads run while it waits for the group's to end


def _prepare(folder: WorkDir, options: Options, clear: bool) -> None:
    if clear:
        folder.clear()
    folder.checkpoints.mkdir(exist_ok=True)
    write_options(options, folder.options)


def start_processes(launcher: str, device: str | None) -> torch.device:
    """Join the processes of a distributed run, and return where this one computes.

    Raises:
        UserError: There is no such device, or the launcher needs one.
    """
    chosen = pick_device(device)
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


def _take_weights(setup: Setup, path: Path, say: Callable[[str], None]) -> None:
    """Start from the weights of another run: its averaged generator, and each critic that has the same name.

    Raises:
        CheckpointError: They do not fit.
    """
    state = read_weights(path)
    if "note" in state:
        say(state["note"])
    complaint = f"--init-from {path}: its weights ({{0}} of {state['options']['generator']['type']}) do not fit {{1}}"
    setup.loaders.record.start_from(state, path)
    generator = setup.parts.generator
    checkpoint.fill(generator, checkpoint.weights_of(state), complaint.format("generator", type(generator).__name__))
    for name, critic in setup.parts.critics.items():
        if name in state["critics"]:
            checkpoint.fill(critic, state["critics"][name], complaint.format(f"critic {name!r}", type(critic).__name__))
