"""State dicts in files of training codes: under which keys they stand, and which of them is averaged."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

_AVERAGED = frozenset({"params_ema", "ema_state_dict", "generator_ema", "model_ema", "ema_model", "net_g_ema", "ema"})
"""Keys and prefixes of averaged weights: BasicSR's, MMEngine's, and those that trainings of one's own use."""

_PREFIXES = (*sorted(_AVERAGED), "generator", "model", "net_g", "net", "network", "params")
"""Attributes by which a training module, such as one of Lightning, holds its network."""

_COUNTERS = frozenset({"steps", "n_averaged"})
"""Counters that averaged models hold beside their weights."""

_DEPTH = 3


@dataclass(frozen=True)
class Candidate:
    """The weights of what may be the network in a file.

    Attributes:
        key: Where they stand, such as ``params_ema`` or ``state_dict.generator``; empty: the file is nothing else.
        weights: Without what data-parallel training and compilation put before and into their names.
        beside: What stands in the same state dict and is not of them, in words.
    """

    key: str
    weights: Mapping[str, Tensor]
    beside: tuple[str, ...]

    @property
    def averaged(self) -> bool:
        """Whether the names say that these are averaged weights."""
        return not _AVERAGED.isdisjoint(self.key.split("."))

    def under(self, key: str) -> bool:
        """Tells whether a user who names ``key`` means these."""
        return self.key == key or self.key.startswith(f"{key}.")


def candidates(content: object) -> list[Candidate]:
    """Returns all state dicts in what a file holds, each whole and by the prefixes that networks have in it."""
    return list(_found(content, "", _DEPTH))


def asked_for(found: Sequence[Candidate], key: str | None) -> list[Candidate]:
    """Returns those of several state dicts that a user who names ``key`` means; without a key all of them."""
    return [candidate for candidate in found if key is None or candidate.under(key)]


def _found(content: object, key: str, depth: int) -> Iterator[Candidate]:
    if not isinstance(content, Mapping):
        return
    # names go into messages, so that those which a terminal would act on are passed over
    named = {name: value for name, value in content.items() if isinstance(name, str) and name.isprintable()}
    tensors = {name: value for name, value in named.items() if isinstance(value, Tensor)}
    if tensors:
        yield from _in_state_dict(tensors, key)
    if depth:
        for name, value in named.items():
            yield from _found(value, _joined(key, name), depth - 1)


def _in_state_dict(tensors: Mapping[str, Tensor], key: str) -> Iterator[Candidate]:
    counters = sorted(name for name in _COUNTERS & set(tensors) if tensors[name].numel() == 1)
    weights = _unwrapped({name: value for name, value in tensors.items() if name not in counters})
    beside = tuple(f"the counter {name}" for name in counters)
    if weights:
        yield Candidate(key, weights, beside)
    for prefix in _PREFIXES:
        inner = {name.removeprefix(f"{prefix}."): value for name, value in weights.items() if _has(name, prefix)}
        if inner:
            others: dict[str, int] = {}
            for name in weights:
                if not _has(name, prefix):
                    part = name.partition(".")[0]
                    others[part] = others.get(part, 0) + 1
            told = (f"{part} ({count} tensors)" for part, count in others.items())
            yield Candidate(_joined(key, prefix), _unwrapped(inner), (*beside, *told))


def _has(name: str, prefix: str) -> bool:
    return name.startswith(f"{prefix}.")


def _joined(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _unwrapped(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns tensors under the names that they have in the bare network."""
    weights: dict[str, Tensor] = {}
    for name, value in tensors.items():
        bare = re.sub(r"(^|\.)(_orig_mod\.)+", r"\1", name)
        bare = re.sub(r"^(module\.)+", "", bare)
        # of two tensors that would have one name the wrapped one keeps its own, for which no network has a place
        is_taken = bare in weights or (bare != name and bare in tensors)
        weights[name if is_taken else bare] = value
    return weights
