from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from deblurkit.data.prefetch import DeviceBatches
from deblurkit.errors import UserError


class Loader:
    """Counts to ``fails_at``, then finds a bad file; says whether it was closed."""

    def __init__(self, fails_at: int = 100, pin: bool = False) -> None:
        self.fails_at, self.pin = fails_at, pin
        self.closed = False

    def __iter__(self) -> Iterator[dict[str, Any]]:
        try:
            for number in range(self.fails_at):
                image = torch.full((2, 3, 64, 64), float(number))
                image = image.pin_memory() if self.pin else image
                yield {"blurred": image, "drawn": {"factor": image[:, 0, 0, 0] + 1}, "key": [str(number)] * 2}
            raise UserError("bad.png: it cannot be read")
        finally:
            self.closed = True


def _finish(batch: dict[str, Any]) -> dict[str, Any]:
    assert batch["drawn"]["factor"].device == batch["blurred"].device
    return {"blurred": batch["blurred"] * batch["drawn"]["factor"].view(-1, 1, 1, 1), "key": batch["key"]}


DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.cuda),
]


@pytest.mark.parametrize("device", DEVICES)
def test_every_batch_comes_finished_and_in_order(device: str) -> None:
    batches = iter(DeviceBatches(Loader(8, pin=device == "cuda"), torch.device(device), _finish))
    for number in range(8):
        batch = next(batches)
        assert batch["key"] == [str(number)] * 2
        assert batch["blurred"].device.type == device
        assert bool((batch["blurred"] == number * (number + 1)).all())
        torch.rand(1 << 20, device=device).sort()  # something that takes time, and memory that is free again
    with pytest.raises(UserError, match=r"bad\.png"):
        next(batches)


@pytest.mark.parametrize("device", DEVICES)
def test_closing_closes_the_loader(device: str) -> None:
    loader = Loader()
    batches: Any = iter(DeviceBatches(loader, torch.device(device)))
    assert next(batches)["drawn"]["factor"].tolist() == [1, 1]
    assert not loader.closed
    batches.close()
    assert loader.closed


@pytest.mark.cuda
def test_memory_is_not_reused_while_it_is_read() -> None:
    """The reader is slow, the copies are fast: without record_stream later batches would overwrite this one."""
    device = torch.device("cuda")
    batches = iter(DeviceBatches(Loader(60, pin=True), device))
    sums = []
    for batch in (next(batches) for _ in range(50)):
        torch.cuda._sleep(5_000_000)
        sums.append(batch["blurred"].mean())
        del batch
    assert [round(value.item()) for value in sums] == list(range(50))
