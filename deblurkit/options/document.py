"""YAML 1.2 text to a tree of plain values that know the line they came from.

ruamel.yaml parses; the tree is composed here from its events, because explicit tags and the positions of keys,
both needed, are lost or resolved in what it constructs. No value is ever turned into an object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from deblurkit.errors import did_you_mean
from deblurkit.options.problems import Origin, Path, Problem

Scalar = str | int | float | bool | None
Plain = Scalar | list["Plain"] | dict[str, "Plain"]

MAX_VALUES = 10_000
"""Values that one source may hold with its aliases expanded: far more than any experiment, far less than a bomb."""
MAX_DEPTH = 64

# As section 10.3.2 of the YAML 1.2 specification lists them.
_NULL = re.compile(r"(~|null|Null|NULL|)")
_BOOL = re.compile(r"(true|True|TRUE|false|False|FALSE)")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)")
_NAN = re.compile(r"\.(nan|NaN|NAN)")
_MAX_DIGITS = 300
"""Python refuses to read integers of thousands of digits; no option needs a tenth of this."""


@dataclass(slots=True)
class Node:
    """A value and the place of the key (or list item) that holds it. Treat as immutable: aliases share nodes.

    Args:
        value: Scalars as they are, nodes in dicts and lists.
        origin: Where it was written.
        size: How many values it holds, itself included.
        refused: It bears a tag, which is reported; nothing else needs to be said of it.
        merged: All places where a dict that was merged of several is written, bases first.
    """

    value: Scalar | list[Node] | dict[str, Node]
    origin: Origin
    size: int = 1
    refused: bool = False
    merged: tuple[Origin, ...] = ()

    @property
    def places(self) -> tuple[Origin, ...]:
        """Returns where it was written: in one place, unless it was merged."""
        return self.merged or (self.origin,)


def resolve(text: str) -> Scalar:
    """Reads a plain scalar by the core schema of YAML 1.2: no dates, no ``yes``, and ``1e-4`` is a number.

    >>> resolve("1e-4"), resolve("0o17"), resolve("yes"), resolve("2026-01-31")
    (0.0001, 15, 'yes', '2026-01-31')
    """
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text) and len(text) <= _MAX_DIGITS:
        return int(text, 0 if text[:2] in ("0o", "0x") else 10)
    if _FLOAT.fullmatch(text):  # whole numbers with more digits than an int may have, too
        return float(text)
    if _INFINITE.fullmatch(text) or _NAN.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def to_plain(node: Node) -> Plain:
    """Drops the positions."""
    if isinstance(node.value, dict):
        return {key: to_plain(item) for key, item in node.value.items()}
    if isinstance(node.value, list):
        return [to_plain(item) for item in node.value]
    return node.value


def from_plain(value: object, origin: Origin) -> Node:
    """Gives every value of a plain tree the same origin; raises a ``TypeError`` where it holds anything else."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("a key is not text")
        return Node({key: from_plain(item, origin) for key, item in value.items()}, origin)
    if isinstance(value, list):
        return Node([from_plain(item, origin) for item in value], origin)
    if value is None or isinstance(value, (str, int, float)):
        return Node(value, origin)
    raise TypeError(f"it holds a {type(value).__name__}")


def follow(root: Node, path: Path) -> list[Node]:
    """Returns the nodes that lead to ``path``, from the root to the last one that exists."""
    trail = [root]
    for part in path:
        node = trail[-1]
        inner: Node | None = None
        if isinstance(node.value, dict):
            inner = node.value.get(str(part))
        elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
            inner = node.value[part]
        if inner is None:
            break
        trail.append(inner)
    return trail


class _StopReading(Exception):  # noqa: N818 (it is no error to the caller)
    """The text cannot be read any further; the problem has been noted."""


class Composer:
    """Composes the one document of ``text``, YAML 1.2 from the source ``origin``; appends mistakes to ``problems``."""

    def __init__(self, text: str, origin: Origin, problems: list[Problem]) -> None:
        self.text = text
        self.origin = origin
        self.problems = problems
        self.anchors: dict[str, Node | None] = {}
        self._depth = 0

    def compose(self, path: Path = ()) -> Node | None:
        """Returns the document's root (null where it is empty), or ``None`` where it cannot be read to the end.

        It will stand under ``path``, which messages name.
        """
        events: Iterator[Event] = YAML(typ="safe", pure=True).parse(self.text)
        root: Node | None = None
        try:
            for event in events:
                if isinstance(event, DocumentStartEvent) and root is not None:
                    self._stop(event, path, "a second document begins here; only one is expected")
                if isinstance(event, NodeEvent):
                    root = self._node(event, events, path)
        except _StopReading:
            return None
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = 1 if mark is None else mark.line + 1
            said = ", ".join(filter(None, (error.context, error.problem)))
            self._note(line, (), f"not valid YAML: {said}")
            return None
        except ReaderError as error:
            line = self.text.count("\n", 0, error.position) + 1
            self._note(line, (), f"not valid YAML: the character {error.character!r} is not allowed")
            return None
        except YAMLError as error:
            self._note(1, (), f"not valid YAML: {error}")
            return None
        return root or Node(None, self._at(1))

    def _at(self, line: int) -> Origin:
        """Returns the place of a line; the source itself where it has none, as ``--set`` has."""
        return self.origin if self.origin.line is None else Origin(self.origin.source, line, self.origin.order)

    def _note(self, line: int, path: Path, text: str) -> None:
        self.problems.append(Problem(self._at(line), path, text))

    def _stop(self, event: Event, path: Path, text: str) -> None:
        self._note(event.start_mark.line + 1, path, text)
        raise _StopReading

    def _node(self, event: NodeEvent, events: Iterator[Event], path: Path, line: int | None = None) -> Node:
        """Composes the value that ``event`` begins; ``line`` is that of its key."""
        if self._depth > MAX_DEPTH:  # keys, too, may be dicts of dicts
            self._stop(event, path[:3], f"nested deeper than {MAX_DEPTH} levels")
        self._depth += 1
        node = self._composed(event, events, path, self._at(line or event.start_mark.line + 1))
        self._depth -= 1
        return node

    def _composed(self, event: NodeEvent, events: Iterator[Event], path: Path, origin: Origin) -> Node:
        if isinstance(event, AliasEvent):
            return self._alias(event, origin, path)
        assert isinstance(event, (CollectionStartEvent, ScalarEvent))
        if event.tag is not None:
            tag = str(event.tag).replace("tag:yaml.org,2002:", "!!", 1)
            self._note(event.start_mark.line + 1, path, f"the tag {tag} is refused: option files hold no tags")
        if event.anchor is not None:
            self.anchors[event.anchor] = None  # until it is whole, so that an alias inside it is found out
        if isinstance(event, MappingStartEvent):
            node = self._mapping(origin, events, path)
        elif isinstance(event, SequenceStartEvent):
            node = self._sequence(origin, events, path)
        else:
            assert isinstance(event, ScalarEvent)
            plain = event.style is None  # what stands in quotes is text, whatever it looks like
            node = Node(resolve(event.value) if plain else event.value, origin)
        node.refused = event.tag is not None
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        if node.size > MAX_VALUES:  # a few lines of aliases of aliases make billions
            self._stop(event, path[:3], f"more than {MAX_VALUES} values")
        return node

    def _alias(self, event: AliasEvent, origin: Origin, path: Path) -> Node:
        if event.anchor not in self.anchors:
            hint = did_you_mean(str(event.anchor), self.anchors)
            self._stop(event, path, f"nothing is anchored as '&{event.anchor}'{hint}")
        target = self.anchors[event.anchor]
        if target is None:
            self._stop(event, path, f"the alias '*{event.anchor}' stands inside what it repeats")
        assert target is not None
        return Node(target.value, origin, target.size, target.refused)

    def _sequence(self, origin: Origin, events: Iterator[Event], path: Path) -> Node:
        items: list[Node] = []
        for event in events:
            if isinstance(event, CollectionEndEvent):
                break
            assert isinstance(event, NodeEvent)
            items.append(self._node(event, events, (*path, len(items))))
        return Node(items, origin, 1 + sum(item.size for item in items))

    def _mapping(self, origin: Origin, events: Iterator[Event], path: Path) -> Node:
        items: dict[str, Node] = {}
        for event in events:
            if isinstance(event, CollectionEndEvent):
                break
            assert isinstance(event, NodeEvent)
            line = event.start_mark.line + 1
            key = self._node(event, events, path).value
            value_event = next(events)
            assert isinstance(value_event, NodeEvent)
            place = (*path, key) if isinstance(key, str) else path
            value = self._node(value_event, events, place, line)
            if not isinstance(key, str):
                shown = "a dict or list" if isinstance(key, (dict, list)) else f"{key!r}; put it in quotes if meant"
                self._note(line, path, f"a key should be text, not {shown}")
            elif key == "<<":
                self._note(line, path, "'<<' is not a part of YAML 1.2; share settings through _base_ or an alias")
            elif key in items:
                self._note(line, place, f"duplicate key, first on line {items[key].origin.line}")
                # Both are kept, so that no mistake in either goes unreported.
                first = items[key]
                if isinstance(first.value, dict) and isinstance(value.value, dict):
                    value = Node(first.value | value.value, first.origin, first.size + value.size)
                items[key] = value
            else:
                items[key] = value
        return Node(items, origin, 1 + sum(item.size for item in items.values()))
