"""From options to networks, loss terms and data sets; every problem of theirs is reported together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from deblurkit.checkpoint import build_generator
from deblurkit.data.loader import build_dataset
from deblurkit.device import switch_tf32
from deblurkit.engine.loss_terms import Term
from deblurkit.engine.step import Parts
from deblurkit.errors import UserError
from deblurkit.options.selection import parse_selection
from deblurkit.plugins import load_plugins
from deblurkit.pretrained import MissingWeightsError
from deblurkit.registry import DISCRIMINATORS, LOSSES

if TYPE_CHECKING:
    from deblurkit.options.schema import LossTerm, Options

Built = TypeVar("Built")


class Problems:
    """Collects users' mistakes, so that all are reported at once."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def gather(self, build: Callable[[], Built], where: str) -> Built | None:
        """Returns what ``build`` makes; where it refuses, note why and returns ``None``."""
        try:
            return build()
        except UserError as error:
            self._lines += [line if line.startswith(where) else f"{where}: {line}" for line in error.problems]
            return None

    def raise_any(self) -> None:
        """Raises what was collected.

        Raises:
            UserError: There was something.
        """
        if self._lines:
            raise UserError(*self._lines)


def build_parts(
    options: Options,
    problems: Problems,
    say: Callable[[str], None],
    random_weights: bool = False,
    pretrained: bool = True,
) -> Parts:
    """Builds generator, critics and terms, drawing their weights from ``options.seed``.

    Args:
        options: What to build.
        problems: Takes what cannot be built.
        say: Told what every log must say, such as that a loss uses random weights.
        random_weights: For a trial: where pretrained weights of a perceptual loss or of a part of the generator cannot
            be had, use random ones, and say so.
        pretrained: Whether the generator takes up the weights of others that its options name; not in a run that
            takes up weights of its own.
    """
    load_plugins(options.plugins)
    torch.manual_seed(options.seed)
    generator = problems.gather(partial(build_generator, options), "generator")
    if pretrained and generator is not None:
        problems.gather(partial(_take_up_pretrained, generator, say, random_weights), "generator")
    critics = {
        name: problems.gather(partial(DISCRIMINATORS.build, cfg, where=name), f"discriminators.{name}")
        for name, cfg in options.discriminators.items()
    }
    terms = [
        problems.gather(partial(_term, name, term, say, random_weights), f"losses.{name}")
        for name, term in options.losses.items()
    ]
    train = options.train
    return Parts(
        generator=generator if generator is not None else nn.Identity(),
        critics={name: critic for name, critic in critics.items() if critic is not None},
        terms=[term for term in terms if term is not None],
        critic_steps=train.critic_steps,
        critic_batches=train.critic_batches,
        order=train.order,
        critic_warmup=train.critic_warmup,
        accumulate=train.accumulate,
        precision=train.precision,
        channels_last=train.channels_last,
    )


def _take_up_pretrained(generator: nn.Module, say: Callable[[str], None], random_weights: bool) -> None:
    load = getattr(generator, "load_pretrained", None)
    if load is None:
        return
    try:
        load()
    except MissingWeightsError as error:
        if not random_weights:
            raise
        say(f"generator: {error}; RANDOM weights stand in for this trial")


def _term(name: str, term: LossTerm, say: Callable[[str], None], random_weights: bool) -> Term:
    try:
        loss = LOSSES.build(term.component, where=f"losses.{name}")
    except MissingWeightsError as error:
        if not random_weights:
            raise
        say(f"losses.{name}: {error}; RANDOM weights stand in for this trial")
        loss = LOSSES.build({**term.component, "weights": "random"}, where=f"losses.{name}")
    for note in getattr(loss, "notes", []):
        say(f"losses.{name}: {note}")
    return Term(
        name=name,
        loss=loss,
        weight=term.weight,
        pred=parse_selection(term.pred),
        target=parse_selection(term.target),
        critic=term.critic,
        start=term.start,
        end=term.end,
    )


def build_training_sets(options: Options, problems: Problems) -> tuple[Any, dict[str, Any]]:
    """Returns the training set and the validation sets by name."""
    entry = options.datasets.train
    assert entry is not None  # missing_for_training has been asked
    train = problems.gather(partial(build_dataset, entry, "datasets.train"), "datasets.train")
    val = {
        name: problems.gather(partial(build_dataset, item, f"datasets.val.{name}"), f"datasets.val.{name}")
        for name, item in options.datasets.val.items()
    }
    return train, val


def place(parts: Parts, options: Options, device: torch.device) -> None:
    """Moves the networks and losses to the device, in the memory layout and compiled as the options say."""
    for network in (parts.generator, *parts.critics.values()):
        network.to(device)
        if parts.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for term in parts.terms:
        term.loss.to(device)
    switch_tf32(options.train.precision == "tf32")
    if options.train.compile:
        penalised = {term.critic for term in parts.terms if getattr(term.loss, "penalty", None) is not None}
        parts.generator.compile()
        for name, critic in parts.critics.items():
            if name not in penalised:  # torch.compile has no second derivative
                critic.compile()
