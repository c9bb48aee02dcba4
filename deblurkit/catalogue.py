"""The built-in components' names and first lines, read from the source without importing it.

Importing every component takes torch and seconds; a shell's completion and ``deblurkit list`` need words only.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parent
_DECORATOR = "register_module"


@dataclass(frozen=True)
class Entry:
    """One registered component."""

    kind: str
    """Its registry's name: ``generator``, ``loss``, ..."""
    name: str
    """What stands after ``type:``."""
    summary: str
    """The first line of its docstring."""
    arguments: tuple[str, ...]
    """What its constructor takes, where it has one of its own; a function's arguments after the first."""


@cache
def kinds() -> dict[str, str]:
    """Returns the registries' names by the variables of :mod:`deblurkit.registry` that hold them, in their order."""
    tree = ast.parse((_PACKAGE / "registry.py").read_text(encoding="utf-8"))
    found = {}
    for node in tree.body:
        match node:
            case ast.Assign(
                targets=[ast.Name(id=variable)],
                value=ast.Call(func=ast.Name(id=made_by), args=[ast.Constant(value=str(kind)), *_]),
            ) if made_by.endswith("Registry"):
                found[variable] = kind
    return found


@cache
def entries() -> tuple[Entry, ...]:
    """Returns the built-in components, in the order of the registries and of their names."""
    found: list[Entry] = []
    for file in sorted(_PACKAGE.rglob("*.py")):
        source = file.read_text(encoding="utf-8")
        if f"@{_DECORATOR}" in source or f".{_DECORATOR}(" in source:
            found += _entries_of(ast.parse(source))
    order = list(kinds().values())
    return tuple(sorted(found, key=lambda entry: (order.index(entry.kind), entry.name)))


def _entries_of(tree: ast.Module) -> Iterator[Entry]:
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        for decorator in node.decorator_list:
            match decorator:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=variable), attr=attribute), keywords=keywords) if (
                    attribute == _DECORATOR and variable in kinds()
                ):
                    name = node.name
                    for keyword in keywords:
                        if keyword.arg == "name":
                            name = ast.literal_eval(keyword.value)
                    summary = (ast.get_docstring(node) or "").partition("\n")[0]
                    yield Entry(kinds()[variable], name, summary, _arguments_of(node))


def _arguments_of(node: ast.ClassDef | ast.FunctionDef) -> tuple[str, ...]:
    """Returns the names after the first, which is ``self`` or an image."""
    function: ast.stmt | None = node
    if isinstance(node, ast.ClassDef):
        constructors = [part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"]
        function = constructors[0] if constructors else None
    if not isinstance(function, ast.FunctionDef):
        return ()
    given = function.args
    return tuple(argument.arg for argument in [*given.posonlyargs, *given.args, *given.kwonlyargs][1:])
