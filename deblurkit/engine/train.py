"""From options to a finished training: the public :func:`train`."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from mmengine.dist import get_rank
from rich.console import Console

from deblurkit import checkpoint
from deblurkit.engine.build import Setup
from deblurkit.engine.host import hubs_given_back, settings_given_back
from deblurkit.engine.processes import decided_by_first, in_every, part, start_processes
from deblurkit.engine.resume import Resumption, find, take_up
from deblurkit.engine.sets import training_sets
from deblurkit.engine.work_dir import WorkDir
from deblurkit.errors import UserError
from deblurkit.files import saying
from deblurkit.interop.foreign import read_weights
from deblurkit.options.dump import write_options
from deblurkit.weights import box

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
    key: str | None = None,
) -> Path:
    """Trains what ``options`` say, and returns the work dir. The process gets back all that the training took of it.

    Args:
        options: From :func:`deblurkit.load_options`.
        work_dir: The run's folder itself; by default ``work_dirs/<name>``.
        resume: Take up the newest checkpoint of the work dir that loads, or the one named.
        device: ``cpu``, ``cuda``, ``cuda:1``; by default the GPU where there is one.
        overwrite: Remove what an earlier run left in the work dir, and start anew.
        init_from: A checkpoint, another weight file (:mod:`deblurkit.interop`) or the name of a network in the box,
            whose weights to start with.
        launcher: ``none``, ``pytorch`` (torchrun), ``slurm`` or ``mpi``.
        key: Which of several state dicts in a published file ``init_from``; by default the averaged one.

    Raises:
        UserError: Something that was asked for cannot be done.
        Interrupted: A signal ended the run, after a checkpoint.
    """
    if key is not None and init_from is None:
        raise UserError(f"--key {key}: expected --init-from too, the file in which it names weights")
    training_sets(options)  # refuses options that lack something, before processes start and a folder is made
    folder = WorkDir(Path(work_dir) if work_dir is not None else Path("work_dirs") / options.name)
    with settings_given_back():
        place_of_work = start_processes(launcher, device)
        console = Console(highlight=False, soft_wrap=True, quiet=get_rank() != 0)
        with _holding(folder, launcher), hubs_given_back():
            # The function's own frame, so that all that a training holds is gone when its processes part.
            _train(options, folder, console, place_of_work, resume, overwrite, init_from, launcher, key)
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
    key: str | None,
) -> None:
    # All is built, and the checkpoint taken up, before anything is written: a run that is refused leaves no trace.
    found = find(folder, resume, overwrite, console.print)
    fresh = found is None and init_from is None
    setup = in_every(partial(Setup, options, device, pretrained=fresh))
    resumption = None if found is None else take_up(setup, found, folder)
    if resumption is not None and setup.length.finished(resumption.position) and not resumption.validation_due:
        console.print(f"{folder.path}: already finished, {resumption.found.path.name} is its last checkpoint")
        return
    if resumption is None and init_from is not None:
        in_every(partial(_take_weights, setup, Path(init_from), key, console.print))
    # From here on the folder is changed.
    abandoned = decided_by_first(partial(_prepare, folder, options, overwrite, resumption))
    runner = setup.runner(folder, console, resumption, launcher)
    if abandoned is not None:
        runner.logger.warning(f"what this run had done beyond this checkpoint now lies in {abandoned}")
    del found, resumption  # the checkpoint's tensors, which the runner forgets once it has taken them up
    with closing(runner):
        runner.train()
        if options.logging.curves and get_rank() == 0:
            _draw_curves(folder, runner.logger)


def _draw_curves(folder: WorkDir, logger: logging.Logger) -> None:
    from deblurkit.report.curves.page import write_curves  # matplotlib and jinja2, only once they are needed

    try:
        logger.info(f"curves and samples: {write_curves([folder.path])}")
    except Exception as error:  # whatever is wrong with the page, the training is done
        logger.warning(f"the curves could not be drawn: {type(error).__name__}: {error}")


@contextmanager
def _holding(folder: WorkDir, launcher: str) -> Iterator[None]:
    """Holds the folder in the first process, and leaves neither it nor the other processes behind."""
    try:
        decided_by_first(folder.acquire)
        yield
    except BaseException as error:
        if launcher != "none":
            traceback.clear_frames(error.__traceback__)  # they hold the training; see part
        raise
    finally:
        if get_rank() == 0:
            folder.release()
            folder.remove_if_empty()
        if launcher != "none" and torch.distributed.is_initialized():
            part()


def _prepare(folder: WorkDir, options: Options, overwrite: bool, resumption: Resumption | None) -> Path | None:
    """Makes the folder that of the run that begins or goes on; returns where an abandoned branch was put, if any."""
    iteration, validated = 0, True
    if resumption is not None:
        iteration, validated = resumption.position.iteration, not resumption.validation_due
    with saying(f"{folder.path}: cannot be written"):
        if overwrite:
            folder.clear()
        abandoned = folder.go_back_to(iteration, validated)
    with saying(f"{folder.options}: cannot be written"):
        write_options(options, folder.options)
    with saying(f"{folder.checkpoints}: cannot be written"):
        folder.checkpoints.mkdir(exist_ok=True)
    return abandoned


def _take_weights(setup: Setup, path: Path, key: str | None, say: Callable[[str], None]) -> None:
    """Starts from the weights of another run: its averaged generator, and each critic that has the same name."""
    state = read_weights(box.find(path), key)
    if "note" in state:
        say(state["note"])
    complaint = f"--init-from {path}: its weights ({{0}} of {state['options']['generator']['type']}) do not fit {{1}}"
    setup.loaders.record.start_from(state, path)
    generator = setup.parts.generator
    checkpoint.fill(generator, checkpoint.weights_of(state), complaint.format("generator", type(generator).__name__))
    for name, critic in setup.parts.critics.items():
        if name in state["critics"]:
            checkpoint.fill(critic, state["critics"][name], complaint.format(f"critic {name!r}", type(critic).__name__))
