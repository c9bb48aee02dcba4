"""Tools run within the test's own process: what they print and how they end, without the seconds that torch takes."""

from __future__ import annotations

import contextlib
import io
import runpy
import subprocess
import sys
from pathlib import Path
from unittest import mock

TOOLS = Path(__file__).resolve().parents[1] / "tools"


def run_here(tool: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run ``tools/<tool>`` as ``python tools/<tool>`` would."""
    words = [str(TOOLS / tool), *map(str, arguments)]
    output, errors = io.StringIO(), io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors), mock.patch.object(sys, "argv", words):
        try:
            runpy.run_path(words[0], run_name="__main__")
        except SystemExit as end:
            code = end.code
    return subprocess.CompletedProcess(
        words, code if isinstance(code, int) else 0, output.getvalue(), errors.getvalue()
    )
