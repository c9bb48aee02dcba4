"""Networks built from options that nobody has looked at, stopped as soon as they grow beyond what they may be."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.modules import module as hooks

_MAX_ARGUMENTS = 1000


class TooLargeError(ValueError):
    """A network has more than it may have; says of what."""


@dataclass(frozen=True)
class Bounds:
    """The most that a network may have."""

    weights: int  # numbers in its parameters
    parts: int  # modules, parameters and buffers
    calls: int = 1_000_000  # of modules, in one pass


@contextmanager
def bounded(bounds: Bounds) -> Iterator[None]:
    """Stops what this thread builds or runs within the block where it goes beyond ``bounds``.

    The block stops before the memory of a weight is used, which it is when it gets its first values. Python's, numpy's
    and torch's global random streams are as before when the block ends.

    Raises:
        TooLargeError: It goes beyond.
    """
    # torch's hooks are global: what other threads build meanwhile is none of this block's affair
    counts = {"weights": 0, "parts": 0, "calls": 0}
    thread = threading.get_ident()

    def count(what: str, more: int) -> None:
        if threading.get_ident() != thread:
            return
        counts[what] += more
        most = getattr(bounds, what)
        if counts[what] > most:
            raise TooLargeError(f"it would have more than {most} {what}")

    def tensor(owner: nn.Module, name: str, value: torch.Tensor | None) -> None:
        count("parts", 1)
        count("weights", 0 if value is None else value.numel())

    def submodule(owner: nn.Module, name: str, value: nn.Module | None) -> None:
        count("parts", 1)

    def call(owner: nn.Module, inputs: object) -> None:
        count("calls", 1)

    with _random_state_kept(), ExitStack() as stack:
        stack.callback(hooks.register_module_parameter_registration_hook(tensor).remove)
        stack.callback(hooks.register_module_buffer_registration_hook(tensor).remove)
        stack.callback(hooks.register_module_module_registration_hook(submodule).remove)
        stack.callback(hooks.register_module_forward_pre_hook(call).remove)
        yield


def check_arguments(arguments: object) -> None:
    """Refuses arguments of a network that hold more values than any network takes.

    Raises:
        TooLargeError: They do.
    """
    left = [arguments]
    for _ in range(_MAX_ARGUMENTS):
        if not left:
            return
        value = left.pop()
        if isinstance(value, dict):
            left += value.values()
        elif isinstance(value, list):
            left += value
    raise TooLargeError(f"its arguments hold more than {_MAX_ARGUMENTS} values")


@contextmanager
def _random_state_kept() -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
