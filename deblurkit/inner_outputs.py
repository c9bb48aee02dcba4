"""Outputs inside a network: how they are named, what a generator declares of them, and the hooks that record them.

A name is that of a module as ``named_modules`` has it, or one that the generator declares. ``returned`` is what the
network itself returns. Where a module runs several times ``@2`` says which call is meant, without it the last;
``:0`` or ``:gradient`` takes one tensor of a tuple or a dict. So ``scale@1:1`` is the second tensor of the first call.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from deblurkit.errors import UserError, did_you_mean

RETURNED = "returned"
"""The name of the network itself among those of its modules."""

_GENERIC = 6  # modules shown of a network that declares nothing

Kind = Literal["features", "weights", "image"]


@dataclass(frozen=True)
class Pixel:
    """A place in an image, as shares of its height and width in [0, 1)."""

    y: float = 0.5
    x: float = 0.5

    def on(self, height: int, width: int) -> tuple[int, int]:
        """Returns the row and column of the place in a map of any size.

        >>> Pixel(0.5, 0.99).on(4, 10)
        (2, 9)
        """
        return int(self.y * height), int(self.x * width)


@dataclass(frozen=True)
class Ref:
    """Names one tensor of one call of a module."""

    module: str  # its name; ``returned`` for the network itself
    call: int | None = None  # counted from 1; None: the last
    parts: tuple[str, ...] = ()  # places and keys that lead to the tensor in a tuple or dict

    def __str__(self) -> str:
        """Returns the name as it is written: ``MODULE@CALL:PART``."""
        call = "" if self.call is None else f"@{self.call}"
        return ":".join([f"{self.module}{call}", *self.parts])


def _first(tensors: Sequence[Tensor], pixel: Pixel) -> Tensor:
    return tensors[0]


@dataclass(frozen=True)
class InnerOutput:
    """An output worth a look.

    Attributes:
        name: What it is called on the command line, in option files and on the page, such as ``A1``.
        words: A line that says what it is.
        of: The recorded tensors that it is made of.
        make: Makes ``(n, c, h, w)`` of them; it may look at the chosen pixel. NaN: nothing there, the photo shows.
        kind: ``weights`` are drawn as their mean over the channels, ``features`` as that of their absolute values,
            an ``image`` in its colours, from the network's value range.
    """

    name: str
    words: str
    of: tuple[Ref, ...]
    make: Callable[[Sequence[Tensor], Pixel], Tensor] = _first
    kind: Kind = "features"


@runtime_checkable
class DeclaresOutputs(Protocol):
    """A generator that says which of its inner outputs are worth a look; ``deblurkit look`` shows them by default."""

    def inner_outputs(self) -> Sequence[InnerOutput]:
        """Returns them for this instance; an empty list where its arguments leave none."""


@dataclass(frozen=True)
class Seen:
    """A tensor that one forward pass showed."""

    ref: Ref  # its name, without a call
    kind: str  # class of the module
    shape: tuple[int, ...]  # of the last call
    calls: int  # how often the module ran
    weighted: bool  # whether the module has weights of its own, apart from those of modules inside it

    def refs(self) -> list[Ref]:
        """Returns every way to ask for the tensor: of the last call and, where there are several, of each."""
        calls = range(1, self.calls + 1) if self.calls > 1 else ()
        return [self.ref, *(dataclasses.replace(self.ref, call=call) for call in calls)]


def survey(network: nn.Module, forward: Callable[[], object]) -> list[Seen]:
    """Returns all that can be looked at, maps ``(n, c, h, w)`` and vectors ``(n, c)``, in the order of the calls.

    ``forward`` runs the network once.
    """
    modules = {name or RETURNED: module for name, module in network.named_modules()}
    found: dict[Ref, Seen] = {}

    def notice(ref: Ref, tensor: Tensor) -> None:
        if tensor.dim() not in (2, 4) or tensor.is_complex():
            return
        module = modules[ref.module]
        weighted = any(True for _ in module.parameters(recurse=False))
        last = dataclasses.replace(ref, call=None)
        found[last] = Seen(last, type(module).__name__, tuple(tensor.shape), ref.call or 1, weighted)

    with _observed(network, modules, notice):
        forward()
    return list(found.values())


@contextmanager
def recording(network: nn.Module, outputs: Iterable[InnerOutput]) -> Iterator[dict[Ref, Tensor]]:
    """Records what ``outputs`` are made of while the network runs once; the hooks are gone when the block ends.

    The network may be in any mode, and what it computes stays as it is, to the bit. The tensors come as it runs; they
    are copies in float32 on the CPU, as a layer behind may change its input in place.
    """
    wanted = {ref for output in outputs for ref in output.of}
    kept: dict[Ref, Tensor] = {}

    def notice(ref: Ref, tensor: Tensor) -> None:
        # asked for by the number of its call, or as the last one, which later calls then overwrite
        for asked in (ref, dataclasses.replace(ref, call=None)):
            if asked in wanted:
                kept[asked] = tensor.detach().to("cpu", torch.float32, copy=True)

    with _observed(network, {ref.module for ref in wanted}, notice):
        yield kept


def declared_outputs(network: nn.Module) -> list[InnerOutput]:
    """Returns what a network declares by :class:`DeclaresOutputs`; nothing where it does not."""
    return list(network.inner_outputs()) if isinstance(network, DeclaresOutputs) else []


def output_names(network: nn.Module, seen: Iterable[Seen]) -> list[str]:
    """Returns every name that may be asked for, declared ones first."""
    declared = [output.name for output in declared_outputs(network)]
    return declared + [str(ref) for one in seen for ref in one.refs()]


def find_outputs(network: nn.Module, names: Sequence[str], seen: Sequence[Seen], place: str) -> list[InnerOutput]:
    """Returns the outputs of the given names, declared ones or those of modules; ``place`` is where these were given.

    Raises:
        UserError: There is no such output; one line a name, with the closest one.
    """
    known = {output.name: output for output in declared_outputs(network)}
    for one in seen:
        for ref in one.refs():
            known.setdefault(str(ref), _of_module(one, ref))
    problems = [unknown_output(type(network).__name__, name, known) for name in names if name not in known]
    if problems:
        raise UserError(*(f"{place}: {problem}" for problem in problems))
    return [known[name] for name in names]


def unknown_output(network: str, name: str, known: Collection[str]) -> str:
    """Returns in words that a network has no such output, with the closest name, else the first ones."""
    first = ", ".join(itertools.islice(known, 4))
    hint = did_you_mean(name, known) or f"; it has {first} ..., deblurkit look --list prints all"
    return f"{network} has no module or inner output {name!r}{hint}"


def default_outputs(network: nn.Module, seen: Sequence[Seen]) -> list[InnerOutput]:
    """Returns what is shown where nobody names anything.

    That is what the network declares; else its further outputs, and up to six modules with weights that return maps,
    spread evenly over the order in which they run.
    """
    declared = declared_outputs(network)
    if declared:
        return declared
    further = [one for one in seen if one.ref.module == RETURNED and one.ref.parts not in ((), ("image",))]
    maps = [one for one in seen if one.weighted and len(one.shape) == 4 and min(one.shape[2:]) > 1]
    count = min(len(maps), _GENERIC)
    spread = [maps[round(place * (len(maps) - 1) / max(count - 1, 1))] for place in range(count)]
    return [_of_module(one, one.ref) for one in (*further, *spread)]


def _of_module(seen: Seen, ref: Ref) -> InnerOutput:
    if ref.module != RETURNED:
        return InnerOutput(str(ref), f"output of {seen.kind}", (ref,))
    is_image = len(seen.shape) == 4 and seen.shape[1] == 3
    return InnerOutput(str(ref), "returned by the network", (ref,), kind="image" if is_image else "features")


@contextmanager
def _observed(network: nn.Module, names: Collection[str], notice: Callable[[Ref, Tensor], None]) -> Iterator[None]:
    """Tells ``notice`` of every tensor that the named modules return while the block runs."""
    calls: Counter[str] = Counter()

    def take(name: str, module: nn.Module, inputs: object, output: object) -> None:
        calls[name] += 1
        for parts, tensor in _tensors(output, ()):
            notice(Ref(name, calls[name], parts), tensor)

    named = [(name or RETURNED, module) for name, module in network.named_modules()]
    hooks = [module.register_forward_hook(partial(take, name)) for name, module in named if name in names]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _tensors(output: object, parts: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    """Yields the tensors in what a module returned, each with the places and keys that lead to it."""
    if isinstance(output, Tensor):
        yield parts, output
    elif isinstance(output, Mapping):
        for key, value in output.items():
            yield from _tensors(value, (*parts, str(key)))
    elif isinstance(output, (list, tuple)):
        for place, value in enumerate(output):
            yield from _tensors(value, (*parts, str(place)))
