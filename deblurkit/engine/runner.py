"""MMEngine's Runner with our work dir, our checkpoints and no process-wide leftovers."""

from __future__ import annotations

import logging
import os
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from rich.console import Console
from rich.logging import RichHandler
from torch import nn

from deblurkit import checkpoint
from deblurkit.engine import state as training_state
from deblurkit.engine.guard import NonFiniteError
from deblurkit.engine.workdir import WorkDir
from deblurkit.errors import UserError

if TYPE_CHECKING:
    from deblurkit.options.schema import Options


class TrainingRunner(Runner):
    """Trains a restorer in a work dir.

    Args:
        options: What is trained; written into every checkpoint.
        folder: The work dir, held by this process.
        device: Where the networks live.
        console: Where the log is shown.
        resume: A state to take up, and the file it comes from.
        arguments: MMEngine's own, from the engine and from the option file's ``engine`` section.

    Attributes:
        best: ``psnr`` and ``iteration`` of the best validation so far; empty before the first.
    """

    def __init__(
        self,
        *,
        options: Options,
        folder: WorkDir,
        device: torch.device,
        console: Console,
        resume: tuple[Path, dict[str, Any]] | None,
        arguments: dict[str, Any],
    ) -> None:
        self.options = options
        self.folder = folder
        self.device = device
        self.console = console
        self.best: dict[str, float] = {}
        self._taken_up = resume
        super().__init__(
            work_dir=str(folder.path),
            experiment_name=f"{options.name}_{uuid.uuid4().hex}",  # MMEngine keeps one logger a name and process
            default_scope=None,
            **arguments,
        )

    @property
    def restorer(self) -> Any:
        """The restorer that is trained."""
        return self.model

    # MMEngine's own ask an abstract class for isinstance at each of the hooks' many calls, a microsecond each.
    @property
    def iter(self) -> int:
        """Iterations done; 0 before the loop is built."""
        return getattr(self._train_loop, "iter", 0)

    @property
    def max_iters(self) -> int:
        """Iterations of the whole run; 0 before the loop is built."""
        return getattr(self._train_loop, "max_iters", 0)

    def setup_env(self, env_cfg: dict[str, Any]) -> None:
        """Set up the process as MMEngine does."""
        super().setup_env(env_cfg)
        self._timestamp = ""  # MMEngine's timestamped folder becomes the work dir itself

    def build_logger(  # type: ignore[override] # MMEngine passes no more than these
        self, log_level: int | str = "INFO", log_file: str | None = None
    ) -> MMLogger:
        """Return a logger into ``log.txt`` and onto the console: plain lines, or above a progress bar."""
        logger = MMLogger(self._experiment_name, log_level=log_level)
        logger.handlers.clear()
        handlers: list[logging.Handler] = []
        if is_main_process():
            terminal = self.console.is_terminal
            handlers = [
                logging.FileHandler(log_file or self.folder.log, mode="a", encoding="utf-8"),
                RichHandler(console=self.console, show_path=False, show_level=False, highlighter=None)
                if terminal
                else logging.StreamHandler(sys.stdout),
            ]
            plain = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")
            for handler in handlers:
                handler.setFormatter(logging.Formatter("%(message)s") if isinstance(handler, RichHandler) else plain)
                handler.setLevel(log_level)
        for handler in handlers or [logging.NullHandler()]:
            logger.addHandler(handler)
        return logger

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        where = (
            torch.cuda.get_device_name(self.device)
            if self.device.type == "cuda"
            else f"{torch.get_num_threads()} threads"
        )
        self.logger.info(
            f"{self.options.name} in {self.folder.path} | torch {torch.__version__} on {self.device} ({where}), "
            f"{self.world_size} process(es), seed {self.options.seed}, precision {self.options.train.precision}"
        )

    def get_hooks_info(self) -> str:
        """Return the hooks' names in one line."""
        return ", ".join(type(hook).__name__ for hook in self.hooks)

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: nn.Module) -> nn.Module:
        """Leave the model as it is: the engine has placed it, and its networks are wrapped one by one."""
        return model

    def _init_model_weights(self) -> None:
        """Do nothing: networks come with their papers' initialisation."""

    def dump_config(self) -> None:
        """Do nothing: the expanded options are in ``options.yml``."""

    def load_or_resume(self) -> None:
        """Take up the state given at construction; drop the records of what comes after it."""
        if self._taken_up is not None:
            path, saved = self._taken_up
            self._taken_up = None
            training_state.apply(self, saved, str(path))
            self.train_loop.iter = saved["position"]["iteration"]
            self.logger.info(f"resumed {path.name} at iteration {self.iter}")
        if is_main_process():
            self.folder.cut_scalars(self.iter)

    def train(self) -> nn.Module:
        """Train to the end, giving signals and the console back however it ends."""
        try:
            return super().train()
        finally:
            self.call_hook("after_stop")

    def record(self, values: dict[str, Any], clock: dict[str, Any]) -> None:
        """Give a record to the hooks that keep them; ``clock`` holds the wall-clock keys."""
        self.call_hook("on_record", record={**values, **clock})

    def capture(self) -> dict[str, Any]:
        """Return the whole state, having made sure that it is worth keeping; collective."""
        networks = self.restorer.networks()
        if self.restorer.ema is not None:
            networks["the averaged generator"] = self.restorer.ema
        self.restorer.guard.check_weights(self.iter, networks.items())
        return training_state.capture(self)

    def write(self, state: dict[str, Any], path: Path) -> None:
        """Write a state, the log's records before it.

        Raises:
            UserError: The disk refuses it.
        """
        self.call_hook("on_save")
        try:
            path.parent.mkdir(exist_ok=True)
            checkpoint.save(state, path)
        except OSError as error:
            raise UserError(f"{path}: the checkpoint cannot be written: {os.strerror(error.errno or 0)}") from None

    def save(self, keep: int) -> None:
        """Write the checkpoint of the present iteration, point ``last`` at it, remove the oldest; collective."""
        state = self.capture()
        if is_main_process():
            path = self.folder.iteration_file(self.iter)
            self.write(state, path)
            self.folder.point_last(path)
            self.folder.prune(keep, path)

    def non_finite(self, problem: str) -> NonFiniteError:
        """Return the error of a value that is not finite, with the iteration."""
        return NonFiniteError(f"iteration {self.iter}: {problem}")
