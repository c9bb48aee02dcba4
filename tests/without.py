"""Runs a script as if some packages were not installed: ``without.py basicsr,tensorboard SCRIPT ARGUMENTS ...``."""

from __future__ import annotations

import runpy
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path


class Absent(MetaPathFinder):
    """Finds none of the packages."""

    def __init__(self, packages: list[str]) -> None:
        self.packages = packages

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.split(".")[0] in self.packages:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


if __name__ == "__main__":
    _, packages, *sys.argv = sys.argv
    assert not sys.modules.keys() & set(packages.split(",")), "imported before they could be hidden"
    sys.meta_path.insert(0, Absent(packages.split(",")))
    sys.path.insert(0, str(Path(sys.argv[0]).parent))  # as Python does for a script
    runpy.run_path(sys.argv[0], run_name="__main__")
