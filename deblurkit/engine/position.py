"""Where a run stands, how long it is, and how both fit when an epoch has become longer or shorter."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from deblurkit.checkpoint import CheckpointError


@dataclass(frozen=True)
class Position:
    """The state of the three counters of a run.

    Attributes:
        iteration: Updates of the generator done since the run's beginning.
        epoch: Epochs that are complete.
        into_epoch: Iterations of the present epoch that are done.
    """

    iteration: int = 0
    epoch: int = 0
    into_epoch: int = 0


@dataclass(frozen=True)
class Length:
    """How long a run and one of its epochs are.

    Attributes:
        epoch: Iterations in one epoch.
        epochs: The epochs after which the run ends, if any number is set.
        iters: The iterations after which it ends, if any number is set; the earlier end counts.
    """

    epoch: int
    epochs: int | None
    iters: int | None

    def end(self, position: Position) -> int:
        """Returns the iteration at which a run that stands at ``position`` ends."""
        ends = [] if self.iters is None else [self.iters]
        if self.epochs is not None:
            left = (self.epochs - position.epoch) * self.epoch - position.into_epoch
            ends.append(position.iteration + left)
        return min(ends)

    def finished(self, position: Position) -> bool:
        """Tells whether a run that stands at ``position`` has nothing left to do."""
        return position.iteration >= self.end(position)

    def after(self, position: Position) -> Position:
        """Returns the position one iteration later."""
        into = position.into_epoch + 1
        if into == self.epoch:
            return Position(position.iteration + 1, position.epoch + 1, 0)
        return Position(position.iteration + 1, position.epoch, into)

    def record(self, position: Position) -> dict[str, int | str]:
        """Returns what a checkpoint says of a position; in older ones an epoch was a pass of critics and generator."""
        return {**asdict(position), "epoch_length": self.epoch, "epoch_of": "generator"}

    def taken_up(self, saved: dict[str, Any], where: str) -> Position:
        """Returns the position of a checkpoint in epochs of this length.

        Complete epochs stay complete, and of the one that was begun the same share is done: with another batch size or
        number of processes the run goes on with the images that it has not seen, except a few at the seam. The number
        of iterations goes on as it was.

        ``saved`` is what :meth:`record` returned, or an older checkpoint's ``iteration`` and ``epoch``.

        Raises:
            CheckpointError: An older checkpoint does not say how far into its epoch it is, and this cannot be told.
        """
        iteration, epoch = saved["iteration"], saved["epoch"]
        if "into_epoch" in saved:
            return Position(iteration, epoch, saved["into_epoch"] * self.epoch // saved["epoch_length"])
        if iteration // self.epoch == epoch:
            return Position(iteration, epoch, iteration % self.epoch)
        raise CheckpointError(
            f"{where}: written by an older version after {iteration} iterations and {epoch} whole epochs, which "
            f"fits no epochs of {self.epoch} iterations; resume it with its own batch_size, accumulate and number of "
            "processes, or take its weights alone with --init-from"
        )
