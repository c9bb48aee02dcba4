"""TensorBoard's record of a run that may go back to an earlier checkpoint."""

from __future__ import annotations

from mmengine.visualization import TensorboardVisBackend


class TensorboardFrom(TensorboardVisBackend):
    """MMEngine's backend, which also has TensorBoard forget what an earlier process recorded of later iterations.

    Args:
        save_dir: The folder of the event files.
        iteration: Where the run stands.
    """

    def __init__(self, save_dir: str, iteration: int) -> None:
        super().__init__(save_dir)
        self.iteration = iteration

    def _init_env(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        purge_step = self.iteration + 1 if self.iteration else None
        self._tensorboard = SummaryWriter(self._save_dir, purge_step=purge_step)
