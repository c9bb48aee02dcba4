"""One registered component as the checks see it: what it is built with, and what is true of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from deblurkit.registry import ComponentRegistry


@dataclass(frozen=True)
class Traits:
    """Facts of a component that are allowed and not to be seen from outside; a check that it concerns takes it up.

    Attributes:
        small: Arguments, over the others, that make a network small, for the checks that are slow with large ones.
        without_effect: Biases of a network that cannot matter: regular expression of their names, and why, such as
            ``{"body.0.bias": "before a norm"}``.
        takes_lists: The loss compares lists of tensors, not tensors.
        needs_sharp: The transform refuses a blurred image alone.
        eight_bits_only: The transform refuses images of 16 bits.
        adds_blur: The transform may leave the blurred and the sharp image different where they were equal.
        without_chance: The transform draws nothing, or nothing that shows where the two images are equal.
    """

    small: Mapping[str, Any] = field(default_factory=dict)
    without_effect: Mapping[str, str] = field(default_factory=dict)
    takes_lists: bool = False
    needs_sharp: bool = False
    eight_bits_only: bool = False
    adds_blur: bool = False
    without_chance: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Component:
    """A component by its name in its registry, with what it is built with and what is true of it."""

    registry: ComponentRegistry
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    traits: Traits = field(default_factory=Traits)

    def __repr__(self) -> str:
        return f"{self.registry.name} {self.name}"

    @property
    def registered(self) -> Any:
        """Returns the class or function."""
        return self.registry.get(self.name)

    def build(self, more: Mapping[str, Any] | None = None, seed: int = 0) -> Any:
        """Builds it anew, with ``more`` arguments over its own; its weights start from ``seed``."""
        torch.manual_seed(seed)
        return self.registry.build({"type": self.name, **self.arguments, **(more or {})})

    def shared(self) -> Any:
        """Returns it as it was built for the check before, where that was of this component too: for large networks."""
        return _latest(self)


@functools.lru_cache(maxsize=1)  # of components one after the other: all at once would not fit the memory
def _latest(component: Component) -> Any:
    return component.build()


def expect_refusal(action: Callable[[], object], kind: type[Exception], words: str) -> None:
    """Expects an error of a kind whose message has ``words``."""
    try:
        action()
    except kind as error:
        found = str(error)
    else:
        raise AssertionError(f"nothing is refused; expected a {kind.__name__} that says {words!r}")
    assert words in found, f"it is refused, but the message says nothing of {words!r}: {found}"
