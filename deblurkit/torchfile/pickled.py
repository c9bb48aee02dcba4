"""A rehearsal of a pickle that ``torch.save`` wrote: nothing that it names is imported, and no tensor is made.

Python's own reader goes through it with stand-ins for what weight files may name, each of which checks its arguments.
So what ``torch.load(weights_only=True)`` would make is known before it is made: dense tensors no larger than their
storages, and plain values.
"""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, NoReturn

import torch

MAX_STEPS = 2_000_000
"""Steps of a pickle: some sixty thousand tensors."""

Room = Callable[[str, int], None]
"""Called with a storage's key and its bytes; raises :class:`RefusedError` where the file does not hold them."""

_STEPS = {
    *("PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "GLOBAL", "REDUCE", "BUILD", "BINPERSID"),
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING"),
    *("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
    *("APPEND", "APPENDS", "SETITEM", "SETITEMS", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
}
"""The instructions that ``torch.load(weights_only=True)`` knows, except those that make objects."""

_FOREIGN = "holds more than plain types and tensors"


class RefusedError(ValueError):
    """The file holds what no weight file needs; says what."""


@dataclass(frozen=True, eq=False)
class _Storage:
    """The bytes of tensors."""

    bytes: int
    item_bytes: int


class _Tensor:
    """A tensor that fits its storage."""


@dataclass(frozen=True)
class _Type:
    """A type of numbers, or of storages."""

    item_bytes: int

    def __call__(self, *arguments: object) -> NoReturn:
        raise RefusedError(f"{_FOREIGN} (it calls what is no function)")


class _Entries(dict[object, object]):
    """An ordered dict, which may bring what a state dict's own class keeps beside its entries."""

    def __setstate__(self, state: object) -> None:
        # torch copies the attributes over as they are, and load_state_dict reads _metadata as a dict of dicts
        if not isinstance(state, dict) or set(state) - {"_metadata"}:
            raise RefusedError(f"{_FOREIGN} (it sets attributes)")
        metadata = state.get("_metadata", {})
        if not isinstance(metadata, dict) or not all(isinstance(entry, dict) for entry in metadata.values()):
            raise RefusedError("holds a state dict whose _metadata is damaged")


def rehearse(stream: BinaryIO, room: Room) -> object:
    """Goes through the next pickle of ``stream`` and returns what it makes, with stand-ins for tensors.

    Raises:
        RefusedError: It holds more than plain types and dense tensors.
        ValueError, LookupError, TypeError, AttributeError, pickle.UnpicklingError: It is damaged.
    """
    # First the instructions alone, which run nothing: Python's reader knows some that torch's refuses.
    begin = stream.tell()
    for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
        if opcode.name not in _STEPS:
            raise RefusedError(f"{_FOREIGN} (the instruction {opcode.name})")
        if opcode.name == "PROTO" and argument != 2:
            raise RefusedError(f"is pickled by protocol {argument}, torch writes 2")
        # Python makes room for all numbers below the one it is to remember: eight bytes could ask for gigabytes
        if opcode.name == "LONG_BINPUT" and int(argument or 0) > number:
            raise RefusedError("numbers what it remembers as no writer does")
        if number > MAX_STEPS:
            raise RefusedError(f"describes more than any network has (over {MAX_STEPS} steps)")
    stream.seek(begin)
    return _Rehearsal(stream, room).load()


class _Rehearsal(pickle.Unpickler):
    def __init__(self, stream: BinaryIO, room: Room) -> None:
        super().__init__(stream)
        self.room = room

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        found = _NAMES.get(f"{module}.{name}")
        if found is None:
            raise RefusedError(f"{_FOREIGN} (it asks for {f'{module}.{name}'[:80]!a})")
        return found

    def persistent_load(self, reference: object) -> _Storage:
        if not isinstance(reference, tuple) or len(reference) not in (5, 6):
            raise RefusedError(f"{_FOREIGN} (a reference to something else)")
        tag, kind, key, _, count, *views = reference
        if tag != "storage" or not isinstance(kind, _Type) or not isinstance(key, str) or views not in ([], [None]):
            raise RefusedError(f"{_FOREIGN} (a reference to something else)")
        if type(count) is not int or count < 0:
            raise RefusedError(f"holds a tensor of {count!a} numbers")
        self.room(key, count * kind.item_bytes)
        return _Storage(count * kind.item_bytes, kind.item_bytes)


def _tensor(
    storage: object,
    offset: object,
    size: object,
    stride: object,
    grad: object = False,
    hooks: object = None,
    dtype: object = None,
    *more: object,
) -> _Tensor:
    """Checks a tensor against its storage: it lies within, and no two of its numbers lie in one place."""
    if not isinstance(size, tuple) or not isinstance(stride, tuple) or len(size) != len(stride):
        raise RefusedError("holds a tensor whose size is none")
    start, lengths, steps = _length(offset), [_length(value) for value in size], [_length(value) for value in stride]
    of_numbers = type(grad) is bool and not hooks and not any(more)
    if not of_numbers or not isinstance(storage, _Storage) or not isinstance(dtype, _Type | None):
        raise RefusedError("holds a tensor that is more than numbers")
    item_bytes = storage.item_bytes if dtype is None else dtype.item_bytes
    # From the innermost axis outwards each step has to leap over all that the axes before it reach. A stride of 0 would
    # make a tensor of any size out of a few bytes.
    reach, shape = 0, "x".join(map(str, lengths))[:100]
    for step, length in sorted(zip(steps, lengths, strict=True)):
        if length > 1 and step <= reach:
            raise RefusedError(f"holds a tensor of {shape} whose numbers share places")
        if length:
            reach += (length - 1) * step
    if 0 not in lengths and (start + reach + 1) * item_bytes > storage.bytes:
        raise RefusedError(f"holds a tensor of {shape}, larger than its {storage.bytes} bytes")
    return _Tensor()


def _length(value: object) -> int:
    if type(value) is not int or value < 0:  # not isinstance: True is an int, and no length
        raise RefusedError("holds a tensor whose size is none")
    return value


def _parameter(data: object, grad: object, hooks: object) -> _Tensor:
    if not isinstance(data, _Tensor) or type(grad) is not bool or hooks:
        raise RefusedError("holds a parameter that is more than numbers")
    return data


def _encoded(text: object, codec: object) -> bytes:
    if not isinstance(text, str) or codec != "latin1":
        raise RefusedError("holds bytes in an unknown code")
    return text.encode("latin1")


def _sequence(items: object) -> tuple[object, ...]:
    if not isinstance(items, (list, tuple)):
        raise RefusedError("holds a set or size of something else")
    return tuple(items)


def _device(*words: object) -> str:
    return ascii(words)


_NAMES: dict[str, Callable[..., object]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _sequence,
    "torch.device": _device,
    "collections.OrderedDict": _Entries,
    "collections.Counter": _Entries,
    "builtins.set": _sequence,
    "__builtin__.set": _sequence,
    "_codecs.encode": _encoded,
    **{str(value): _Type(value.itemsize) for value in vars(torch).values() if isinstance(value, torch.dtype)},
    "torch.storage.UntypedStorage": _Type(1),
    **dict.fromkeys(("torch.BoolStorage", "torch.ByteStorage", "torch.CharStorage"), _Type(1)),
    **dict.fromkeys(("torch.ShortStorage", "torch.HalfStorage", "torch.BFloat16Storage"), _Type(2)),
    **dict.fromkeys(("torch.IntStorage", "torch.FloatStorage"), _Type(4)),
    **dict.fromkeys(("torch.LongStorage", "torch.DoubleStorage", "torch.ComplexFloatStorage"), _Type(8)),
    "torch.ComplexDoubleStorage": _Type(16),
}
"""All that a weight file may name, each with its stand-in; quantised types are not among it."""
