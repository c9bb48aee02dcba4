"""The cost of the framework itself in an iteration: deblurkit's loop, a bare PyTorch loop and basicsr's.

All three train the same networks of almost no compute (1x1 convolutions on 8x8 images) with L1 and least-squares GAN
terms, Adam for both networks, an averaged generator and a log line every 100 iterations, in one process and on one
thread. The rounds are interleaved: a hook inside deblurkit's own run stops its clock and lets the others run a round.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any, ClassVar

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from ready_loaders import ReadyLoaders
from records import Ratio, section
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from deblurkit import cli
from deblurkit.compat import import_basicsr
from deblurkit.engine.build import Setup
from deblurkit.engine.work_dir import WorkDir
from deblurkit.options.load import load_options
from deblurkit.registry import ARCHS, DATASETS, DISCRIMINATORS

BATCH, SIDE, IMAGES, LOG_EVERY, DECAY, LR = 4, 8, 64, 100, 0.999, 1e-4
FACTOR, MILLISECONDS = 2.0, 0.6  # the claim: at most twice the bare loop plus 0.6 ms

OPTIONS = f"""
name: framework_cost
generator: {{type: Pointwise}}
discriminators: {{critic: {{type: PointwiseCritic}}}}
losses:
  image: {{type: L1Loss}}
  adversarial: {{type: AdversarialLoss, mode: lsgan, critic: critic, weight: 0.01}}
optimizers:
  generator: {{type: Adam, lr: {LR}}}
  discriminators: {{type: Adam, lr: {LR}}}
schedulers: [{{type: MultiStepLR, milestones: [1000000]}}]
datasets: {{train: {{type: InMemory, batch_size: {BATCH}}}}}
train: {{iters: 1, ema: {{decay: {DECAY}}}, checkpoint_every: 1000000}}
logging: {{every: {LOG_EVERY}, tensorboard: false}}
hooks: [{{type: RoundsHook}}]
"""

Endless = Callable[[], Iterator[dict[str, Any]]]


def _pointwise(out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.ReLU(), nn.Conv2d(8, out_channels, 1))


@ARCHS.register_module()
class Pointwise(nn.Module):
    """``blurred`` plus three 1x1 convolutions of it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = _pointwise(3)

    def forward(self, blurred: Tensor) -> Tensor:
        """Restore ``(n, 3, h, w)``."""
        return blurred + self.body(blurred)


@DISCRIMINATORS.register_module()
class PointwiseCritic(nn.Module):
    """Three 1x1 convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.body = _pointwise(1)

    def forward(self, image: Tensor) -> Tensor:
        """Judge ``(n, 3, h, w)``."""
        return self.body(image)


@DATASETS.register_module()
class InMemory:
    """Random pairs, made once."""

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(0)
        self.pairs = torch.rand(IMAGES, 2, 3, SIDE, SIDE, generator=random)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return IMAGES

    def sample(self, index: int, rng: Any) -> dict[str, Any]:
        """Return a pair."""
        return {"blurred": self.pairs[index, 0], "sharp": self.pairs[index, 1], "key": str(index)}

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return a pair as basicsr and the bare loop name it."""
        return {"lq": self.pairs[index, 0], "gt": self.pairs[index, 1]}


def ready_batches(first: str, second: str) -> list[dict[str, Any]]:
    """Return all batches, collated."""
    pairs = InMemory().pairs.split(BATCH)
    return [{first: p[:, 0].contiguous(), second: p[:, 1].contiguous(), "key": ["0"] * BATCH} for p in pairs]


def toward(logits: Tensor, target: float) -> Tensor:
    """Return the mean square distance from a constant target."""
    return functional.mse_loss(logits, torch.full_like(logits, target))


class Bare:
    """The same training as a script would write it."""

    def __init__(self, batches: Iterator[dict[str, Any]]) -> None:
        self.batches = batches
        self.generator, self.critic, self.average = Pointwise(), PointwiseCritic(), Pointwise()
        self.average.load_state_dict(self.generator.state_dict())
        self.optimizers = [torch.optim.Adam(net.parameters(), lr=LR) for net in (self.generator, self.critic)]
        self.done = 0

    def run(self, iterations: int) -> None:
        """Train on."""
        for _ in range(iterations):
            loss = self._step(next(self.batches))
            self.done += 1
            if self.done % LOG_EVERY == 0:
                logging.getLogger("bare").info("%d %.4f", self.done, loss.item())

    def _step(self, batch: dict[str, Any]) -> Tensor:
        of_generator, of_critic = self.optimizers
        image = self.generator(batch["lq"])
        of_critic.zero_grad()
        real, fake = self.critic(batch["gt"]), self.critic(image.detach())
        (0.5 * toward(real, 1.0) + 0.5 * toward(fake, 0.0)).backward()
        of_critic.step()
        of_generator.zero_grad()
        self.critic.requires_grad_(False)
        loss = functional.l1_loss(image, batch["gt"]) + 0.01 * 0.5 * toward(self.critic(image), 1.0)
        loss.backward()
        self.critic.requires_grad_(True)
        of_generator.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.generator.parameters()), 1 - DECAY)
        return loss.detach()


class Basicsr:
    """basicsr's SRGANModel in the loop of its ``train_pipeline``."""

    def __init__(self, batches: Callable[[dict[str, Any]], Iterator[dict[str, Any]]]) -> None:
        import_basicsr()
        from basicsr.models import build_model
        from basicsr.utils import AvgTimer, MessageLogger
        from basicsr.utils.registry import ARCH_REGISTRY

        for network in (Pointwise, PointwiseCritic):
            ARCH_REGISTRY.register(network)
        adam = {"type": "Adam", "lr": LR}
        self.options: dict[str, Any] = {
            "name": "cost", "model_type": "SRGANModel", "num_gpu": 0, "dist": False, "rank": 0, "world_size": 1,
            "is_train": True, "scale": 1, "manual_seed": 0, "path": {},
            "network_g": {"type": "Pointwise"}, "network_d": {"type": "PointwiseCritic"},
            "logger": {"print_freq": LOG_EVERY, "use_tb_logger": False},
            "train": {
                "ema_decay": DECAY, "optim_g": dict(adam), "optim_d": dict(adam), "total_iter": 10**9,
                "scheduler": {"type": "MultiStepLR", "milestones": [10**6], "gamma": 0.5},
                "pixel_opt": {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"},
                "gan_opt": {"type": "GANLoss", "gan_type": "lsgan", "loss_weight": 0.01},
            },
        }  # fmt: skip
        logging.getLogger("basicsr").setLevel(logging.INFO)
        self.model = build_model(self.options)
        self.message = MessageLogger(self.options, 0, None)
        self.timers = AvgTimer(), AvgTimer()
        self.batches = batches(self.options)
        self.done = 0

    def run(self, iterations: int) -> None:
        """Train on, as ``train_pipeline`` does."""
        data_timer, iter_timer = self.timers
        for timer in self.timers:
            timer.start()
        for _ in range(iterations):
            batch = next(self.batches)
            data_timer.record()
            self.done += 1
            self.model.update_learning_rate(self.done, warmup_iter=-1)
            self.model.feed_data(batch)
            self.model.optimize_parameters(self.done)
            iter_timer.record()
            if self.done == 1:
                self.message.reset_start_time()
            if self.done % LOG_EVERY == 0:
                log = {"epoch": 0, "iter": self.done, "lrs": self.model.get_current_learning_rate()}
                log.update({"time": iter_timer.get_avg_time(), "data_time": data_timer.get_avg_time()})
                log.update(self.model.get_current_log())
                self.message(log)
            data_timer.start()
            iter_timer.start()


def endless(loader: DataLoader[Any]) -> Iterator[dict[str, Any]]:
    """Yield a plain loader's batches, epoch after epoch."""
    while True:
        yield from loader


def prefetched(options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield basicsr's batches as its pipeline draws them."""
    from basicsr.data import build_dataloader
    from basicsr.data.data_sampler import EnlargedSampler
    from basicsr.data.prefetch_dataloader import CPUPrefetcher

    section = {"phase": "train", "num_worker_per_gpu": 0, "batch_size_per_gpu": BATCH}
    sampler = EnlargedSampler(InMemory(), 1, 0, 1)
    prefetcher = CPUPrefetcher(build_dataloader(InMemory(), section, num_gpu=1, sampler=sampler, seed=0))
    while True:
        batch = prefetcher.next()
        if batch is None:
            prefetcher.reset()
            batch = prefetcher.next()
        yield batch


class Rounds:
    """The measurements, and who else runs."""

    rivals: ClassVar[dict[str, Bare | Basicsr]] = {}
    length: ClassVar[int] = 0
    milliseconds: ClassVar[dict[str, list[float]]] = {}


@HOOKS.register_module()
class RoundsHook(Hook):
    """After each round of deblurkit's iterations: the same number of each rival's."""

    priority = "LOWEST"

    def before_train(self, runner: Any) -> None:
        """Start the clock."""
        self.since = time.perf_counter()

    def after_iteration(self, runner: Any) -> None:
        """Let the others run at the end of a round."""
        if runner.iter % Rounds.length:
            return
        self._note("deblurkit")
        for name, rival in Rounds.rivals.items():
            self.since = time.perf_counter()
            rival.run(Rounds.length)
            self._note(name)
        self.since = time.perf_counter()

    def _note(self, name: str) -> None:
        milliseconds = 1000 * (time.perf_counter() - self.since) / Rounds.length
        Rounds.milliseconds.setdefault(name, []).append(milliseconds)


def measure(rounds: int, length: int, loaders: bool) -> dict[str, list[float]]:
    """Return milliseconds an iteration of each round; one more round runs first and is dropped."""
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.WARNING)
    bare = endless(DataLoader(InMemory(), BATCH, shuffle=True)) if loaders else cycle(ready_batches("lq", "gt"))
    basicsr = Basicsr(prefetched if loaders else lambda _: cycle(ready_batches("lq", "gt")))
    Rounds.rivals = {"bare": Bare(bare), "basicsr": basicsr}
    Rounds.length, Rounds.milliseconds = length, {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "options.yml"
        file.write_text(OPTIONS, encoding="utf-8")
        options = load_options(file, [f"train.iters={(rounds + 1) * length}"])
        setup = Setup(options, torch.device("cpu"))
        if not loaders:
            setup.loaders = ReadyLoaders(setup, ready_batches("blurred", "sharp"))
        work = WorkDir(Path(folder) / "run")
        work.checkpoints.mkdir(parents=True)
        setup.runner(work, Console(quiet=True), None, "none").train()
    return {name: values[1:] for name, values in Rounds.milliseconds.items()}


def main() -> None:
    """Measure, print, and say whether the claim holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--length", type=int, default=300, help="iterations of a round")
    parser.add_argument("--loaders", action="store_true", help="each loop draws through its own data loader")
    parser.add_argument("--out", metavar="FILE", help="also write the figures as JSON")
    parser.add_argument("--tiny", action="store_true", help="a few iterations; the exit code leaves the claim out")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.rounds, arguments.length = 1, 3
    import_basicsr()  # before anything is measured: without it there is nothing to compare with
    found = measure(arguments.rounds, arguments.length, arguments.loaders)
    median = {name: statistics.median(values) for name, values in found.items()}
    for name, values in found.items():
        spread = f"{min(values):.3f} to {max(values):.3f}"
        ratio, more = median[name] / median["bare"], median[name] - median["bare"]
        print(f"{name:10} {median[name]:.3f} ms an iteration ({spread}), {ratio:.2f} x bare, bare {more:+.3f} ms")
    limit = FACTOR * median["bare"] + MILLISECONDS
    holds = median["deblurkit"] <= limit and median["deblurkit"] < median["basicsr"]
    verdict = "holds" if holds else "FAILS"
    print(f"at most {FACTOR:g} x bare + {MILLISECONDS} ms = {limit:.3f} ms, and below basicsr: {verdict}")
    if arguments.out:
        machine = {"python": platform.python_version(), "torch": torch.__version__, "processor": platform.processor()}
        ratios = [
            Ratio(
                "framework, an iteration of almost no compute: time of a bare loop's",
                median["deblurkit"] / median["bare"],
                None,
                "lower",
            ),
            Ratio(
                "framework, an iteration of almost no compute: time of basicsr's",
                median["deblurkit"] / median["basicsr"],
                1.0,
                "lower",
            ),
        ]
        figures = {
            "ratios": section(ratios),
            "median_ms": median,
            "rounds_ms": found,
            "limit_ms": limit,
            "holds": holds,
            "machine": machine,
        }
        Path(arguments.out).write_text(
            json.dumps({**figures, "loaders": arguments.loaders}, indent=2), encoding="utf-8"
        )
    sys.exit(not holds and not arguments.tiny)


if __name__ == "__main__":
    cli.run(main)
