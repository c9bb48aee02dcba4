"""A folder that may not be looked into, by root neither."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_NOBODY = 65534


@contextmanager
def shut(folder: Path) -> Iterator[None]:
    """Take away the right to look into ``folder``, and root's own meanwhile: use paths relative to the current one."""
    if not hasattr(os, "geteuid"):
        pytest.skip("the system has no such rights")
    user = os.geteuid()
    Path.cwd().chmod(0o755)
    folder.chmod(0)
    if user == 0:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(user)
        folder.chmod(0o755)
