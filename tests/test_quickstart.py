"""What the quickstart plans; tests/test_wheel.py runs it with --slow."""

from __future__ import annotations

import pytest

from deblurkit import load_options
from deblurkit.quickstart import OPTIONS, Speed, plan


@pytest.mark.parametrize("minutes", [2.0, 6.0, 60.0])
@pytest.mark.parametrize("speed", [Speed(0.15, 6.0), Speed(0.6, 20.0), Speed(0.002, 0.3)])
def test_the_plan_fits_into_the_time_and_uses_it(speed: Speed, minutes: float) -> None:
    planned = plan(speed, 60 * minutes)
    assert planned.seconds <= 60 * minutes
    assert planned.seconds + speed.iteration > 0.89 * 60 * minutes
    assert planned.validations == (2 if speed.scoring < 3 * minutes else 1)


def test_a_machine_that_is_too_slow_gets_the_least_and_is_told_how_long_it_takes() -> None:
    planned = plan(Speed(5.0, 60.0), 60.0)
    assert planned.iterations == 10
    assert planned.seconds == 10 * 5 + 2 * 60 + 20


@pytest.mark.parametrize("iterations", [10, 51, 3200])
def test_its_changes_are_options(iterations: int) -> None:
    planned = plan(Speed(1.0, 0.0), (iterations + 20.5) / 0.9)
    options = load_options(OPTIONS, planned.overrides())
    assert options.train.iters == iterations
    assert options.train.ema is not None
    assert options.train.ema.warmup, "else a short run's average would mostly hold the random start"
    assert 0 < options.train.checkpoint_every <= iterations
    assert 0 < options.val.every <= iterations
