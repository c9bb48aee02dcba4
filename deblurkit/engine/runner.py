"""MMEngine's Runner with our work dir, our checkpoints and no process-wide leftovers."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import traceback
import uuid
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from mmengine.dist import get_rank, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from rich.console import Console
from rich.logging import RichHandler
from torch import nn

from deblurkit import checkpoint
from deblurkit.allocator import keeping_freed_memory
from deblurkit.engine import state as training_state
from deblurkit.engine.work_dir import WorkDir
from deblurkit.errors import UserError, said_by_system
from deblurkit.files import saying

if TYPE_CHECKING:
    from deblurkit.contracts import Restorer
    from deblurkit.engine.optim import Validation
    from deblurkit.engine.resume import Resumption
    from deblurkit.options.schema import Options

_FILE_ONLY = "file_only"  # attribute of a log record that the console, which shows the same otherwise, leaves out


class Interrupted(SystemExit):
    """The run was stopped by a signal, after a checkpoint was written; exit code 128 + the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)


@runtime_checkable
class Releases(Protocol):
    """A hook that gives something back when a run ends, however it ends."""

    def after_stop(self, runner: TrainingRunner) -> None:
        """Gives back what the hook took."""


class TrainingRunner(Runner):
    """Trains a restorer in a work dir.

    Args:
        options: What is trained; written into every checkpoint.
        folder: The work dir, held by this process.
        resumption: Where the networks and optimizers stand, if not at the beginning.
        arguments: MMEngine's own, from the engine and from the option file's ``engine`` section.

    Attributes:
        best: ``psnr`` and ``iteration`` of the best validation so far; empty before the first.
        validation_due: Whether the validation of the present iteration is still to be done.
        validations: The scores of every validation so far, each with the epochs that were complete.
        average_began: The iteration at which the averaged generator, if there is one, was the generator itself.
    """

    def __init__(
        self,
        *,
        options: Options,
        folder: WorkDir,
        device: torch.device,
        console: Console,
        resumption: Resumption | None,
        arguments: dict[str, Any],
    ) -> None:
        self.options = options
        self.folder = folder
        self.device = device
        self.console = console
        self.best: dict[str, float] = {}
        self.validation_due = False
        self.validations: list[Validation] = []
        self.average_began = 0
        self._resumption = resumption
        self._saved: tuple[int, bool] | None = None
        self._callees: dict[str, list[Hook]] = {}
        super().__init__(
            work_dir=str(folder.path),
            experiment_name=f"{options.name}_{uuid.uuid4().hex}",  # MMEngine keeps one logger a name and process
            default_scope=None,
            **arguments,
        )

    @property
    def restorer(self) -> Restorer:
        """The restorer that is trained."""
        return self.model

    # MMEngine's own ask an abstract class for isinstance at each of the hooks' many calls, a microsecond each. The loop
    # is a dict until it is built.
    @property
    def iter(self) -> int:
        """Iterations done; 0 before the loop is built."""
        return 0 if isinstance(self._train_loop, dict) else self._train_loop.iter

    @property
    def max_iters(self) -> int:
        """Iterations of the whole run; 0 before the loop is built."""
        return 0 if isinstance(self._train_loop, dict) else self._train_loop.max_iters

    def register_hook(self, hook: Hook | dict[str, Any], priority: str | int | None = None) -> None:  # type: ignore[override]
        """Registers a hook as MMEngine does."""
        super().register_hook(hook, priority)
        self._callees.clear()

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """Calls a method of every hook, but of those in which it does nothing: three times an iteration that tells."""
        if fn_name not in self._callees:
            self._callees[fn_name] = [hook for hook in self.hooks if _does_something(hook, fn_name)]
        for hook in self._callees[fn_name]:
            try:
                getattr(hook, fn_name)(self, **kwargs)
            except TypeError as error:
                raise TypeError(f"{error} in {type(hook).__name__}") from error

    def setup_env(self, env_cfg: dict[str, Any]) -> None:
        """Sets up the process as MMEngine does."""
        super().setup_env(env_cfg)
        self._timestamp = ""  # MMEngine's timestamped folder becomes the work dir itself

    def build_logger(self, log_level: int | str = "INFO") -> MMLogger:  # type: ignore[override] # all that is passed
        """Returns a logger into ``log.txt`` and onto the console: plain lines, or above a progress bar."""
        logger = MMLogger(self._experiment_name, log_level=log_level)
        logger.handlers.clear()
        if not is_main_process():
            logger.addHandler(logging.NullHandler())  # without any, warnings would go to stderr
            return logger
        with saying(f"{self.folder.log}: cannot be written"):
            file = _LogFile(self.folder.log, mode="a", encoding="utf-8")
        shown: logging.Handler = logging.StreamHandler(sys.stdout)
        plain = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")
        file.setFormatter(plain)
        shown.setFormatter(plain)
        if self.console.is_terminal:  # Rich writes above a progress bar, and shows the time in a column of its own
            shown = RichHandler(console=self.console, show_path=False, show_level=False, highlighter=None)
            shown.setFormatter(logging.Formatter("%(message)s"))
        shown.addFilter(lambda record: _FILE_ONLY not in vars(record))
        for handler in (file, shown):
            handler.setLevel(log_level)
            logger.addHandler(handler)
        return logger

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        where = f"{torch.get_num_threads()} threads"
        if self.device.type == "cuda":
            where = torch.cuda.get_device_name(self.device)
        self.logger.info(
            f"{self.options.name} in {self.folder.path} | torch {torch.__version__} on {self.device} ({where}), "
            f"{self.world_size} process(es), seed {self.options.seed}, precision {self.options.train.precision}"
        )

    def get_hooks_info(self) -> str:
        """Returns the hooks' names in one line."""
        return ", ".join(type(hook).__name__ for hook in self.hooks)

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: nn.Module) -> nn.Module:
        """Leaves the model as it is: the engine has placed it, and its networks are wrapped one by one."""
        return model

    def _init_model_weights(self) -> None:
        """Does nothing: networks come with their papers' initialisation."""

    def dump_config(self) -> None:
        """Does nothing: the expanded options are in ``options.yml``."""

    def load_or_resume(self) -> None:
        """Goes on where the networks and optimizers stand."""
        resumption, self._resumption = self._resumption, None
        if resumption is None:
            return
        self.train_loop.take_up(resumption.position)
        self.best = resumption.best
        self.validation_due = resumption.validation_due
        self.validations = resumption.validations
        self.average_began = resumption.average_began
        own = resumption.found.state["rng"][get_rank() : get_rank() + 1]
        if own:  # a process that the checkpoint does not know keeps the stream that it began with
            training_state.set_random_state(own[0])
        self.logger.info(f"resumed {resumption.found.path.name} at iteration {self.iter}")
        for line in resumption.lines:
            self.logger.info(line)

    def train(self) -> nn.Module:
        """Trains to the end, giving signals and the console back however it ends; the log says why it did."""
        why = "ended: all iterations are done"
        kept = keeping_freed_memory() if self.device.type == "cpu" else contextlib.nullcontext()
        try:
            with kept:
                model = super().train()
            if self.iter < self.max_iters:
                why = f"ended: a hook stopped it at iteration {self.iter} of {self.max_iters}"
            return model
        except BaseException as error:
            why = f"ended at iteration {self.iter}: {_reason(error)}"
            raise
        finally:
            self.logger.info(why, extra={_FILE_ONLY: True})
            for hook in self.hooks:
                try:  # one that fails keeps none of the others from giving back what it took
                    if isinstance(hook, Releases):
                        hook.after_stop(self)
                except Exception as error:
                    self.logger.warning(f"{type(hook).__name__} could not clean up: {error}")

    def close(self) -> None:
        """Closes the log."""
        for handler in self.logger.handlers:
            with contextlib.suppress(OSError):  # of a full disk, which the log has told already
                handler.close()

    def record(self, values: dict[str, Any], clock: dict[str, Any]) -> None:
        """Gives a record to the hooks that keep them; ``clock`` holds the wall-clock keys."""
        self.call_hook("on_record", record={**values, **clock})

    def state_dict(self) -> dict[str, Any]:
        """Returns the checkpoint's sections on the validations and the average."""
        return {
            **({"average_began": self.average_began} if self.average_began else {}),  # 0 where it is absent
            "validation_due": self.validation_due,
            "validations": [[epoch, dict(scores)] for epoch, scores in self.validations],
            "best": dict(self.best),
        }

    def save(self, best: bool = False) -> None:
        """Writes the checkpoint of the present iteration, points ``last`` at it, removes the oldest; collective.

        The ``best`` is written as ``best_psnr.pth``, too.

        Raises:
            NonFiniteError: A weight is not finite; nothing is written.
            UserError: The disk refuses it.
        """
        networks = self.restorer.networks()
        if self.restorer.ema is not None:
            networks["the averaged generator"] = self.restorer.ema
        self.restorer.guard.check_weights(self.iter, networks.items())
        state = training_state.capture(self)  # in every process: each has random streams and pools of its own
        if is_main_process():
            path = self.folder.iteration_file(self.iter)
            files = [path]
            if best:  # before the state that says so: a process that is killed in between validates once more
                files.insert(0, self.folder.best)
            for file in files:
                self.call_hook("on_save")  # the log's records reach the disk before a state that stands behind them
                with saying(f"{file}: cannot be written"):
                    file.parent.mkdir(exist_ok=True)
                    checkpoint.save(state, file)
            with saying(f"{self.folder.last}: cannot be written"):
                self.folder.point_last(path)
            with saying(f"{self.folder.checkpoints}: cannot be written"):
                train = self.options.train
                self.folder.prune(train.keep, train.checkpoint_every, self.options.val.every)
        self._saved = (self.iter, self.validation_due)

    @property
    def saved(self) -> bool:
        """Whether the present state is in a checkpoint already."""
        return self._saved == (self.iter, self.validation_due)


class _LogFile(logging.FileHandler):
    """The log's file; one that takes no more lines, on a full disk, ends no run."""

    complained = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the standard library's name)
        """Says once what is wrong."""
        if not self.complained:
            self.complained = True
            print(f"{self.baseFilename}: cannot be written: {sys.exc_info()[1]}", file=sys.stderr)  # noqa: T201


def _does_something(hook: Hook, name: str) -> bool:
    """Tells whether a hook's method does anything: those that it has from MMEngine call one of four, or do nothing."""
    if not hasattr(hook, name):
        return False
    methods = name, "_before_epoch", "_after_epoch", "_before_iter", "_after_iter"
    return any(getattr(getattr(hook, each), "__func__", None) is not getattr(Hook, each, None) for each in methods)


def _reason(error: BaseException) -> str:
    """Returns why a run ended in the words of its log."""
    if isinstance(error, UserError):
        return "; ".join(error.problems)
    if isinstance(error, Interrupted):
        return f"stopped by {error.signal.name}"
    refused = said_by_system(error)
    if refused is not None:
        return refused
    return "".join(traceback.format_exception(error)).rstrip()
