"""A plugin that fills a small disk at a given moment of a training, so that the next write there fails."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.registry import HOOKS

VARIABLE = "DEBLURKIT_FILL"
_KEEP_SIZE, _PAGE = 1, 4096
_ROOM, _PART = 1 << 16, 40  # bytes
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Moment:
    """When to fill the disk, and what shall fail.

    Attributes:
        disk: Where it is mounted.
        work_dir: The run's.
        event: The hook's method.
        iteration: ``runner.iter`` at that moment.
        spare: A file of the work dir: as much as it takes is left free; empty for nothing.
        room: Files of the work dir that can still grow.
        no_room: A file that can grow by a part of a line only: spaces fill its last page but for that.
        until: The iteration after which the space is free again; 0: it stays filled.
        skipped: Earlier such events in the same iteration.
    """

    disk: str
    work_dir: str
    event: str
    iteration: int
    spare: str = ""
    room: tuple[str, ...] = ("log.txt", "scalars.jsonl")
    no_room: str = ""
    until: int = 0
    skipped: int = 0

    def environment(self) -> dict[str, str]:
        """Return the variable that tells a process."""
        return {VARIABLE: json.dumps(asdict(self))}


def filler(disk: Path) -> Path:
    """Return the file that takes the space."""
    return disk / "filler"


def fill(disk: Path, pages: int = 0) -> None:
    """Fill a disk but for so many pages."""
    with open(filler(disk), "ab", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(_PAGE))
        file.truncate(file.tell() - _PAGE * pages)


@HOOKS.register_module()
class Fill(Hook):
    """Fills the disk at the moment that the environment tells, if it tells one."""

    priority = "LOWEST"

    def __init__(self) -> None:
        told = json.loads(os.environ.get(VARIABLE, "null"))
        self.moment = Moment(**told) if told else None
        self.skipped = 0

    def _at(self, event: str, runner: Any) -> None:
        moment = self.moment
        if moment is None or (event, runner.iter) != (moment.event, moment.iteration):
            return
        self.skipped += 1
        if self.skipped <= moment.skipped:
            return
        work_dir = Path(moment.work_dir)
        for name in moment.room:
            with open(work_dir / name, "ab") as file:
                _libc.fallocate(file.fileno(), _KEEP_SIZE, ctypes.c_int64(0), ctypes.c_int64(file.tell() + _ROOM))
        if moment.no_room:
            with open(work_dir / moment.no_room, "ab") as file:
                file.write(b" " * (-(file.tell() + _PART) % _PAGE))
        fill(Path(moment.disk), -(-(work_dir / moment.spare).stat().st_size // _PAGE) if moment.spare else 0)

    def before_train(self, runner: Any) -> None:
        self._at("before_train", runner)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        self._at("before_train_iter", runner)

    def before_val(self, runner: Any) -> None:
        self._at("before_val", runner)

    def after_val(self, runner: Any) -> None:
        self._at("after_val", runner)

    def on_save(self, runner: Any) -> None:
        self._at("on_save", runner)

    def after_train(self, runner: Any) -> None:
        self._at("after_train", runner)

    def after_iteration(self, runner: Any) -> None:
        if self.moment is not None and runner.iter == self.moment.until:
            filler(Path(self.moment.disk)).unlink(missing_ok=True)
