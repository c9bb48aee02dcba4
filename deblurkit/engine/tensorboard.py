"""TensorBoard's record of a run: it may go back to an earlier checkpoint, and the run does without where it must."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from mmengine.visualization import TensorboardVisBackend
from numpy.typing import NDArray


def why_unusable() -> str | None:
    """Returns why TensorBoard cannot be imported and what helps, in one line; ``None`` where it can."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except Exception as error:  # two packages own its files, and what is left when one goes fails in many ways
        return (
            f"logging.tensorboard: TensorBoard cannot be imported: {' '.join(str(error).split())}; the run goes on "
            "without it; to have it: pip install --force-reinstall tensorboard"
        )
    return None


class TensorboardFrom(TensorboardVisBackend):
    """MMEngine's backend, which also has TensorBoard forget what an earlier process recorded of later iterations.

    Args:
        iteration: Where the run stands.
        say: Told when nothing more is recorded.
    """

    def __init__(self, save_dir: str, iteration: int, say: Callable[[str], None]) -> None:
        super().__init__(save_dir)
        self.iteration = iteration
        self.say = say
        self._missed = False

    def _init_env(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # TensorBoard forgets what is at and after this step; a run from the beginning has nothing to forget.
        purge_step = self.iteration + 1 if self.iteration else None
        self._tensorboard = SummaryWriter(self._save_dir, purge_step=purge_step)
        # A thread of the writer's own writes: what the disk says to it, it prints with a traceback and forgets.
        writer: Any = self._tensorboard.file_writer
        events = writer.event_writer._general_file_writer
        write = events.write

        def written(data: bytes) -> None:
            with self._tolerant():
                write(data)

        events.write = written

    def add_scalars(self, scalar_dict: dict[str, float], step: int = 0, file_path: str | None = None) -> None:
        """Records numbers."""
        with self._tolerant():
            super().add_scalars(scalar_dict, step, file_path)

    def add_image(self, name: str, image: NDArray[np.uint8], step: int = 0) -> None:
        """Records a picture."""
        with self._tolerant():
            super().add_image(name, image, step)

    def close(self) -> None:
        """Closes the file."""
        with self._tolerant():
            super().close()

    @contextmanager
    def _tolerant(self) -> Iterator[None]:
        """Says once what the disk refuses; the run goes on without it."""
        try:
            yield
        except OSError as error:
            if not self._missed:
                self._missed = True
                self.say(f"{self._save_dir}: cannot be written: {error.strerror}; the run goes on without TensorBoard")
