"""Resuming a killed evaluation: a journal of the images that were scored, and the restored images themselves.

A journal is append-only: a line for what is evaluated, then one for each image.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import scipy
import torch

import deblurkit
from deblurkit.contracts import Dataset, dataset_traits
from deblurkit.data.loader import describe
from deblurkit.evaluation.scoring import Outcome, Spent
from deblurkit.files import JsonLines, Lock, saying
from deblurkit.results import ImageScore
from deblurkit.torchfile.read import digest

if TYPE_CHECKING:
    from deblurkit.evaluation.sets import Evaluation

UNFINISHED = "unfinished"
"""The folder, beside the report's files, of journals and kept images; it goes when the report is written."""

_LAYOUT = 2  # goes up whenever a line's keys or their meaning change


class Journal:
    """The journal of one data set and one candidate. A line that a crash cut short is taken for not written.

    Args:
        file: Made where it is missing, its folder too. One that was begun as something else is begun anew.
        fingerprint: Everything that the outcomes depend on, as plain values.

    Attributes:
        outcomes: What is recorded, by index.
        elapsed: Seconds of wall-clock time that the recorded images took, all runs together.
        differing: Names of the fingerprint's entries in which an earlier journal differed and so was not gone on with.
    """

    def __init__(self, file: Path, fingerprint: Mapping[str, Any]) -> None:
        self.outcomes: dict[int, Outcome] = {}
        self.elapsed = 0.0
        self.differing: list[str] = []
        self._start = time.perf_counter()
        # As JSON gives it back, or a tuple would differ from the list that it was written as.
        plain = json.loads(json.dumps({"layout": _LAYOUT, **fingerprint}))
        file.parent.mkdir(parents=True, exist_ok=True)
        self._lines = JsonLines(file)
        lines = self._lines.read()
        if lines:
            begun = lines[0] if isinstance(lines[0], dict) else {}
            self.differing = [key for key in {**begun, **plain} if begun.get(key) != plain.get(key)]
        if lines and not self.differing:
            self._take(lines[1:])
        self._before = self.elapsed
        if not self.outcomes:
            self._lines.clear()
            self._lines.append([plain])

    def record(self, outcome: Outcome) -> None:
        """Writes an outcome; when this returns, no crash of this process takes it back."""
        self.elapsed = self._before + time.perf_counter() - self._start
        thumbnail = None if outcome.thumbnail is None else base64.b64encode(outcome.thumbnail).decode()
        line = {**asdict(outcome), "spent": list(outcome.spent), "thumbnail": thumbnail, "elapsed": self.elapsed}
        self._lines.append([line])
        self.outcomes[outcome.index] = outcome

    def close(self) -> None:
        """Writes no more."""
        self._lines.close()

    def _take(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Goes on from an earlier journal's lines, or from none of them where one is laid out in another way."""
        outcomes, elapsed = {}, 0.0
        try:
            for line in lines:
                thumbnail = None if line["thumbnail"] is None else base64.b64decode(line["thumbnail"])
                row, events, spent = ImageScore(**line["row"]), tuple(line["events"]), Spent(*line["spent"])
                outcome = Outcome(line["index"], row, line["mode"], line["live_bytes"], events, spent, thumbnail)
                outcomes[outcome.index], elapsed = outcome, float(line["elapsed"])
        except (KeyError, TypeError, ValueError):  # of another version: what its lines mean is not known
            self.differing = ["layout"]
            return
        self.outcomes, self.elapsed = outcomes, elapsed


@contextlib.contextmanager
def held(out: Path, folders: Sequence[Path]) -> Iterator[None]:
    """Holds a report's folder within the block: two runs would write one journal.

    Args:
        out: The folder; made where it is missing.
        folders: Those of its candidates, made too.

    Raises:
        UserError: A folder cannot be made, or another run holds ``out``.
    """
    for folder in (*folders, out / UNFINISHED):
        with saying(f"--out {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
    with saying(f"--out {out / UNFINISHED}"):
        lock = Lock(out / UNFINISHED / ".lock", f"--out {out}: another run is writing its report there")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows keeps files that are open, and filelock removes them itself
            lock.file.unlink()
        lock.release()
        with contextlib.suppress(OSError):  # there are journals
            (out / UNFINISHED).rmdir()


def journal_file(folder: Path, name: str) -> Path:
    """Returns the journal of a data set below a report's folder."""
    return folder / UNFINISHED / f"{name}.jsonl"


def kept_images(folder: Path, name: str) -> Path:
    """Returns where the restored images of a data set are kept until the report is written."""
    return folder / UNFINISHED / "images" / name


def remove(folder: Path, name: str) -> None:
    """Removes what was kept of a data set whose report is written, and the folders where they are empty."""
    journal_file(folder, name).unlink(missing_ok=True)
    images = kept_images(folder, name)
    shutil.rmtree(images, ignore_errors=True)
    for emptied in (images.parent, folder / UNFINISHED):
        if emptied.is_dir() and not any(emptied.iterdir()):
            emptied.rmdir()


def fingerprint(identity: Mapping[str, Any], evaluation: Evaluation, name: str) -> dict[str, Any]:
    """Returns what the rows of a data set depend on; rows of another fingerprint are not gone on with.

    ``identity`` is what the candidate's restored images depend on.
    """
    test, settings = evaluation.sets[name], evaluation.settings
    protocol = test.protocol
    return {
        "deblurkit": deblurkit.__version__,
        # Another version of these may round in another way.
        "libraries": [torch.__version__, np.__version__, cv2.__version__, scipy.__version__],
        "protocol": [protocol.id, protocol.version, protocol.digest, protocol.single],
        "backbones": [{net: _digest_of_file(file) for net, file in settings.backbones.items()}, protocol.notes()],
        "plugins": {plugin: _digest_of_file(plugin) for plugin in settings.plugins},
        "candidate": identity,
        "inference": test.inference,
        "data set": describe(test.dataset),
        "images": len(test.dataset),
        "files": _digest_of_set(test.dataset),
        # Outcomes are recorded by index: another choice of images would mix them up.
        "chosen": hashlib.sha256(repr(list(test.indices)).encode()).hexdigest(),
        "seed": evaluation.seed,
        "saved images": settings.save_images,
    }


def _digest_of_file(file: str) -> str:
    if not os.path.isfile(file):
        return file  # a word such as random, a module's name
    return digest(Path(file))


def _digest_of_set(dataset: Dataset) -> str:
    """Returns a digest of the names of a data set's images and, where it can tell, of what changes with their files."""
    traits, found = dataset_traits(dataset), hashlib.sha256()
    keys = traits.keys
    if keys is not None:
        for key in keys():
            found.update(f"{key}\n".encode())
    if traits.stamp is not None:
        for index in range(len(dataset)):
            found.update(repr(list(traits.stamp(index))).encode())
    return found.hexdigest()
