"""Completion in real shells: Tab is pressed in bash, zsh and fish, and what stands on the line is read."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pexpect = pytest.importorskip("pexpect", reason="needs pexpect, of the extra [dev]")

ROOT = Path(__file__).resolve().parents[1]
LINES = {
    "deblurkit tr": "deblurkit train ",
    "deblurkit train --dry": "deblurkit train --dry-run ",
    "deblurkit train -opt mad": "deblurkit train -opt madn ",
    "deblurkit train -opt ablations/bag/pl": "deblurkit train -opt ablations/bag/plain ",
    "deblurkit train -opt ./my_o": "deblurkit train -opt ./my_own.yml ",
    "deblurkit train -opt madn --set train.ite": "deblurkit train -opt madn --set train.iters=",
    "deblurkit train -opt madn --set generator.fus": "deblurkit train -opt madn --set generator.fusion=",
    "deblurkit train -opt madn --set generator.type=NAF": "deblurkit train -opt madn --set generator.type=NAFNet ",
    "deblurkit deblur a.jpg --weights star": "deblurkit deblur a.jpg --weights starter ",
    "deblurkit weights show star": "deblurkit weights show starter ",
    "deblurkit weights get nafnet-gopro-width3": "deblurkit weights get nafnet-gopro-width32 ",
    "deblurkit list disc": "deblurkit list discriminator ",
    "deblurkit test --explain kohler-o": "deblurkit test --explain kohler-official-v1 ",
    "deblurkit blur ph": "deblurkit blur photos ",
}
"""What is typed, and what stands there after Tab."""

SHELLS = {
    "bash": (["--norc", "--noprofile", "-i"], 'PS1="> "; eval "$(deblurkit completion bash)"'),
    "zsh": (["-f", "-i"], 'PS1="> "; autoload -Uz compinit; compinit -u; eval "$(deblurkit completion zsh)"'),
    "fish": (
        ["--no-config", "-i"],
        "function fish_prompt; echo '> '; end; set -g fish_autosuggestion_enabled 0; "
        "deblurkit completion fish | source",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Makes a folder with one option file, and the command in ``bin``."""
    folder = tmp_path_factory.mktemp("shell")
    (folder / "my_own.yml").write_text("name: mine\n")
    command = folder / "bin" / "deblurkit"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m deblurkit "$@"\n')
    command.chmod(0o755)
    return folder


@pytest.fixture(scope="module", params=SHELLS)
def shell(request: pytest.FixtureRequest, folder: Path) -> Iterator[pexpect.spawn]:
    """Starts a shell that has completion; it is skipped where the machine lacks it."""
    if shutil.which(request.param) is None:
        pytest.skip(f"needs {request.param}")
    flags, setup = SHELLS[request.param]
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "TERM": "dumb", "HOME": str(folder)}
    child = pexpect.spawn(
        request.param, flags, cwd=str(folder), env=environment, encoding="utf-8", timeout=30, dimensions=(24, 200)
    )
    child.sendline(f"{setup}; echo READY''NOW")
    child.expect_exact("READYNOW")
    yield child
    child.close(force=True)


@pytest.mark.parametrize("typed", LINES)
def test_tab(shell: pexpect.spawn, typed: str) -> None:
    completed = LINES[typed]
    shell.send(f"{typed}\t")
    # The shell prints only what it adds; a marker shows whether a space follows. zsh prints its last space again.
    shell.send("@")
    added = re.escape(completed[len(typed) :])
    try:
        shell.expect(f"{added}(\x08 )?@")
    finally:
        shell.sendcontrol("u")
