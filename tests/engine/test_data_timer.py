"""The share of time that a training waits for data, as the device sees it."""

from __future__ import annotations

import time

import pytest
import torch

from deblurkit.engine.data_timer import DataClock


def test_on_the_cpu_it_is_the_processs_own_time() -> None:
    clock = DataClock(torch.device("cpu"))
    for _ in range(3):
        clock.start()
        time.sleep(0.02)
        clock.stop()
        time.sleep(0.02)
    assert 0.06 <= clock.seconds < 0.1
    assert clock.seconds == clock.seconds


@pytest.mark.cuda
def test_on_a_gpu_it_is_the_time_that_the_gpu_has_nothing_to_do() -> None:
    device = torch.device("cuda")
    matrix = torch.rand(4096, 4096, device=device)
    clock = DataClock(device)

    def step(waiting: float) -> None:
        for _ in range(20):
            matrix @ matrix
        clock.start()
        time.sleep(waiting)
        clock.stop()

    step(0.0)
    torch.cuda.synchronize()
    before = clock.seconds
    started = time.perf_counter()
    step(0.0)
    torch.cuda.synchronize()
    busy = time.perf_counter() - started
    assert clock.seconds - before < 0.1 * busy
    before = clock.seconds
    step(busy + 0.2)
    assert 0.15 < clock.seconds - before < 0.3
