"""The first minutes with deblurkit: the sample set, a small GAN trained on it, and a report on unseen photographs."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deblurkit.errors import UserError

if TYPE_CHECKING:
    from deblurkit.options.schema import Options

OPTIONS = "quickstart"
"""The shipped option file that is trained."""

_WARM_UP, _MEASURED = 3, 8.0  # iterations, seconds
_LEAST = 10  # iterations: fewer are no training
_SHARE = 0.9  # of the time that is left is planned for: a machine is seldom as quick for minutes as for seconds
_REPORT = 20.0  # seconds for curves, pictures and the page, generous on two slow cores


@dataclass(frozen=True)
class Speed:
    """Seconds here of one iteration, data included, and of restoring and scoring the whole test set."""

    iteration: float
    scoring: float


@dataclass(frozen=True)
class Plan:
    """A training that fits into a time."""

    iterations: int
    validations: int
    seconds: float
    """Time that the training, the test and the report take."""

    def overrides(self) -> list[str]:
        """Returns the changes that make the option file this training."""
        return [
            f"train.iters={self.iterations}",
            f"train.checkpoint_every={math.ceil(self.iterations / 4)}",
            f"val.every={math.ceil(self.iterations / self.validations)}",
            f"logging.every={min(100, math.ceil(self.iterations / 10))}",
        ]


def plan(speed: Speed, seconds: float) -> Plan:
    """Chooses the longest training that fits into so many seconds with its test and report; 10 iterations at least."""
    validations = 2 if speed.scoring < seconds / 20 else 1  # where they are cheap, the curve gets a second point
    fixed = (validations + 1) * speed.scoring + _REPORT
    iterations = max(_LEAST, int((_SHARE * seconds - fixed) / speed.iteration))
    return Plan(iterations, validations, iterations * speed.iteration + fixed)


def quickstart(
    minutes: float, work_dir: Path | None, device: str | None, overwrite: bool, say: Callable[[str], None]
) -> Path:
    """Trains on the sample set for as long as fits into ``minutes`` from now on, tests, and writes the report.

    A folder (by default ``work_dirs/quickstart``) that holds a quickstart already is gone on with, unless it is to be
    overwritten; a finished one is tested again. ``say`` is told what happens next. Returns the report's page.

    Raises:
        UserError: The folder holds something else; or training or testing cannot be done.
    """
    started = time.monotonic()
    from deblurkit.engine.train import train
    from deblurkit.evaluation.evaluate import evaluate
    from deblurkit.options.load import load_options

    folder = work_dir or Path("work_dirs") / OPTIONS
    earlier = folder / "options.yml"
    if earlier.is_file() and not overwrite:
        options = load_options(earlier)
        if options.name != OPTIONS:
            other = f"holds the experiment {options.name!r}, not a quickstart"
            raise UserError(f"{folder}: {other}: name another --work-dir")
        say(f"{folder} holds a quickstart of {options.train.iters} iterations: going on with it")
        train(options, folder, resume=True, device=device)
    else:
        say("measuring how fast this machine trains")
        speed = measure(load_options(OPTIONS), device)
        left = 60 * minutes - (time.monotonic() - started)
        planned = plan(speed, left)
        options = load_options(OPTIONS, planned.overrides())
        late = "" if planned.seconds <= left else f", more than the {minutes:g} asked for: it cannot be less"
        say(
            f"one iteration takes {1000 * speed.iteration:.0f} ms here: {planned.iterations} iterations, a test and a "
            f"report take about {planned.seconds / 60:.1f} minutes{late}"
        )
        train(options, folder, overwrite=overwrite, device=device)
    say("scoring photographs that it has never seen")
    evaluate(options, work_dir=folder, device=device)
    return folder / "report" / "report.html"


def measure(options: Options, device: str | None) -> Speed:
    """Runs the first iterations of a training for a few seconds, and restores one image; writes nothing."""
    import torch

    from deblurkit.engine.build import Setup
    from deblurkit.engine.position import Position
    from deblurkit.engine.processes import start_processes

    setup = Setup(options, start_processes("none", device))
    loader = iter(setup.loaders(Position()))
    batches = setup.restorer.critic_batches + setup.restorer.generator_batches
    taken: list[float] = []
    begun = time.monotonic()
    while len(taken) < 2 * _WARM_UP or time.monotonic() - begun < _MEASURED:
        start = time.monotonic()
        scalars = setup.restorer.train_step([next(loader) for _ in range(batches)], optim_wrapper=setup.optimizers)
        [float(value) for value in scalars.values()]  # a GPU is done once its numbers can be read
        taken.append(time.monotonic() - start)
    (test_set,) = setup.val_sets.values()
    image = torch.zeros(1, 3, *test_set.size(0), device=setup.device)  # type: ignore[attr-defined] # SamplePairs
    start = time.monotonic()
    with torch.inference_mode():
        setup.restorer.generator.eval()(image).sum().item()
    # The option file's x8, and a quarter more for what else a score takes.
    scoring = 1.25 * 8 * len(test_set) * (time.monotonic() - start)
    return Speed(statistics.median(taken[_WARM_UP:]), scoring)
