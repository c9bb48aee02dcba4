"""Builds all of a training and tries it on synthetic images: reads no data, writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from rich.console import Console

from deblurkit.data.prefetch import Batch
from deblurkit.engine.build import Problems, build_parts, build_step
from deblurkit.engine.fast import choose
from deblurkit.engine.processes import start_processes
from deblurkit.engine.services import check_services
from deblurkit.engine.sets import training_sets
from deblurkit.errors import UserError
from deblurkit.evaluation.protocols.protocol import get_protocol
from deblurkit.inference.restore import restore

if TYPE_CHECKING:
    from deblurkit.options.schema import Options, TrainSet

_DEFAULT_SIDE = 256  # where the training set neither crops nor resizes
_IMAGES_ON_CPU = 2  # the least that a batch norm takes; whole batches of large networks are minutes and 20 GiB there


def dry_run(options: Options, device: str | None = None) -> None:
    """Runs and prints one iteration of each kind: critics alone in a warm-up, critics and generator, restoring.

    On a CPU a batch has two images at most: that all fits together shows as well, in less memory than a training takes.
    Where the weights of a perceptual loss cannot be had, random ones stand in, which is said.

    Raises:
        UserError: Something cannot be built or does not fit together.
    """
    entries = training_sets(options)
    console = Console(highlight=False, soft_wrap=True)
    problems = Problems()
    with problems.gathered("val.protocol"):
        get_protocol(options.val.protocol, "val.protocol")
    parts = build_parts(options, problems, console.print, random_weights=True)
    problems.raise_any()
    chosen = start_processes("none", device)
    check_services(options, chosen)
    fast = choose(options, parts, chosen)
    if fast.words:
        console.print(fast.words)
    restorer, optimizers, _ = build_step(parts, options, chosen, fast, console.print)
    for name, network in restorer.networks().items():
        console.print(f"{name}: {type(network).__name__}, {sum(p.numel() for p in network.parameters()):,} parameters")

    full = entries[0].loader.batch_size
    images = min(full, _IMAGES_ON_CPU) if chosen.type == "cpu" else full
    taken = restorer.critic_batches + restorer.generator_batches
    batches = [_synthetic_batch(entries, images, options.seed) for _ in range(taken)]
    fewer = "" if images == full else f" (a training has {full} images in each)"
    shape = tuple(batches[0]["blurred"].shape)
    console.print(f"synthetic batches of {shape}{fewer}, {taken} an iteration, on {chosen}")
    # The first iteration of a warm-up and the first behind it stand for the two kinds that a training has.
    kinds = {"generator": options.train.critic_warmup}
    if options.discriminators:
        kinds = {"critics and generator": options.train.critic_warmup}
        if options.train.critic_warmup:
            kinds = {"critics alone (critic_warmup)": 0, **kinds}
    restorer.measure = True
    for kind, iteration in kinds.items():
        restorer.iteration = iteration
        try:
            scalars = restorer.train_step(batches, optim_wrapper=optimizers)
            restorer.guard.check()
        except ValueError as error:
            raise UserError(f"the training step refuses a batch of this size: {error}") from error
        told = ", ".join(f"{name} {float(value):.4g}" for name, value in scalars.items())
        console.print(f"one iteration, {kind}: {told}")
    blurred = batches[0]["blurred"][:1].to(chosen)
    image = restore(restorer.generator.eval(), blurred, options.train.precision)
    console.print(f"restoring {tuple(blurred.shape)}: {tuple(image.shape)} in [0, 1]")
    console.print("dry run passed: nothing was read from datasets, nothing was written")


def _synthetic_batch(entries: Sequence[TrainSet], images: int, seed: int) -> Batch:
    """Returns noise as sharp images, and its means over 5x5 pixels as blurred ones, at the size that a training has."""
    sides = [entry.component.get("crop") or entry.component.get("resize") for entry in entries]
    side = next(filter(None, sides), _DEFAULT_SIDE)
    height, width = (side, side) if isinstance(side, int) else side
    sharp = torch.rand(images, 3, height, width, generator=torch.Generator().manual_seed(seed))
    blurred = torch.nn.functional.avg_pool2d(sharp, 5, stride=1, padding=2, count_include_pad=False)
    return {"blurred": blurred, "sharp": sharp, "key": ["synthetic"] * images}
