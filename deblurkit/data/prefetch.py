"""Batches brought to the training's device while it still works on the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from deblurkit.errors import UserError

Batch = dict[str, Any]
Finish = Callable[[Batch], Batch]


class DeviceBatches:
    """A loader's batches on a device.

    On a GPU the next batch is copied, and finished, on a stream of its own while the present one is being used. From
    page-locked memory the copy costs the training no time; finishing shares the GPU with it. Elsewhere batches come as
    the loader gives them.

    Args:
        loader: Gives batches whose tensors lie in the host's memory; its iterator is a generator.
        device: Where they are used.
        finish: What the data set left to be done on the device, if anything.
    """

    def __init__(self, loader: Iterable[Batch], device: torch.device, finish: Finish | None = None) -> None:
        self.loader = loader
        self.device = device
        self.finish = finish

    def __iter__(self) -> Iterator[Batch]:
        """Yields batches; closing this generator closes the loader's, and its workers end when nothing holds it.

        A UserError of a sample that could not be made is raised once the batches before it have been given out.
        """
        batches: Any = iter(self.loader)
        try:
            if self.device.type == "cuda":
                yield from self._ahead(batches)
            else:
                yield from map(self._placed, batches)
        finally:
            batches.close()

    def _placed(self, batch: Batch) -> Batch:
        batch = _each_tensor(batch, lambda tensor: tensor.to(self.device, non_blocking=self.device.type == "cuda"))
        return batch if self.finish is None else self.finish(batch)

    def _ahead(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        stream = torch.cuda.Stream(self.device)

        def prepare() -> Batch | UserError | None:
            try:
                batch = next(batches, None)
            except UserError as error:  # the one before it is still to be used
                return error
            if batch is None:
                return None
            with torch.cuda.stream(stream):
                return self._placed(batch)

        def keep(tensor: Tensor) -> None:
            # Its memory belongs to the stream that made it, which must not reuse it while the other one reads it.
            if tensor.is_cuda:
                tensor.record_stream(torch.cuda.current_stream(self.device))

        following = prepare()
        while following is not None:
            if isinstance(following, UserError):
                raise following
            batch = following
            # The training must not read the batch before its copy has ended.
            torch.cuda.current_stream(self.device).wait_stream(stream)
            _each_tensor(batch, keep)
            following = prepare()
            yield batch


def _each_tensor(value: object, function: Callable[[Tensor], Any]) -> Any:
    """Applies ``function`` to every tensor in a dict, at any depth, and leaves all else."""
    if isinstance(value, dict):
        return {name: _each_tensor(item, function) for name, item in value.items()}
    return function(value) if isinstance(value, Tensor) else value
