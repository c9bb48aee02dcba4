"""Builds all of a training and tries it on synthetic images: reads no data, writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from torch import Tensor

from deblurkit.engine.optim import build_optimizers, build_schedulers
from deblurkit.engine.parts import Problems, build_parts, place
from deblurkit.engine.processes import start_processes
from deblurkit.errors import UserError
from deblurkit.evaluation.protocols.protocol import get_protocol
from deblurkit.inference.restore import restore
from deblurkit.registry import RESTORERS

if TYPE_CHECKING:
    from deblurkit.options.schema import Options

_DEFAULT_SIDE = 256  # where the training set neither crops nor resizes
_IMAGES_ON_CPU = 2  # the least that a batch norm takes; whole batches of large networks are minutes and 20 GiB there


def dry_run(options: Options, device: str | None = None) -> None:
    """Runs one iteration of each kind (critics alone in a warm-up, critics and generator, restoring) and print it.

    On a CPU a batch has two images at most: that all fits together shows as well, in less memory than a training takes.
    Where the weights of a perceptual loss cannot be had, random ones stand in, which is said.

    Raises:
        UserError: Something cannot be built or does not fit together.
    """
    missing = options.missing_for_training()
    if missing:
        raise UserError(*missing)
    console = Console(highlight=False, soft_wrap=True)
    problems = Problems()
    problems.gather(lambda: get_protocol(options.val.protocol, "val.protocol"), "val.protocol")
    parts = build_parts(options, problems, console.print, random_weights=True)
    problems.raise_any()
    chosen = start_processes("none", device)
    place(parts, options, chosen)
    restorer = RESTORERS.build(options.restorer, parts, where="restorer")
    optimizers = build_optimizers(options, restorer.networks(), chosen)
    build_schedulers(options, optimizers)
    for name, network in restorer.networks().items():
        console.print(f"{name}: {type(network).__name__}, {sum(p.numel() for p in network.parameters()):,} parameters")

    entry = options.datasets.train
    assert entry is not None
    full = entry.loader.batch_size
    images = min(full, _IMAGES_ON_CPU) if chosen.type == "cpu" else full
    batches = [_synthetic_batch(options, images) for _ in range(restorer.critic_batches + restorer.generator_batches)]
    fewer = "" if images == full else f" (a training has {full} images in each)"
    console.print(
        f"synthetic batches of {tuple(batches[0]['blurred'].shape)}{fewer}, {len(batches)} an iteration, on {chosen}"
    )
    try:
        _iterate(options, restorer, batches, optimizers, console)
    except ValueError as error:
        raise UserError(f"the training step refuses a batch of this size: {error}") from error
    image = restore(restorer.generator.eval(), batches[0]["blurred"][:1].to(chosen), options.train.precision)
    console.print(f"restoring {tuple(batches[0]['blurred'][:1].shape)}: {tuple(image.shape)} in [0, 1]")
    console.print("dry run passed: nothing was read from datasets, nothing was written")


def _iterate(
    options: Options, restorer: Any, batches: Sequence[dict[str, Any]], optimizers: dict[str, Any], console: Console
) -> None:
    restorer.measure = True
    kinds = {"critics alone (critic_warmup)": 0} if options.train.critic_warmup and options.discriminators else {}
    kinds["critics and generator" if options.discriminators else "generator"] = options.train.critic_warmup
    for kind, iteration in kinds.items():
        restorer.iteration = iteration
        scalars = restorer.train_step(batches, optim_wrapper=optimizers)
        restorer.guard.check()
        told = ", ".join(f"{name} {float(value):.4g}" for name, value in scalars.items())
        console.print(f"one iteration, {kind}: {told}")


def _synthetic_batch(options: Options, images: int) -> dict[str, Any]:
    entry = options.datasets.train
    assert entry is not None
    side = entry.component.get("crop") or entry.component.get("resize") or _DEFAULT_SIDE
    height, width = (side, side) if isinstance(side, int) else side
    generator = torch.Generator().manual_seed(options.seed)
    sharp = torch.rand(images, 3, height, width, generator=generator)
    return {"blurred": _box(sharp), "sharp": sharp, "key": ["synthetic"] * images}


def _box(sharp: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(sharp, 5, stride=1, padding=2, count_include_pad=False)
