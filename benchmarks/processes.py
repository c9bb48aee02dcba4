"""Real processes of a script, quick to start.

Each is forked from a server that has imported the package once: it is a process of its own, which can be killed, and
starts in a fraction of the seconds that importing torch takes.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import MappingProxyType, ModuleType

import torch

_OURS = ["deblurkit.engine.train", "deblurkit.engine.step", "deblurkit.options.load"]
_SLOW = ["matplotlib.pyplot", "torch._dynamo"]  # imported by MMEngine and torch, once they are used

multiprocessing.get_context("forkserver").set_forkserver_preload([*_OURS, *_SLOW])


def start(
    script: str,
    arguments: Sequence[object],
    output: Path,
    environment: Mapping[str, str] = MappingProxyType({}),
    errors: Path | None = None,
    method: str = "forkserver",
) -> BaseProcess:
    """Start a script as ``__main__`` on one thread.

    Args:
        script: A file, or the name of a module.
        arguments: Its command line.
        output: What it prints is appended there.
        environment: Variables to add to those that this process had when it started the first one.
        errors: Where to append what goes to standard error; by default to ``output``.
        method: ``forkserver``, or ``spawn`` for a process that imports everything by itself.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    files = (str(output), str(errors or output))
    given = (script, [str(argument) for argument in arguments], files, dict(environment))
    process = multiprocessing.get_context(method).Process(target=_main, args=given)
    process.start()
    return process


def _main(script: str, arguments: list[str], files: tuple[str, str], environment: dict[str, str]) -> None:
    for stream, file in zip((1, 2), files, strict=True):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    os.environ.update(environment)
    multiprocessing.set_start_method(None, force=True)  # as in a process that was not forked from a server
    torch.set_num_threads(1)
    sys.argv = [script, *arguments]
    try:
        if script.endswith(".py"):
            main = ModuleType("__main__")
            main.__file__ = script
            # What processes that the script starts send back is looked for under the second name.
            sys.modules["__main__"] = sys.modules["__mp_main__"] = main
            exec(compile(Path(script).read_bytes(), script, "exec"), main.__dict__)
        else:
            runpy.run_module(script, run_name="__main__", alter_sys=True)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
