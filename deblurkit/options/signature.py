"""Signatures of components' constructors, and whether arguments from an option file fit them."""

from __future__ import annotations

import contextlib
import inspect
import json
import math
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from deblurkit.options.problems import Path

_LONGEST_SHOWN = 80
_OBJECTS_ONLY = {"needs_python_object", "callable_type", "is_type", "is_instance_of", "is_subclass_of"}
"""Errors of annotations that no YAML value can meet: the constructor must convert, so they say nothing."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The named arguments of a constructor.

    Args:
        annotations: Argument -> its annotation; :data:`Any` where it is absent or cannot be resolved.
        required: Those without a default.
        is_open: Whether further names may be meant for somebody else (``**kwargs`` that no base class explains).
    """

    annotations: dict[str, Any]
    required: tuple[str, ...]
    is_open: bool


@cache
def signature_of(component: Callable[..., Any]) -> Signature:
    """Reads the arguments of a class or function, following ``**kwargs`` along the base classes."""
    annotations: dict[str, Any] = {}
    required: list[str] = []
    is_open = False
    for function, skip_first in _constructors(component):
        is_open = False  # `**kwargs` of the function before goes to this one
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # written in C: anything may be meant for it
            return Signature(annotations, tuple(required), True)
        for parameter in parameters[1:] if skip_first else parameters:
            if parameter.kind is parameter.VAR_KEYWORD:
                is_open = True
            elif parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                if parameter.name in annotations:  # a subclass has given it an annotation and a default of its own
                    continue
                annotations[parameter.name] = _annotation(function, parameter)
                if parameter.default is parameter.empty:
                    required.append(parameter.name)
        if not is_open:
            break
    return Signature(annotations, tuple(required), is_open)


def _constructors(component: Callable[..., Any]) -> Iterator[tuple[Callable[..., Any], bool]]:
    """Yields the functions that see a component's arguments, outermost first, each with whether it takes ``self``."""
    if not inspect.isclass(component):
        yield component, False
        return
    plumbing = {object}
    if "torch" in sys.modules:  # whose Module takes any arguments; without it nothing can be one
        plumbing.add(sys.modules["torch"].nn.Module)
    for base in component.__mro__:
        if base not in plumbing and "__init__" in vars(base):
            yield vars(base)["__init__"], True


def _annotation(function: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    written = parameter.annotation
    if written is parameter.empty:
        return Any
    if not isinstance(written, str):
        return written
    # One by one: a name that is imported for type checkers only must not hide the annotations beside it.
    holder = types.SimpleNamespace(__annotations__={parameter.name: written})
    try:
        return typing.get_type_hints(holder, globalns=inspect.unwrap(function).__globals__)[parameter.name]
    except (NameError, TypeError, AttributeError, SyntaxError):
        return Any


def returns_of(function: Callable[..., Any]) -> Any:
    """Returns the annotation of what a function returns; :data:`Any` where it is absent or cannot be resolved."""
    try:
        return typing.get_type_hints(inspect.unwrap(function)).get("return", Any)
    except (NameError, TypeError, AttributeError, SyntaxError):
        return Any


def is_list(annotation: object) -> bool | None:
    """Tells whether an annotation is that of a list, tuple or sequence; ``None`` where it may be or cannot tell."""
    if typing.get_origin(annotation) in (list, tuple, Sequence):
        return True
    unclear = (Any, list, tuple, object)  # Any is a class, too
    return False if isinstance(annotation, type) and annotation not in unclear else None


def argument_problems(annotation: object, value: object) -> list[tuple[Path, str]]:
    """Checks a value of an option file against an annotation: whole numbers pass for float, lists for sequences.

    Returns for each mistake the path inside the value and what is wrong; nothing where the annotation cannot tell.
    """
    if _has_nan(value):
        return [((), "NaN is no usable number")]
    adapter = adapter_of(annotation)
    if adapter is None:
        return []
    try:
        # As JSON, since strict pydantic takes no list for a tuple or a set otherwise, and YAML has only lists.
        adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        return _readable(error, value)
    return []


def adapter_of(annotation: Any) -> TypeAdapter[Any] | None:
    """Returns pydantic's view of an annotation, or ``None`` where it has none."""
    if annotation is Any:
        return None
    # Types that bring their own configuration (dataclasses, TypedDict) refuse another.
    for config in (ConfigDict(arbitrary_types_allowed=True, extra="forbid"), None):
        with contextlib.suppress(PydanticUserError, TypeError, NameError, AttributeError):
            return TypeAdapter(annotation, config=config)
    return None


def _readable(error: ValidationError, value: object) -> list[tuple[Path, str]]:
    """Puts pydantic's errors in words; of a union's branches those count that came furthest."""
    expected: dict[Path, list[str]] = {}
    shown: dict[Path, object] = {}
    for detail in error.errors(include_url=False, include_context=False):
        if detail["type"] not in _OBJECTS_ONLY:
            path, shown[path] = within(detail["loc"], value)
            expected.setdefault(path, []).append(expectation(detail))
    problems = []
    for path, texts in expected.items():
        # `list[int] | str` fails for [1, x] twice: the list at its second item, the text at once, which says less.
        if not any(other[: len(path)] == path and other != path for other in expected):
            problems.append((path, with_value(" or ".join(dict.fromkeys(texts)), shown[path])))
    return problems


def within(location: tuple[int | str, ...], value: Any) -> tuple[Path, Any]:
    """Follows an error's location into ``value``: returns the path that exists there, and the value at its end.

    The marks that pydantic adds for branches of a union are skipped.
    """
    path: list[int | str] = []
    for part in location:
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[int(part)]
        else:
            continue
        path.append(part)
    return tuple(path), value


def expectation(detail: Mapping[str, Any]) -> str:
    """Puts the message of one of pydantic's errors in our wording."""
    if detail["type"] == "extra_forbidden":
        return "unknown key"
    if detail["type"] == "missing":
        return f"the key {detail['loc'][-1]!r} is missing"
    message: str = detail["msg"]
    for prefix, ours in (("Input should be ", "should be "), ("Value error, ", "")):
        if message.startswith(prefix):
            return ours + message[len(prefix) :]
    return message[:1].lower() + message[1:]


def with_value(text: str, value: object) -> str:
    """Adds to ``should be ...`` what was given instead."""
    if not text.startswith("should be "):
        return text
    shown = repr(value)
    return f"{text}, not {shown if len(shown) <= _LONGEST_SHOWN else f'{shown[:_LONGEST_SHOWN]}...'}"


def _has_nan(value: object) -> bool:
    if isinstance(value, dict | list):
        return any(_has_nan(item) for item in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and math.isnan(value)
