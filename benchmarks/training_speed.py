"""The speed of training full-size networks: deblurkit beside a bare PyTorch loop that a script would write.

Deblurkit trains once as the shipped option file says and once with ``train.fast: auto``; the bare loop has the same
networks, losses and settings. What differs from the files: crops of 128, NAFNet's batch of 2 in place of 32, random
weights in VGG and the encoder, which cost what others cost, no frozen encoder, and batches that lie ready in memory.

Both take rounds in turn in one process: a hook inside deblurkit's own run stops its clock and lets the bare loop run a
round. A ratio is the median over the rounds, each compared with the bare round behind it. All begin with the same
weights and see the same batches and random numbers, so that their losses can be compared, iteration by iteration.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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

from deblurkit import cli
from deblurkit.allocator import handing_freed_memory_back
from deblurkit.engine.build import Setup
from deblurkit.engine.work_dir import WorkDir
from deblurkit.options.load import load_options
from deblurkit.registry import ARCHS, DATASETS, DISCRIMINATORS, LOSSES

PLAIN, FAST = 1.02, 0.85  # the claims: at most this many times the bare loop's time; FAST for two of the three
IMAGES = 16


@DATASETS.register_module()
class SpeedPairs:
    """Random pairs, made once.

    Args:
        side: Of the images.
    """

    def __init__(self, side: int) -> None:
        random = torch.Generator().manual_seed(0)
        sharp = torch.rand(IMAGES, 3, side // 8, side // 8, generator=random)
        self.sharp = functional.interpolate(sharp, scale_factor=8, mode="bilinear")
        self.blurred = functional.avg_pool2d(self.sharp, 5, 1, 2)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return IMAGES

    def sample(self, index: int, rng: Any) -> dict[str, Any]:
        """Return a pair."""
        return {"blurred": self.blurred[index], "sharp": self.sharp[index], "key": str(index)}


def batches(side: int, size: int) -> list[dict[str, Any]]:
    """Return batches that lie ready in memory."""
    pairs = SpeedPairs(side)
    both = zip(pairs.blurred.split(size), pairs.sharp.split(size), strict=True)
    return [{"blurred": blurred, "sharp": sharp, "key": ["0"] * size} for blurred, sharp in both]


def penalty(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Return 10 times WGAN-GP's penalty of the slope of an image's summed logits."""
    images = torch.lerp(fake, real, torch.rand(len(real), 1, 1, 1)).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return 10.0 * (gradient.flatten(1).norm(2, dim=1) - 1.0).square().mean()


class BareDeblurGAN:
    """Five critic steps on the batch, then the generator's."""

    def __init__(self, shrink: dict[str, Any]) -> None:
        self.generator = ARCHS.build({"type": "DeblurGAN", **shrink})
        self.critic = DISCRIMINATORS.build({"type": "PatchDiscriminator", "padding": 2})
        self.content = LOSSES.build({"type": "PerceptualLoss", "normalize": False, "weights": "random"})
        self.of_generator, self.of_critic = (
            torch.optim.Adam(network.parameters(), lr=1e-4, betas=(0.5, 0.999))
            for network in (self.generator, self.critic)
        )

    def step(self, blurred: Tensor, sharp: Tensor) -> Tensor:
        """Train on one batch; return the generator's loss."""
        blurred, sharp = 2 * blurred - 1, 2 * sharp - 1
        image = self.generator(blurred)
        fake = image.detach()
        for _ in range(5):
            self.of_critic.zero_grad()
            loss = self.critic(fake).mean() - self.critic(sharp).mean() + penalty(self.critic, sharp, fake)
            loss.backward()
            self.of_critic.step()
        self.of_generator.zero_grad()
        self.critic.requires_grad_(False)
        loss = 100 * self.content(image, sharp) - self.critic(image).mean()
        loss.backward()
        self.critic.requires_grad_(True)
        self.of_generator.step()
        return loss.detach()


class BareDeblurGANv2:
    """A step of the double-scale critic, then the generator's; relativistic, by means over the last 50 score maps."""

    def __init__(self, shrink: dict[str, Any]) -> None:
        self.generator = ARCHS.build({"type": "DeblurGANv2", "encoder": "mobilenet_v2", **shrink})
        self.critic = DISCRIMINATORS.build({"type": "DoubleScaleDiscriminator"})
        self.content = LOSSES.build({"type": "PerceptualLoss", "weights": "random"})
        self.content.value_range = (-1.0, 1.0)
        self.of_generator, self.of_critic = (
            torch.optim.Adam(network.parameters(), lr=1e-4) for network in (self.generator, self.critic)
        )
        self.pools: dict[tuple[str, int], Tensor] = {}

    def step(self, blurred: Tensor, sharp: Tensor) -> Tensor:
        """Train on one batch; return the generator's loss."""
        blurred, sharp = 2 * blurred - 1, 2 * sharp - 1
        image = self.generator(blurred)
        self.of_critic.zero_grad()
        losses = []
        for scale, (real, fake) in enumerate(zip(self.critic(sharp), self.critic(image.detach()), strict=True)):
            of_real, of_fake = self._pooled(("real", scale), real), self._pooled(("fake", scale), fake)
            losses.append(toward(real - of_fake, 1.0) + toward(fake - of_real, -1.0))
        torch.stack(losses).mean().backward()
        self.of_critic.step()
        self.of_generator.zero_grad()
        self.critic.requires_grad_(False)
        with torch.no_grad():
            reals = self.critic(sharp)
        losses = []
        for scale, (real, fake) in enumerate(zip(reals, self.critic(image), strict=True)):
            of_real, of_fake = self.pools["real", scale].mean(), self.pools["fake", scale].mean()
            losses.append(toward(fake - of_real, 1.0) + toward(real - of_fake, -1.0))
        loss = 2.45 * functional.mse_loss(image, sharp) + 0.006 * self.content(image, sharp)
        loss = loss + 0.01 * torch.stack(losses).mean()
        loss.backward()
        self.critic.requires_grad_(True)
        self.of_generator.step()
        return loss.detach()

    def _pooled(self, key: tuple[str, int], logits: Tensor) -> Tensor:
        new = logits.detach().flatten(1).mean(1)
        self.pools[key] = torch.cat([self.pools[key], new])[-50:] if key in self.pools else new
        return self.pools[key].mean()


class BareNAFNet:
    """Regression, with clipped gradients."""

    def __init__(self, shrink: dict[str, Any]) -> None:
        self.generator = ARCHS.build({"type": "NAFNet", **shrink})
        self.optimizer = torch.optim.AdamW(self.generator.parameters(), lr=1e-3, betas=(0.9, 0.9), weight_decay=1e-3)

    def step(self, blurred: Tensor, sharp: Tensor) -> Tensor:
        """Train on one batch; return the loss."""
        self.optimizer.zero_grad()
        error = (self.generator(blurred) - sharp).square().flatten(1).mean(1)
        loss = 10 * torch.log10(error + 1e-8).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(self.generator.parameters(), 0.01)
        self.optimizer.step()
        return loss.detach()


def toward(logits: Tensor, target: float) -> Tensor:
    """Return half the mean square distance from a constant target."""
    return 0.5 * functional.mse_loss(logits, torch.full_like(logits, target))


@dataclass(frozen=True)
class Training:
    """One of the trainings that are compared.

    Attributes:
        options: The shipped option file.
        bare: Its bare loop.
        batch: Images in a batch.
        set: What the options lack or have in another way here.
        tiny: Arguments of the generator with ``--tiny``.
    """

    options: str
    bare: Callable[[dict[str, Any]], BareDeblurGAN | BareDeblurGANv2 | BareNAFNet]
    batch: int
    set: tuple[str, ...] = ()
    tiny: dict[str, Any] = field(default_factory=dict)


VGG = "losses.content.weights=random"
V2 = ("generator.encoder_weights=null", "train.freeze={_delete_: true}", VGG)
TRAININGS = {
    "DeblurGAN": Training("deblurgan", BareDeblurGAN, 1, (VGG,), {"channels": 4, "blocks": 1}),
    "DeblurGAN-v2 MobileNet": Training("deblurgan_v2_mobilenet", BareDeblurGANv2, 1, V2, {"channels": 8}),
    "NAFNet": Training("nafnet", BareNAFNet, 2, (), {"width": 4, "encoder_blocks": [1, 1, 1, 2]}),
}


class Rounds:
    """The measurement that is going on."""

    bare: ClassVar[BareDeblurGAN | BareDeblurGANv2 | BareNAFNet]
    batches: ClassVar[Iterator[dict[str, Any]]]
    count: ClassVar[int] = 0
    length: ClassVar[int] = 0
    seconds: ClassVar[dict[str, list[float]]] = {}
    losses: ClassVar[dict[str, list[Tensor]]] = {}


@HOOKS.register_module()
class SpeedHook(Hook):
    """After each round of deblurkit's iterations: the same number of the bare loop's.

    The bare loop has random numbers of its own, which begin where deblurkit's began.
    """

    priority = "LOWEST"

    def before_train(self, runner: Any) -> None:
        """Start the clock."""
        self.bare_random = torch.get_rng_state()
        self.since = time.perf_counter()

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Keep the loss."""
        Rounds.losses["deblurkit"].append(outputs["loss"])

    def after_iteration(self, runner: Any) -> None:
        """Let the bare loop run at the end of a round."""
        if runner.iter % Rounds.length:
            return
        self._note("deblurkit")
        own = torch.get_rng_state()
        torch.set_rng_state(self.bare_random)
        # our runs keep the memory that they free, which a script's process does not
        with handing_freed_memory_back():
            self.since = time.perf_counter()
            for _ in range(Rounds.length):
                batch = next(Rounds.batches)
                Rounds.losses["bare"].append(Rounds.bare.step(batch["blurred"], batch["sharp"]))
            self._note("bare")
        runner.train_loop.stop_training = len(Rounds.seconds["bare"]) == Rounds.count
        self.bare_random = torch.get_rng_state()
        torch.set_rng_state(own)
        self.since = time.perf_counter()

    def _note(self, name: str) -> None:
        Rounds.seconds[name].append((time.perf_counter() - self.since) / Rounds.length)


@dataclass(frozen=True)
class Figures:
    """One run of deblurkit beside the bare loop: seconds an iteration of each round, and the loss of each iteration."""

    seconds: dict[str, list[float]]
    losses: dict[str, list[float]]
    chosen: str

    @property
    def ratio(self) -> float:
        """The median of deblurkit's rounds, each over the bare one behind it."""
        pairs = zip(self.seconds["deblurkit"], self.seconds["bare"], strict=True)
        return statistics.median(ours / bare for ours, bare in pairs)


def measure(training: Training, fast: bool, rounds: int, length: int, side: int, tiny: bool) -> Figures:
    """Trains by both; one more round runs first and is not counted."""
    shrink = training.tiny if tiny else {}
    names = "deblurkit", "bare"
    Rounds.count, Rounds.length = rounds + 1, length
    Rounds.seconds, Rounds.losses = {name: [] for name in names}, {name: [] for name in names}
    changes = [
        f"datasets.train={{_delete_: true, type: SpeedPairs, side: {side}, batch_size: {training.batch}}}",
        "datasets.val={_delete_: true}",
        "train.epochs=null",
        "train.iters=100000",  # so that no schedule changes a rate while the rounds last
        "logging.tensorboard=false",
        "logging.curves=false",
        "hooks=[{type: SpeedHook}]",
        *(f"generator.{key}={value}" for key, value in shrink.items()),
        *training.set,
    ]
    options = load_options(training.options, [*changes, "train.fast=auto"] if fast else changes)
    setup = Setup(options, torch.device("cpu"))
    setup.loaders = ReadyLoaders(setup, batches(side, training.batch))
    # The bare loop's own networks start with the weights of deblurkit's.
    Rounds.bare, Rounds.batches = training.bare(shrink), cycle(batches(side, training.batch))
    networks = setup.restorer.networks()
    for name in networks:
        getattr(Rounds.bare, name).load_state_dict(networks[name].state_dict())
    if "content" in options.losses:
        Rounds.bare.content.load_state_dict(setup.restorer.losses["content"].state_dict())
    with tempfile.TemporaryDirectory() as folder:
        work = WorkDir(Path(folder) / "run")
        work.checkpoints.mkdir(parents=True)
        setup.runner(work, Console(quiet=True), None, "none").train()
    seconds = {name: values[1:] for name, values in Rounds.seconds.items()}
    losses = {name: [float(value) for value in values] for name, values in Rounds.losses.items()}
    return Figures(seconds, losses, setup.fast.words)


def furthest(losses: list[float], others: list[float]) -> float:
    """Returns the largest difference of two loss curves, as a share of the first one's value there."""
    return max(abs(one - other) / abs(one) for one, other in zip(losses, others, strict=True))


def main() -> None:
    """Measure, print, and say whether the claims hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=list(TRAININGS), action="append", help="one network; may be repeated")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--length", type=int, default=2, help="iterations of a round")
    parser.add_argument("--side", type=int, default=128, help="of the crops")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", metavar="FILE", help="also write the figures as JSON")
    parser.add_argument("--tiny", action="store_true", help="a few small iterations; the exit code leaves claims out")
    arguments = parser.parse_args()
    if arguments.tiny:
        arguments.rounds, arguments.length, arguments.side = 1, 1, 64
    torch.set_num_threads(arguments.threads)
    ratios: list[Ratio] = []
    autos: list[float] = []
    records: dict[str, Any] = {}
    for name in arguments.only or TRAININGS:
        settings = arguments.rounds, arguments.length, arguments.side, arguments.tiny
        plain, fast = (measure(TRAININGS[name], on, *settings) for on in (False, True))
        of_bare, of_fast = (
            furthest(plain.losses["deblurkit"], c) for c in (plain.losses["bare"], fast.losses["deblurkit"])
        )
        bare = statistics.median(plain.seconds["bare"])
        print(
            f"{name}: bare loop {bare:.3f} s an iteration; deblurkit {plain.ratio:.3f} x, fast: auto {fast.ratio:.3f} x"
        )
        print(f"  {fast.chosen}")
        print(
            f"  over {len(plain.losses['bare'])} iterations the plain run's losses differ by at most {of_bare:.1e} "
            f"of their value from the bare loop's, and by {of_fast:.1e} from those of fast: auto"
        )
        ratios.append(Ratio(f"{name}, training against a bare loop", plain.ratio, PLAIN, "lower"))
        ratios.append(Ratio(f"{name}, fast: auto against a bare loop", fast.ratio, None, "lower"))
        autos.append(fast.ratio)
        records[name] = {
            "batch": TRAININGS[name].batch,
            "side": arguments.side,
            "chosen": fast.chosen,
            "plain": {"seconds": plain.seconds, "losses": plain.losses},
            "fast": {"seconds": fast.seconds, "losses": fast.losses},
            "largest difference from bare": of_bare,
            "largest difference from fast": of_fast,
        }
    if len(autos) == len(TRAININGS):
        of = "fast: auto against a bare loop, the second best of the three"
        ratios.append(Ratio(of, sorted(autos)[1], FAST, "lower"))
    holds = all(ratio.holds for ratio in ratios)
    print(
        f"plain at most {PLAIN} x each, fast: auto at most {FAST} x for two of three: {'holds' if holds else 'FAILS'}"
    )
    if arguments.out:
        machine = {"python": platform.python_version(), "torch": torch.__version__, "threads": arguments.threads}
        text = json.dumps({"ratios": section(ratios), "holds": holds, "machine": machine, "runs": records}, indent=1)
        Path(arguments.out).write_text(text, encoding="utf-8")
    sys.exit(not holds and not arguments.tiny)


if __name__ == "__main__":
    cli.run(main)
