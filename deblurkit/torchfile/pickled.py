"""A dry run of a pickle that ``torch.save`` wrote: nothing is imported, called or allocated.

Names stand for themselves, and each call is looked up in a short list that checks its arguments. So what
``torch.load(weights_only=True)`` would make is known before it is made: dense tensors no larger than their storages,
and plain values.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

MAX_STEPS = 2_000_000
"""Steps of a pickle: some sixty thousand tensors."""

Room = Callable[[str, int], None]
"""Called with a storage's key and its bytes; raises :class:`RefusedError` where the file does not hold them."""


class RefusedError(ValueError):
    """The file holds what no weight file needs; says what."""


@dataclass(frozen=True)
class _Name:
    """An imported name."""

    path: str


@dataclass(frozen=True, eq=False)
class _Storage:
    """The bytes of tensors."""

    bytes: int
    item_bytes: int


@dataclass(frozen=True, eq=False)
class _Tensor:
    """A tensor that fits its storage."""


def rehearse(stream: BinaryIO, room: Room) -> Any:
    """Go through the next pickle of ``stream`` and return what it makes, with stand-ins for tensors.

    Raises:
        RefusedError: It holds more than plain types and dense tensors.
        ValueError, LookupError, TypeError: It is damaged.
    """
    machine = _Machine(room)
    for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        step = _STEPS.get(opcode.name)
        if step is None:
            raise RefusedError(f"holds more than plain types and tensors (the instruction {opcode.name})")
        if number > MAX_STEPS:
            raise RefusedError(f"describes more than any network has (over {MAX_STEPS} steps)")
        step(machine, argument)
    return machine.stack.pop()


class _Machine:
    """The stack of a pickle, the stacks that wait below it, and what it remembers."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.stack: list[Any] = []
        self.waiting: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def ignore(self, argument: Any) -> None:
        """Do nothing."""

    def protocol(self, number: int) -> None:
        if number != 2:
            raise RefusedError(f"is pickled by protocol {number}, torch writes 2")

    def mark(self, argument: Any) -> None:
        self.waiting.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.waiting.pop()
        return items

    def last(self, count: int) -> tuple[Any, ...]:
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        if len(items) != count:
            raise IndexError("the stack is empty")
        return items

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def append(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise TypeError("items of no list")
        self.stack[-1].extend(items)

    def set_items(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise TypeError("items of no dict")
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def name(self, text: str) -> None:
        path = text.replace(" ", ".", 1)
        if path not in _CALLS and path not in _DTYPES and path not in _STORAGES:
            raise RefusedError(f"holds more than plain types and tensors (it asks for {path[:80]!a})")
        self.push(_Name(path))

    def call(self, argument: Any) -> None:
        function, arguments = self.last(2)
        check = _CALLS.get(function.path) if isinstance(function, _Name) else None
        if check is None:
            raise RefusedError("holds more than plain types and tensors (it calls what is no function)")
        self.push(check(*arguments))

    def build(self, argument: Any) -> None:
        """Take what a state dict's own class keeps beside its entries."""
        (state,) = self.last(1)
        if not isinstance(self.stack[-1], dict) or not isinstance(state, dict) or set(state) - {"_metadata"}:
            raise RefusedError("holds more than plain types and tensors (it sets attributes)")
        metadata = state.get("_metadata", {})
        if not isinstance(metadata, dict) or not all(isinstance(entry, dict) for entry in metadata.values()):
            raise RefusedError("holds a state dict whose _metadata is damaged")

    def storage(self, argument: Any) -> None:
        (reference,) = self.last(1)
        if not isinstance(reference, tuple) or len(reference) not in (5, 6):
            raise RefusedError("holds more than plain types and tensors (a reference to something else)")
        tag, kind, key, _, count, *views = reference
        item_bytes = _STORAGES.get(kind.path) if isinstance(kind, _Name) else None
        if tag != "storage" or not item_bytes or not isinstance(key, str) or views not in ([], [None]):
            raise RefusedError("holds more than plain types and tensors (a reference to something else)")
        if type(count) is not int or count < 0:
            raise RefusedError(f"holds a tensor of {count!a} numbers")
        self.room(key, count * item_bytes)
        self.push(_Storage(count * item_bytes, item_bytes))


def _tensor(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    grad: Any = False,
    hooks: Any = None,
    dtype: Any = None,
    *more: Any,
) -> _Tensor:
    """Check a tensor against its storage: it lies within, and no two of its numbers lie in one place."""
    lengths = (offset, *size, *stride) if isinstance(size, tuple) and isinstance(stride, tuple) else (None,)
    if not all(type(length) is int and length >= 0 for length in lengths) or len(size) != len(stride):
        raise RefusedError("holds a tensor whose size is none")
    if not isinstance(storage, _Storage) or type(grad) is not bool or hooks or any(more):
        raise RefusedError("holds a tensor that is more than numbers")
    item_bytes = _DTYPES.get(dtype.path, 0) if isinstance(dtype, _Name) else 0 if dtype else storage.item_bytes
    if not item_bytes:
        raise RefusedError("holds a tensor that is more than numbers")
    reach, shape = 0, "x".join(map(str, size))[:100]
    for step, length in sorted(zip(stride, size, strict=True)):
        if length > 1 and step <= reach:
            raise RefusedError(f"holds a tensor of {shape} whose numbers share places")
        reach += (length - 1) * step if length else 0
    if 0 not in size and (offset + reach + 1) * item_bytes > storage.bytes:
        raise RefusedError(f"holds a tensor of {shape}, larger than its {storage.bytes} bytes")
    return _Tensor()


def _parameter(data: Any, grad: Any, hooks: Any) -> _Tensor:
    if not isinstance(data, _Tensor) or type(grad) is not bool or hooks:
        raise RefusedError("holds a parameter that is more than numbers")
    return data


def _ordered(pairs: Any = ()) -> dict[Any, Any]:
    return dict(pairs)


def _encoded(text: Any, codec: Any) -> bytes:
    if not isinstance(text, str) or codec != "latin1":
        raise RefusedError("holds bytes in an unknown code")
    return text.encode("latin1")


def _sequence(items: Any) -> Any:
    if not isinstance(items, (list, tuple)):
        raise RefusedError("holds a set or size of something else")
    return tuple(items)


def _device(*words: Any) -> str:
    return ascii(words)


_DTYPES = {str(value): value.itemsize for value in vars(torch).values() if isinstance(value, torch.dtype)}
_STORAGES = {
    "torch.storage.UntypedStorage": 1,
    **dict.fromkeys(("torch.BoolStorage", "torch.ByteStorage", "torch.CharStorage"), 1),
    **dict.fromkeys(("torch.ShortStorage", "torch.HalfStorage", "torch.BFloat16Storage"), 2),
    **dict.fromkeys(("torch.IntStorage", "torch.FloatStorage"), 4),
    **dict.fromkeys(("torch.LongStorage", "torch.DoubleStorage", "torch.ComplexFloatStorage"), 8),
    "torch.ComplexDoubleStorage": 16,
}
"""Bytes of a number, by the names under which pickles refer to types and storages; quantised ones are no part of it."""

_CALLS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _sequence,
    "torch.device": _device,
    "collections.OrderedDict": _ordered,
    "collections.Counter": _ordered,
    "builtins.set": _sequence,
    "__builtin__.set": _sequence,
    "_codecs.encode": _encoded,
}
"""What a weight file may call, and what checks the arguments."""

_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _Machine.protocol,
    "STOP": _Machine.ignore,
    "MARK": _Machine.mark,
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    **dict.fromkeys(
        ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING"), _Machine.push
    ),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.push(machine.last(1)),
    "TUPLE2": lambda machine, _: machine.push(machine.last(2)),
    "TUPLE3": lambda machine, _: machine.push(machine.last(3)),
    "APPEND": lambda machine, _: machine.append(list(machine.last(1))),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set_items(list(machine.last(2))),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Machine.remember),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, index: machine.push(machine.memo[index])),
    "GLOBAL": _Machine.name,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.storage,
}
"""The instructions that ``torch.load(weights_only=True)`` knows, but for those that make objects."""
