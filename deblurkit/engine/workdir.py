"""The folder of one run: who may write in it, what lies in it, and where a run takes up again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from deblurkit import checkpoint
from deblurkit.errors import UserError

_LOCK, _PID = ".lock", ".lock.pid"
_OURS = (
    "options.yml",
    "log.txt",
    "scalars.jsonl",
    "curves.html",
    "checkpoints",
    "samples",
    "report",
    "tensorboard",
)


class WorkDir:
    """One run's folder, held by one process at a time.

    Layout: ``options.yml``, ``log.txt``, ``scalars.jsonl``, ``checkpoints/{iter_00000100.pth, best_psnr.pth, last}``,
    ``samples/<set>/iter_00000100.jpg``, ``curves.html``, ``tensorboard/``, ``report/``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.scalars = path / "scalars.jsonl"
        self.samples = path / "samples"
        self.log = path / "log.txt"
        self.options = path / "options.yml"
        self.best = self.checkpoints / "best_psnr.pth"
        self._lock: FileLock | None = None

    def acquire(self) -> None:
        """Hold the folder until :meth:`release` or the end of the process, however it ends.

        Raises:
            UserError: Another process holds it; names that process.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError, PermissionError) as error:
            raise UserError(f"--work-dir {self.path}: cannot be made a folder ({error.strerror})") from None
        lock = FileLock(self.path / _LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            holder = self.path / _PID
            pid = holder.read_text().strip() if holder.is_file() else "unknown"
            raise UserError(f"{self.path}: another process (pid {pid}) is training in this folder") from None
        self._lock = lock
        (self.path / _PID).write_text(f"{os.getpid()}\n")

    def release(self) -> None:
        """Let the folder go."""
        if self._lock is not None:
            (self.path / _PID).unlink(missing_ok=True)
            self._lock.release()
            self._lock = None

    def remove_if_empty(self) -> None:
        """Remove the folder where nothing was put into it: a run that was refused leaves no trace."""
        if not self.used():
            (self.path / _LOCK).unlink(missing_ok=True)
            self.path.rmdir()

    def used(self) -> bool:
        """Return whether anything but the lock lies in the folder."""
        return any(item.name not in (_LOCK, _PID) for item in self.path.iterdir())

    def clear(self) -> None:
        """Remove what a run of ours leaves, and nothing else."""
        for name in _OURS:
            item = self.path / name
            if item.is_dir():
                shutil.rmtree(item)
            else:
                item.unlink(missing_ok=True)

    def iteration_file(self, iteration: int) -> Path:
        """Return the checkpoint's path of an iteration."""
        return self.checkpoints / f"iter_{iteration:08d}.pth"

    def saved(self) -> list[Path]:
        """Return the checkpoints by iteration, newest first; the one that ``last`` names before all others."""
        files = sorted(self.checkpoints.glob("iter_*.pth"), reverse=True)
        pointer = self.checkpoints / "last"
        named = self.checkpoints / pointer.read_text().strip() if pointer.is_file() else None
        return sorted(files, key=lambda file: file != named)

    def newest(self, say: Callable[[str], None]) -> tuple[Path, dict[str, Any]] | None:
        """Return the newest checkpoint that loads; each that does not is told to ``say``."""
        for path in self.saved():
            try:
                return path, checkpoint.load(path)
            except checkpoint.CheckpointError as error:
                say(f"{error}; trying the one before")
        return None

    def point_last(self, path: Path) -> None:
        """Make ``last`` name a checkpoint, replacing it as a whole."""
        pointer = self.checkpoints / "last"
        temporary = pointer.with_name("last.tmp")
        temporary.write_text(path.name + "\n")
        os.replace(temporary, pointer)

    def prune(self, keep: int, newest: Path) -> None:
        """Remove all but ``keep`` checkpoints by iteration, counted back from ``newest``.

        Later ones, which a run leaves that was taken up before its end, are no part of this run.
        """
        files = [path for path in self.checkpoints.glob("iter_*.pth") if path.name <= newest.name]
        for path in sorted(files, reverse=True)[keep:]:
            path.unlink()

    def cut_scalars(self, iteration: int) -> None:
        """Drop the lines of ``scalars.jsonl`` after an iteration, and a last line that was not finished."""
        if not self.scalars.is_file():
            return
        kept = []
        for line in self.scalars.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                break
            if record["iteration"] <= iteration:
                kept.append(line + "\n")
        temporary = self.scalars.with_name("scalars.jsonl.tmp")
        temporary.write_text("".join(kept), encoding="utf-8")
        os.replace(temporary, self.scalars)
