"""Merging option trees: bases, then the file, then ``--set``.

Dicts merge and lists replace; ``_delete_: true`` in a dict replaces it; a changed ``type`` drops the old component's
other keys; ``null`` removes a named entry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from deblurkit.errors import did_you_mean
from deblurkit.options.document import Node
from deblurkit.options.problems import Path

Note = Callable[[Node, Path, str], None]
"""Takes note of a problem at a node."""

DELETE = "_delete_"
_NAMED: dict[Path, str] = {
    ("losses",): "loss term",
    ("discriminators",): "discriminator",
    ("optimizers",): "optimizer",
    ("datasets", "val"): "data set",
    ("datasets", "test"): "data set",
    ("train", "freeze"): "frozen part",
}
"""Dicts of named entries, where ``null`` takes an entry away."""
_EMPTIED: set[Path] = {("datasets", "train"), ("datasets", "val"), ("datasets", "test"), ("train", "freeze")}
"""Below the top level: sections that ``null`` takes back to their default."""


def merge(under: Node | None, over: Node, note: Note, path: Path = ()) -> Node:
    """Returns ``over``, which comes later and wins, laid upon ``under``; neither is changed.

    Mistakes are noted: a removal of nothing, a ``_delete_`` that is no truth value. ``path`` leads here.
    """
    if not isinstance(over.value, dict):
        return over
    below = _kept(under, over, note, path)
    result = dict(below)
    for key, item in over.value.items():
        place = (*path, key)
        if key == DELETE:
            continue
        # Anywhere else null is a value: an argument that may be None, or an optional setting that is switched off.
        if item.value is None and (len(place) == 1 or place in _EMPTIED or path in _NAMED):
            if key not in result and path in _NAMED:
                hint = did_you_mean(key, result)
                note(item, place, f"null removes nothing: there is no {_NAMED[path]} of that name{hint}")
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), item, note, place)
    refused = over.refused or (under is not None and under.refused)
    if under is None or not below:
        return Node(result, over.origin, refused=refused, merged=over.merged)
    # What is wrong with a component as a whole is told where its type stands; with any other dict, where it begins.
    origin = over.origin if "type" in over.value else under.origin
    return Node(result, origin, refused=refused, merged=(*under.places, *over.places))


def _kept(under: Node | None, over: Node, note: Note, path: Path) -> dict[str, Node]:
    """Returns the entries of ``under`` that survive the dict ``over``."""
    assert isinstance(over.value, dict)
    delete = over.value.get(DELETE)
    if delete is not None and not isinstance(delete.value, bool):
        note(delete, (*path, DELETE), f"should be true or false, not {delete.value!r}")
    if under is None or not isinstance(under.value, dict) or (delete is not None and delete.value is True):
        return {}
    # The arguments of one component mean nothing to another.
    old, new = under.value.get("type"), over.value.get("type")
    if old is not None and new is not None and old.value != new.value:
        return {}
    return under.value


def overlay(root: Node, keys: Sequence[str], value: Node, note: Note, path: Path = ()) -> Node:
    """Returns ``root`` with ``value`` merged in at ``keys``, which may add keys and index lists.

    Raises:
        LookupError: A list has no such index; says so in words.
    """
    head, rest = keys[0], keys[1:]
    if isinstance(root.value, list):
        if not head.isdecimal() or int(head) >= len(root.value):
            raise LookupError(f"there is no item {head!r}, the list has {len(root.value)}")
        index = int(head)
        items = list(root.value)
        place = (*path, index)
        if rest:
            items[index] = overlay(items[index], rest, value, note, place)
        else:  # lists replace: an item is not merged with the one whose place it takes
            items[index] = merge(None, value, note, place)
        return Node(items, root.origin)
    if rest and isinstance(root.value, dict):
        child = root.value.get(head)
        if child is not None and isinstance(child.value, (dict, list)):
            return Node({**root.value, head: overlay(child, rest, value, note, (*path, head))}, root.origin)
    for key in reversed(rest):
        value = Node({key: value}, value.origin)
    return merge(root, Node({head: value}, value.origin), note, path)
