"""The built-in components, found in the source without importing it.

An option file needs the few modules that it names, and a shell's completion and ``deblurkit list`` need words only:
importing every component takes torch and seconds.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

_PACKAGE = Path(__file__).parent
_REGISTRY = re.compile(r'^([A-Z]+) = \w*Registry\("(\w+)"', re.MULTILINE)
_REGISTERED = re.compile(
    r'^@(?P<variable>[A-Z]+)\.register_module\(((name=)?"(?P<name>[^"]+)")?\)\n(@.*\n)*(class|def) (?P<defined>\w+)',
    re.MULTILINE,
)


class Place(NamedTuple):
    """Where a component is defined: a module, and the name of a class or function in it."""

    module: str
    defined: str


@dataclass(frozen=True)
class Entry:
    """One registered component: its registry's name, what stands after ``type:``, its docstring's first line."""

    kind: str
    name: str
    summary: str
    arguments: tuple[str, ...]
    """The arguments of its constructor, where it has one of its own; a function's arguments after the first."""


@cache
def kinds() -> dict[str, str]:
    """Returns the registries' names by the variables of :mod:`deblurkit.registry` that hold them, in their order."""
    return dict(_REGISTRY.findall((_PACKAGE / "registry.py").read_text(encoding="utf-8")))


@cache
def places() -> Mapping[str, Mapping[str, Place]]:
    """Returns where each built-in component is defined, by its kind and its name, both in order.

    This is a scan of the text, not a parse: it runs in every process, and takes a fraction of what one import takes.
    """
    found: dict[str, dict[str, Place]] = {kind: {} for kind in kinds().values()}
    # All files, not some folders: a component may stand in any, and the folders need not be listed anywhere.
    for file in _PACKAGE.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        if ".register_module(" not in text:  # most; looking for a word is faster than for the pattern
            continue
        module = ".".join(("deblurkit", *file.relative_to(_PACKAGE).with_suffix("").parts))
        for match in _REGISTERED.finditer(text):
            name = match["name"] or match["defined"]
            found[kinds()[match["variable"]]][name] = Place(module, match["defined"])
    return {kind: dict(sorted(named.items())) for kind, named in found.items()}


@cache
def entries() -> tuple[Entry, ...]:
    """Returns the built-in components, in the order of the registries and of their names."""
    found = []
    for kind, named in places().items():
        for name, place in named.items():
            node = definitions(place.module)[place.defined]
            summary = (ast.get_docstring(node) or "").partition("\n")[0]
            found.append(Entry(kind, name, summary, _arguments_of(node)))
    return tuple(found)


@cache
def definitions(module: str) -> dict[str, ast.ClassDef | ast.FunctionDef]:
    """Returns the source of the classes and functions of one of our modules, by their names."""
    file = _PACKAGE.parent.joinpath(*module.split(".")).with_suffix(".py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}


def _arguments_of(node: ast.ClassDef | ast.FunctionDef) -> tuple[str, ...]:
    """Returns the names after the first, which is ``self`` or an image."""
    function: ast.stmt = node
    for part in node.body if isinstance(node, ast.ClassDef) else ():
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            function = part
    if not isinstance(function, ast.FunctionDef):
        return ()
    given = function.args
    return tuple(argument.arg for argument in [*given.posonlyargs, *given.args, *given.kwonlyargs][1:])
