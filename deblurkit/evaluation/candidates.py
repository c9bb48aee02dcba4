"""Candidates: a checkpoint's network, or a folder of images that somebody restored."""

from __future__ import annotations

import contextlib
import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from deblurkit import checkpoint, names
from deblurkit.data.dataset import stamp_of
from deblurkit.device import Precision
from deblurkit.errors import UserError
from deblurkit.evaluation import provenance
from deblurkit.evaluation.folders import FolderSource, open_folder
from deblurkit.evaluation.sets import ScoredSet, protocols_of
from deblurkit.evaluation.sources import NetworkSource, Source
from deblurkit.interop.foreign import read_weights
from deblurkit.options.schema import Loader
from deblurkit.results import Facts, RestoredFolder, Weights, plain
from deblurkit.torchfile.read import digest
from deblurkit.weights import box

OpenSource = Callable[[str, ScoredSet], Source]
"""Called with a data set's name and the set."""

_NO_CONDITIONS = {"root", "limit", *Loader.model_fields}
"""Keys of a test set that say where it lies and how it is read, and change no full score."""
_WITH_TENSORS = ("generator", "ema", "critics", "losses", "optimizers", "schedulers", "scalers", "rng")


class Candidate(ABC):
    """One of those that are scored.

    Attributes:
        name: What it is called in tables.
        weights, restored: The network's weights, or the folder of restored images.
        trained_on: The training set's description of itself; ``None`` where it is not known.
        identity: What its restored images depend on, as plain values.
        published: Scores that its paper states, by test set.
        tested: Its own option file's test sets by name, whose conditions the published scores are of.
        restores: Whether restoring an image is work, which is not done twice.
    """

    name: str
    weights: Weights | None = None
    restored: RestoredFolder | None = None
    trained_on: Facts | None = None
    identity: dict[str, Any]
    published: Mapping[str, Mapping[str, float]] = {}
    tested: Mapping[str, Mapping[str, Any]] = {}
    restores: ClassVar[bool]

    def tested_otherwise(self, name: str, test: ScoredSet) -> str | None:
        """Says in which conditions its own test set ``name`` differs from this one; ``None`` where it does not."""
        own = self.tested.get(name)
        if own is None or test.entry is None:
            return None
        here = test.entry.to_dict()
        differing = sorted(key for key in {*own, *here} - _NO_CONDITIONS if own.get(key) != here.get(key))
        if not differing:
            return None
        theirs = ", ".join(f"{key}: {own.get(key)}" for key in differing)
        ours = ", ".join(f"{key}: {here.get(key)}" for key in differing)
        return f"its option file tests {name} with {theirs}, here it is {ours}"

    @abstractmethod
    def opened(self) -> contextlib.AbstractContextManager[OpenSource]:
        """Holds what restores, within the block."""

    @abstractmethod
    def notes(self, sets: Mapping[str, ScoredSet]) -> list[str]:
        """Returns what a reader of its numbers must know, except what the restorations themselves brought up."""


class NetworkCandidate(Candidate):
    """A checkpoint's network.

    The file is read once and the network built once, at the beginning: a checkpoint that cannot be used is refused
    before any work. The network waits in the CPU's memory for its turn, and is gone when that is over: so the device
    holds one at a time, and what a checkpoint holds besides never waits.

    Args:
        file: The checkpoint, or another weight file; or the name of a network in the box.
        name: By default the experiment's name.
        plugins: Modules and files to import first.
        device: Where it computes.
        precision: See :func:`deblurkit.inference.restore.restore`.
        key: Which of several state dicts in a published file; by default the averaged one.

    Attributes:
        file: The same, as it was given.
        state: What the checkpoint holds besides weights.

    Raises:
        CheckpointError: The file is not to be used, or its generator is not known.
    """

    restores = True

    def __init__(
        self,
        file: Path,
        name: str | None,
        plugins: Sequence[str],
        device: torch.device,
        precision: Precision,
        key: str | None = None,
    ) -> None:
        self.file, self.device, self.precision = file, device, precision
        self._plugins = tuple(plugins)
        self._found, self._key = box.find(file), key
        state = read_weights(self._found, key)
        self._waiting: nn.Module | None = checkpoint.load_generator(state, self._found, self._plugins)
        self.weights = Weights(sha256=digest(self._found), **checkpoint.describe_weights(state, file))
        self.trained_on = plain(provenance.trained_on(state))
        self.identity = {"weights": self.weights.sha256, "precision": precision, "device": device.type}
        if key is not None:  # the file's digest does not tell which of its networks is scored
            self.identity["key"] = key
        # Options, notes and position; holding the tensors too would keep optimizers in memory all the time.
        self.state = {key: value for key, value in state.items() if key not in _WITH_TENSORS}
        self.name: str = name or state["options"]["name"]
        self.follow(state["options"])

    @property
    def foreign(self) -> bool:
        """Whether the weights were trained elsewhere, and so name no data."""
        return "note" in self.state

    def follow(self, options: Mapping[str, Any]) -> None:
        """Takes the published scores, and the test sets that they are of, from expanded options."""
        self.published = (options.get("paper") or {}).get("published", {})
        self.tested = (options.get("datasets") or {}).get("test") or {}

    @contextlib.contextmanager
    def opened(self) -> Iterator[OpenSource]:
        """Holds the generator on its device within the block; a second turn would read the file again."""
        if self._waiting is None:
            self._waiting = checkpoint.load_generator(read_weights(self._found, self._key), self._found, self._plugins)
        held, self._waiting = [self._waiting.to(self.device)], None
        try:
            yield lambda name, test: NetworkSource(held[0], self.precision, test.inference)
        finally:
            held.clear()  # the function above may live longer
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def notes(self, sets: Mapping[str, ScoredSet]) -> list[str]:
        """Says where the weights come from, and how modes and data differ from the protocols' and the training's."""
        found = dict.fromkeys(provenance.weights_notes(self.state))
        for test in sets.values():
            own = test.protocol.inference
            if test.inference != own:
                found[f"inference {test.inference} deviates from {test.protocol.id}'s own, {own}"] = None
        for name, test in sets.items():
            difference = self.tested_otherwise(name, test) if name in self.published else None
            if difference:
                found[f"its published figures of {name} are not shown: {difference}"] = None
        return [*found, *provenance.data_notes(self.state, {name: test.dataset for name, test in sets.items()})]


class FolderCandidate(Candidate):
    """Restored images.

    Args:
        folder: Where they are.
        name: By default the folder's name.
        sets: What they are scored on.

    Raises:
        UserError: An image is missing, too much or of another size; or the protocol is for networks only.
    """

    restores = False

    def __init__(self, folder: Path, name: str | None, sets: Mapping[str, ScoredSet]) -> None:
        protocols = protocols_of(sets)
        for protocol in protocols:
            if protocol.training_mode:
                raise UserError(
                    f"{folder}: protocol {protocol.id} has a network restore in training mode: it scores no images"
                )
        self.name = name or folder.resolve().name
        refusal = _refusal(self.name)
        if refusal:
            raise UserError(f"{folder}: as a candidate's name, {self.name!r} {refusal}; give another: NAME={folder}")
        self._sources: dict[str, FolderSource] = {}
        self._notes: list[str] = []
        files: dict[str, Path] = {}
        for set_name, test in sets.items():
            source, notes = open_folder(folder, set_name, test.dataset, test.indices)
            self._sources[set_name] = source
            self._notes += notes
            files |= source.files
        self.restored = RestoredFolder(str(folder))
        # Size and time of the files, not their bytes: a thousand images would take minutes to read.
        stamps = repr([(key, str(path), stamp_of([path])) for key, path in files.items()])
        self.identity = {"restored": hashlib.sha256(stamps.encode()).hexdigest()}
        for protocol in protocols:
            if protocol.quantisation == "float":
                self._notes.append(
                    f"{folder}: protocol {protocol.id} scores images before they are rounded; these were rounded when "
                    "they were saved"
                )

    @contextlib.contextmanager
    def opened(self) -> Iterator[OpenSource]:
        """Gives the sources."""
        yield lambda name, test: self._sources[name]

    def notes(self, sets: Mapping[str, ScoredSet]) -> list[str]:
        """Says how the files are named, and what was lost when they were saved."""
        return [*self._notes, *provenance.data_notes(None, {name: test.dataset for name, test in sets.items()})]


def find_weights(work_dir: Path) -> Path:
    """Returns an experiment's best checkpoint, else its newest.

    Raises:
        UserError: There is none; names the folder.
    """
    folder = work_dir / "checkpoints"
    best, last = folder / "best_psnr.pth", folder / "last"
    if best.is_file():
        return best
    if last.is_file():
        return folder / names.read_pointer(last)
    raise UserError(f"no checkpoint in {folder}: train the experiment first, or name one with --weights")


def work_dir_of(weights: str | Path, name: str) -> Path:
    """Returns the work dir that a checkpoint lies in, else the one that the experiment ``name`` has by default."""
    folder = Path(weights).parent
    return folder.parent if folder.name == "checkpoints" else Path("work_dirs") / name


def split_names(texts: Sequence[str | Path]) -> list[tuple[str | None, Path]]:
    """Returns the name and the path of each ``NAME=PATH``; no name where there is none, or the text is a path as it is.

    Raises:
        UserError: A name cannot be that of a folder, or is given twice, or has no path.
    """
    pairs: list[tuple[str | None, Path]] = []
    problems = []
    for text in map(str, texts):
        name, separator, path = text.partition("=")
        if not separator or os.path.exists(text):  # which a name that is too long does not upset
            pairs.append((None, Path(text)))
            continue
        if not path:
            problems.append(f"{text}: no path after the name")
        elif refusal := _refusal(name):
            problems.append(f"{text}: {name!r} cannot name a candidate: it {refusal}")
        elif name in [other for other, _ in pairs]:
            problems.append(f"{text}: the name {name!r} is given twice")
        pairs.append((name, Path(path)))
    if problems:
        raise UserError(*problems)
    return pairs


def keys_of(named: Sequence[tuple[str | None, Path]], texts: Sequence[str]) -> list[str | None]:
    """Returns the key of each of several weight files, as ``KEY``, where there is one file, or ``NAME=KEY`` tell it.

    Raises:
        UserError: No file has the name, or has it or its key twice; or a name is needed.
    """
    names = [name for name, _ in named]
    keys: list[str | None] = [None] * len(named)
    problems = []
    for text in texts:
        name, separator, key = text.partition("=")
        if separator and name in names:
            index = names.index(name)
        elif len(named) == 1:
            index, key = 0, text
        else:
            given = ", ".join(name for name in names if name is not None) or "none has a name"
            problems.append(f"--key {text}: expected NAME=KEY with a NAME of --weights ({given})")
            continue
        if keys[index] is not None:
            problems.append(f"--key {text}: these weights have the key {keys[index]} already")
        keys[index] = key
    if problems:
        raise UserError(*problems)
    return keys


def _refusal(name: str) -> str | None:
    try:
        names.folder_name(name)
    except ValueError as error:
        return str(error)
    return None


def settle_names(candidates: Sequence[Candidate], given: Sequence[str | None]) -> None:
    """Numbers the names that were not given and are alike: ``madn``, ``madn-2``."""
    taken = {name for name in given if name is not None}
    for candidate, own in zip(candidates, given, strict=True):
        if own is None:
            name, number = candidate.name, 2
            while candidate.name in taken:
                candidate.name, number = f"{name}-{number}", number + 1
            taken.add(candidate.name)
