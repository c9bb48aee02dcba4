"""Checks what is registered against its contract in :mod:`deblurkit.contracts`.

Arguments are checked by their number, not by their names.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from deblurkit.contracts import is_game

Contract = Callable[[Any], str | None]
"""Says what a candidate lacks; ``None`` where it fits."""


def check_network(candidate: Any) -> str | None:
    """Says what keeps a class from being a generator or critic."""
    return _not_a_module(candidate) or _lacking_forward(candidate, 1)


def check_loss(candidate: Any) -> str | None:
    """Says what keeps a class from being a loss: a ``Loss`` or a ``Game`` of the contracts."""
    lacking = _not_a_module(candidate)
    if lacking or not is_game(candidate):
        return lacking or _lacking_forward(candidate, 2)
    for method in ("generator_loss", "critic_loss"):
        if method not in dir(candidate):
            return f"an adversarial loss needs a method {method}(real_logits, fake_logits)"
        lacking = lacking or _wrong_arguments(getattr(candidate, method), method, 2)
    return lacking


def check_view(candidate: Any) -> str | None:
    """Says what keeps a function from being a view of an image."""
    if not inspect.isfunction(candidate):
        return "a view is a function of one tensor"
    return _wrong_arguments(candidate, "it", 1, skip_self=False)


def check_methods(**counts: int) -> Contract:
    """Makes a contract of the methods that a class must have, each with its number of required arguments (0: any)."""

    def contract(candidate: Any) -> str | None:
        if not inspect.isclass(candidate):
            return "it is not a class"
        for method, count in counts.items():
            found = getattr(candidate, method, None)
            # every class can be called, which makes an instance; what counts is a __call__ of the instances
            if found is None or (method == "__call__" and not any("__call__" in vars(b) for b in candidate.__mro__)):
                return f"it has no method {method}"
            lacking = _wrong_arguments(found, method, count) if count else None
            if lacking:
                return lacking
        return None

    return contract


def _not_a_module(candidate: Any) -> str | None:
    from torch import nn

    if inspect.isclass(candidate) and issubclass(candidate, nn.Module):
        return None
    return "it is not a subclass of torch.nn.Module"


def _lacking_forward(candidate: Any, count: int) -> str | None:
    from torch import nn

    if candidate.forward is nn.Module.forward:
        return "it defines no forward"
    return _wrong_arguments(candidate.forward, "forward", count)


def _wrong_arguments(function: Callable[..., Any], label: str, count: int, skip_self: bool = True) -> str | None:
    parameters = list(inspect.signature(function).parameters.values())[1 if skip_self else 0 :]
    required = [p for p in parameters if p.default is p.empty]
    found = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in required)
    # a function with *args takes any number
    if found != count and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return f"{label} must take {count} required argument{'s' if count > 1 else ''}, it takes {found}"
    for parameter in required:
        if parameter.kind is parameter.KEYWORD_ONLY:
            return f"{label} must not require the keyword {parameter.name!r}: nothing gives it"
    return None
