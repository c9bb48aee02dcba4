"""A progress bar with the time that is left, on a terminal."""

from __future__ import annotations

from mmengine.hooks import Hook
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from deblurkit.engine.runner import TrainingRunner


class ProgressHook(Hook):
    """Shows a bar below the log's lines; the log alone serves where the console is no terminal.

    Args:
        console: The one that the log's handler writes to: two would write over each other.
    """

    priority = "VERY_LOW"

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self.bar = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, refresh_per_second=4)

    def before_train(self, runner: TrainingRunner) -> None:
        """Shows the bar where the run takes up."""
        self.bar.add_task(runner.options.name, total=runner.max_iters, completed=runner.iter)
        self.bar.start()

    def after_iteration(self, runner: TrainingRunner) -> None:
        """Moves the bar."""
        self.bar.update(self.bar.task_ids[0], completed=runner.iter)

    def after_stop(self, runner: TrainingRunner) -> None:
        """Leaves the bar as it stands, however the run ended."""
        self.bar.stop()
