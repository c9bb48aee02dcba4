"""A small file system in memory, for tests of what a full disk does."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class SmallDisk:
    """A file system in memory.

    Attributes:
        path: Where it is mounted.
    """

    path: Path

    def resize(self, kibibytes: int) -> None:
        """Make it larger or smaller."""
        subprocess.run(["mount", "-o", f"remount,size={kibibytes}k", self.path], check=True)

    def make_read_only(self) -> None:
        """Let nothing more be written to it."""
        subprocess.run(["mount", "-o", "remount,ro", self.path], check=True)


@contextlib.contextmanager
def small_disk_at(path: Path, kibibytes: int) -> Iterator[SmallDisk]:
    """Mount a file system of a size, or skip the test where none can be mounted."""
    path.mkdir()
    mount = shutil.which("mount")
    command = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k", "tmpfs", path]
    allowed = mount is not None and os.name == "posix" and os.geteuid() == 0
    if not allowed or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs to be root and allowed to mount a tmpfs")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", path], check=False)
