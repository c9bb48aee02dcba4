"""The folder of one run: who may write in it, what lies in it, and where a run takes up again."""

from __future__ import annotations

import contextlib
import errno
import json
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from deblurkit import checkpoint
from deblurkit.errors import UserError
from deblurkit.files import Lock, saying, write_atomically
from deblurkit.names import read_pointer, strip_files

_LOCK, _PID = ".lock", ".lock.pid"  # the second is the lock's own
_ITERATION = re.compile(r"iter_(\d{8,})\.pth")
_OUR_FILES = ("options.yml", "log.txt", "scalars.jsonl", "curves.html")
_OUR_FOLDERS = ("checkpoints", "abandoned", "samples", "report", "tensorboard")


class WorkDir:
    """One run's folder, held by one process at a time.

    Layout: ``options.yml``, ``log.txt``, ``scalars.jsonl``, ``checkpoints/{iter_00000100.pth, best_psnr.pth, last}``,
    ``samples/<set>/iter_00000100.jpg``, ``curves.html``, ``tensorboard/``, ``report/``; after a run went back to an
    earlier checkpoint, ``abandoned/after_00000100/`` holds what lay beyond it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.scalars = path / "scalars.jsonl"
        self.samples = path / "samples"
        self.log = path / "log.txt"
        self.options = path / "options.yml"
        self.best = self.checkpoints / "best_psnr.pth"
        self.last = self.checkpoints / "last"
        self._lock: Lock | None = None
        self._made = False

    def acquire(self) -> None:
        """Holds the folder until :meth:`release` or the end of the process, however it ends.

        Raises:
            UserError: Another process holds it, which is named, or the disk refuses it.
        """
        self._made = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--work-dir {self.path}: cannot be made a folder ({error.strerror})") from None
        taken = f"{self.path}: another process (pid {{pid}}) is training in this folder"
        with saying(f"{self.path / _LOCK}: cannot be written"):
            self._lock = Lock(self.path / _LOCK, taken)
        with saying(f"{self.path / _PID}: cannot be written"):
            self._lock.tell_pid()

    def release(self) -> None:
        """Lets the folder go."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def remove_if_empty(self) -> None:
        """Removes a folder that was made for a run which put nothing into it: one that is refused leaves no trace."""
        with contextlib.suppress(OSError):  # then it stays, which hides no better reason
            if self._made and not self.used():
                (self.path / _LOCK).unlink(missing_ok=True)
                self.path.rmdir()

    def used(self) -> bool:
        """Returns whether anything but the lock lies in the folder."""
        return any(item.name not in (_LOCK, _PID) for item in self.path.iterdir())

    def clear(self) -> None:
        """Removes what a run of ours leaves, and nothing else.

        What a link leads to is the user's, and stays. But ``checkpoints`` may be a link to a larger disk: there ours
        are removed, and nothing else, and the link stays.
        """
        if self.checkpoints.is_symlink():
            for file in (*self.iterations(), self.best, self.last, *self.checkpoints.glob("*.pth.tmp")):
                file.unlink(missing_ok=True)
        for name in (*_OUR_FILES, *_OUR_FOLDERS):
            item = self.path / name
            if item.is_dir() and not item.is_symlink():
                shutil.rmtree(item)
            elif item != self.checkpoints:
                item.unlink(missing_ok=True)

    def iteration_file(self, iteration: int) -> Path:
        """Returns the checkpoint's path of an iteration."""
        return self.checkpoints / f"iter_{iteration:08d}.pth"

    def saved(self) -> list[Path]:
        """Returns the checkpoints by iteration, newest first.

        Earlier versions left the checkpoints of abandoned branches where they were: one that is older than ``last``
        does not come before the one that ``last`` names.
        """
        files = sorted(self.iterations(), reverse=True)
        try:
            named = self.checkpoints / read_pointer(self.last)
            written = self.last.stat().st_mtime_ns
        except (UserError, OSError):  # not there, or names nothing: the numbers say enough
            return files
        if named not in files:
            return files
        beyond = [file for file in files if file > named and file.stat().st_mtime_ns < written]
        return [file for file in files if file not in beyond] + beyond

    def iterations(self) -> dict[Path, int]:
        """Returns the checkpoints by iteration and their iterations."""
        found = {}
        for file in self.checkpoints.glob("iter_*.pth"):
            match = _ITERATION.fullmatch(file.name)
            if match:
                found[file] = int(match[1])
        return found

    def iteration_of_best(self) -> int | None:
        """Returns the iteration of ``best_psnr.pth``; ``None`` where it is not there or does not load."""
        try:
            iteration: int = checkpoint.load(self.best)["position"]["iteration"]
        except checkpoint.CheckpointError:
            return None
        return iteration

    def newest(self, say: Callable[[str], None]) -> tuple[Path, dict[str, Any]] | None:
        """Returns the newest checkpoint that loads; each that does not is told to ``say``."""
        for path in self.saved():
            try:
                return path, checkpoint.load(path)
            except checkpoint.CheckpointError as error:
                say(f"{error}; trying the one before")
        return None

    def point_last(self, path: Path) -> None:
        """Makes ``last`` name a checkpoint, replacing it as a whole."""
        write_atomically(self.last, f"{path.name}\n", hidden=True)

    def prune(self, keep: int, every: int, validate_every: int) -> None:
        """Removes all checkpoints by iteration except the ``keep`` newest.

        ``every`` and ``validate_every`` are the iterations between checkpoints and between validations.
        """

        # One that was written for the sake of a validation alone does not count: the next makes it superfluous.
        def counts(iteration: int) -> bool:
            return iteration % every == 0 or iteration % validate_every != 0

        newest, *older = sorted(self.iterations().items(), reverse=True)
        counted = [path for path, iteration in older if counts(iteration)]
        kept = counted[: keep - 1 if counts(newest[1]) else keep]
        for path, _ in older:
            if path not in kept:
                path.unlink()

    def go_back_to(self, iteration: int, validated: bool) -> Path | None:
        """Makes the folder that of a run which stands at an iteration: nothing in it is of a later one.

        Where checkpoints lie beyond, a branch of the run is left for good: they and what was recorded of it go to a
        folder of their own, which is returned. Else the process was killed, and what it had recorded since will be
        recorded again. ``validated`` tells whether the validation of this iteration counts as done.
        """
        later = [file for file, number in self.iterations().items() if number > iteration]
        # A best checkpoint that does not load goes, too: nobody knows of which iteration it is.
        best = self.iteration_of_best() if self.best.is_file() else 0
        if best is None or best > iteration:
            later.append(self.best)
        aside: Path | None = None
        if later:
            aside, number = self.path / "abandoned" / f"after_{iteration:08d}", 1
            while aside.exists():
                number += 1
                aside = aside.with_name(f"after_{iteration:08d}-{number}")
            aside.mkdir(parents=True)
        for file in later:
            _move(file, self.path, aside)
        for samples in self.samples.glob("*/"):
            for number, strip in strip_files(samples).items():
                if number > iteration:
                    _move(strip, self.path, aside)
        if aside is not None and (self.path / "curves.html").is_file():
            _move(self.path / "curves.html", self.path, aside)
        self._cut_scalars(iteration, validated, aside)
        return aside

    def _cut_scalars(self, iteration: int, validated: bool, aside: Path | None) -> None:
        """Drops the records after an iteration, and lines that are none, such as one that was not finished."""
        if not self.scalars.is_file():
            return
        kept: list[bytes] = []
        cut: list[bytes] = []
        # Not JsonLines.read, which ends at the first line that is broken: here whole records may lie behind one.
        for line in self.scalars.read_bytes().splitlines():
            try:
                record = json.loads(line)
                number = record["iteration"]
                scores = any(key.startswith("val/") for key in record)
                stays = number < iteration or (number == iteration and (validated or not scores))
            except (ValueError, TypeError, KeyError):
                continue
            (kept if stays else cut).append(line + b"\n")
        write_atomically(self.scalars, b"".join(kept), hidden=True)
        if aside is not None:
            write_atomically(aside / self.scalars.name, b"".join(cut), hidden=True)


def _move(file: Path, root: Path, aside: Path | None) -> None:
    """Moves a file to the same place below another folder, or removes it where there is none."""
    if aside is None:
        file.unlink()
        return
    target = aside / file.relative_to(root)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        file.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # To another disk, whole or not at all; without times and rights, which some disks refuse to set.
        with open(file, "rb") as source:
            write_atomically(target, partial(shutil.copyfileobj, source))
        file.unlink()
