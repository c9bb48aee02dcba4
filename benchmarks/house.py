"""Measures how dense a tree's package is, how much it explains, and how many of its files a reader must open.

    python benchmarks/house.py [TREE]

The first part reads ``TREE/deblurkit`` as text; counts are per 100 lines that are not blank. The second runs the tree:
one iteration of a small GAN, one photograph restored, one evaluation, and counts the files of the package in which
some function ran, which are those that somebody who follows it step by step must open. ``tests/test_house.py`` holds
the limits.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
import tempfile
import threading
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_NO_COMMENT = ("# noqa", "# type:", "#!")
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SHORT = 8  # lines of a helper that is hardly longer than its call


@dataclass(frozen=True)
class House:
    """Counts over all modules of a package.

    Attributes:
        files: Modules.
        lines: Lines of text.
        written: Lines that are not blank.
        functions: Functions and methods.
        comprehensions: List, set and dict comprehensions and generator expressions.
        ternaries: Conditional expressions.
        comments: Lines with a comment that is no instruction to a tool.
        private_once: Private functions whose name is used at one place of their module.
        private_once_short: Those of at most 8 lines.
        arguments: Arguments except ``self`` and ``cls``.
        bare_any: Arguments annotated ``Any``.
        probes: ``hasattr`` and ``getattr`` with a default, outside ``contracts.py``.
        string_keys: Reads by a literal string: ``x["key"]`` and ``x.get("key")``.
    """

    files: int
    lines: int
    written: int
    functions: int
    comprehensions: int
    ternaries: int
    comments: int
    private_once: int
    private_once_short: int
    arguments: int
    bare_any: int
    probes: int
    string_keys: int

    def per_100(self, count: int) -> float:
        """Returns a count per 100 lines that are not blank."""
        return 100 * count / self.written


def measure(package: Path) -> House:
    """Counts what is written in a package; templates of plugins are no part of it."""
    total: Counter[str] = Counter()
    for file in sorted(package.rglob("*.py")):
        if "plugin_template" not in file.parts:
            total += _count(file)
    return House(**{name: total[name] for name in House.__dataclass_fields__})


def _count(file: Path) -> Counter[str]:
    text = file.read_text(encoding="utf-8")
    found: Counter[str] = Counter(files=1, lines=len(text.splitlines()))
    found["written"] = sum(1 for line in text.splitlines() if line.strip())
    with file.open("rb") as stream:
        for token in tokenize.tokenize(stream.readline):
            found["comments"] += token.type == tokenize.COMMENT and not token.string.startswith(_NO_COMMENT)
    names: Counter[str] = Counter()
    private: dict[str, int] = {}
    for node in ast.walk(ast.parse(text)):
        found["comprehensions"] += isinstance(node, _COMPREHENSIONS)
        found["ternaries"] += isinstance(node, ast.IfExp)
        found["string_keys"] += _reads_by_key(node)
        found["probes"] += file.name != "contracts.py" and _probes(node)
        if isinstance(node, ast.Name):
            names[node.id] += 1
        elif isinstance(node, ast.Attribute):
            names[node.attr] += 1
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found["functions"] += 1
            found += _arguments(node.args)
            if node.name.startswith("_") and not node.name.startswith("__"):
                private[node.name] = (node.end_lineno or node.lineno) - node.lineno + 1
    for name, length in private.items():
        found["private_once"] += names[name] == 1
        found["private_once_short"] += names[name] == 1 and length <= _SHORT
    return found


def _reads_by_key(node: ast.AST) -> bool:
    if isinstance(node, ast.Subscript):
        return isinstance(node.ctx, ast.Load) and _is_text(node.slice)
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Attribute) and called.attr == "get" and bool(node.args) and _is_text(node.args[0])  # type: ignore[attr-defined]


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _probes(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return False
    return node.func.id == "hasattr" or (node.func.id == "getattr" and len(node.args) == 3)


def _arguments(signature: ast.arguments) -> Counter[str]:
    found: Counter[str] = Counter()
    starred = [argument for argument in (signature.vararg, signature.kwarg) if argument is not None]
    for argument in (*signature.posonlyargs, *signature.args, *signature.kwonlyargs, *starred):
        if argument.arg not in ("self", "cls"):
            found["arguments"] += 1
            found["bare_any"] += argument.annotation is not None and ast.unparse(argument.annotation) in (
                "Any",
                "'Any'",
            )
    return found


def opened(tree: Path) -> dict[str, list[str]]:
    """Runs a tree and returns, by what was done, the files of its package in which a function ran."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, str(tree), "--trace-into", folder]
        subprocess.run(command, check=True, env=environment, cwd=folder, capture_output=True)
        return dict(json.loads((Path(folder) / "opened.json").read_text(encoding="utf-8")))


def trace(tree: Path, folder: Path) -> None:
    """Trains, restores and evaluates within ``folder`` and writes ``opened.json``; run with ``tree`` on the path."""
    import numpy as np

    import deblurkit
    from deblurkit.registry import RESTORERS

    files: dict[str, set[str]] = {}

    @contextmanager
    def watching(subject: str) -> Iterator[None]:
        seen = files.setdefault(subject, set())

        def note(frame: FrameType, event: str, value: object) -> None:
            path = frame.f_code.co_filename
            # imports are no steps of what is followed
            if event == "call" and path.startswith(str(tree / "deblurkit")) and frame.f_code.co_name != "<module>":
                seen.add(path.removeprefix(f"{tree}/"))

        threading.setprofile(note)
        sys.setprofile(note)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]

    step: Callable[..., Any] = RESTORERS.get("GANRestorer").train_step

    def watched_step(*arguments: Any, **named: Any) -> Any:
        with watching("one iteration"):
            return step(*arguments, **named)

    RESTORERS.get("GANRestorer").train_step = watched_step
    from same_outputs import OPTIONS

    options = {**OPTIONS, "train": {**OPTIONS["train"], "iters": 2, "checkpoint_every": 2}}
    (folder / "tiny.yml").write_text(json.dumps(options), encoding="utf-8")  # YAML 1.2 holds JSON
    run = deblurkit.train(deblurkit.load_options(folder / "tiny.yml"), folder / "run", device="cpu")
    checkpoint = run / "checkpoints" / (run / "checkpoints" / "last").read_text(encoding="utf-8").strip()
    photograph = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    with watching("one photograph"):
        deblurkit.Deblurrer(checkpoint, device="cpu")(photograph)
    with watching("one evaluation"):
        deblurkit.evaluate(weights=checkpoint, out=folder / "report", device="cpu")
    listed = {subject: sorted(seen) for subject, seen in files.items()}
    (folder / "opened.json").write_text(json.dumps(listed), encoding="utf-8")


def main() -> None:
    """Prints what is counted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", nargs="?", type=Path, default=ROOT, help="a checkout; this one by default")
    parser.add_argument("--list", action="store_true", help="also list the files that were opened")
    parser.add_argument("--tiny", action="store_true", help="count what is written, and run nothing")
    parser.add_argument("--trace-into", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    tree = args.tree.resolve()
    if args.trace_into:
        trace(tree, args.trace_into)
        return
    house = measure(tree / "deblurkit")
    print(f"{house.files} files, {house.lines} lines, {house.written} of them not blank, {house.functions} functions")
    for title, count in (
        ("comprehensions", house.comprehensions),
        ("ternaries", house.ternaries),
        ("comments", house.comments),
    ):
        print(f"{title:34} {count:6} {house.per_100(count):6.2f} per 100 lines")
    print(f"{'private functions used once':34} {house.private_once:6}")
    print(f"{f'  of at most {_SHORT} lines':34} {house.private_once_short:6}")
    print(f"{'arguments annotated Any':34} {house.bare_any:6} {100 * house.bare_any / house.arguments:6.2f} %")
    print(f"{'hasattr, getattr with a default':34} {house.probes:6}")
    print(f"{'reads by a string key':34} {house.string_keys:6}")
    for subject, files in ({} if args.tiny else opened(tree)).items():
        print(f"{'files opened: ' + subject:34} {len(files):6}")
        if args.list:
            print("\n".join(f"    {file}" for file in files))


if __name__ == "__main__":
    main()
