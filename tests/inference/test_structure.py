"""The modules of inference import one another in one direction, inside functions too."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import deblurkit.inference

MODULES = sorted(Path(deblurkit.inference.__file__).parent.glob("[!_]*.py"))
PACKAGE = "deblurkit.inference"


def imported(file: Path) -> set[str]:
    """The names of the modules of this package that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        found |= {name.split(".")[2] for name in names if name.startswith(f"{PACKAGE}.")}
    return found & {file.stem for file in MODULES}


def test_there_is_no_circle():
    graph = {file.stem: imported(file) for file in MODULES}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle
    assert order.index("forward") < order.index("global_ops") < order.index("tlc") < order.index("restore")
    assert graph["forward"] == set(), "one forward pass knows nothing of modes, tiles, probes or local means"
