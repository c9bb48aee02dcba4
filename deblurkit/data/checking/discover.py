"""The sets to check: those of an option file or a command line, or what lies in a folder.

A broken set must still be looked at, while a data set's constructor refuses it. So where ``PairedImages`` refuses,
its message is kept as faults, and the pairs that are whole are looked at nevertheless.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deblurkit.contracts import Dataset
from deblurkit.data.dataset import ImagePairs, PairFiles
from deblurkit.data.paired import find_images
from deblurkit.data.source import find_entry, named_entries
from deblurkit.errors import MissingSetError, UserError
from deblurkit.registry import DATASETS

if TYPE_CHECKING:
    from deblurkit.options.schema import Options

BLURRED_NAMES = ("blur", "blurred", "blurry", "blur_gamma", "input", "lq")
"""Folders, in lower case, that hold blurred images."""
SHARP_NAMES = ("sharp", "gt", "target", "hq")
"""Folders that hold sharp ones."""
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_NO_NAME = re.compile(r"^[^\w]+|[^\w-]+")  # what the name of a set in an option file may not hold
_HOW_DATA_ARE_USED = ("resize", "crop", "augment")

Parts = tuple[str, ...]


@dataclass
class FoundSet:
    """A set to check.

    Attributes:
        name: As command lines and option files call it: ``train``, ``test.gopro``.
        component: ``{type: NAME, ...}`` as an option file writes it; ``None`` for a set made in Python.
        dataset: Looked into where it has ``keys()`` and ``read(index)``; ``None`` where none could be made.
        faults: Why the set cannot be used as it is, a line each.
        missing: Where a published test set was looked for that is not on this machine; empty where it is.
        orphans: Files without a partner: ``blurred`` and ``sharp``.
    """

    name: str
    split: str
    component: dict[str, Any] | None
    dataset: Dataset | None
    faults: list[str] = field(default_factory=list)
    missing: str = ""
    orphans: dict[str, list[str]] = field(default_factory=lambda: {"blurred": [], "sharp": []})


def from_component(name: str, split: str, component: dict[str, Any]) -> FoundSet:
    """Builds the set that an option file's component describes, as far as it can be built."""
    try:
        return FoundSet(name, split, component, DATASETS.build(component, where=name))
    except UserError as error:
        if isinstance(error, MissingSetError) and split == "test":
            return FoundSet(name, split, component, None, missing=error.brief)
        faults = [problem.removeprefix(f"{name}: ") for problem in error.problems]
    found = FoundSet(name, split, component, None, faults)
    if component.get("type") == "PairedImages":
        with suppress(OSError, KeyError, TypeError, ValueError):  # what is wrong is among the faults already
            # Of equal keys the first file counts.
            blurred = dict(reversed(find_images(component["blurred"])))
            sharp = dict(reversed(find_images(component["sharp"])))
            pairs = []
            for key in sorted(blurred | sharp):
                if key not in sharp:
                    found.orphans["blurred"].append(str(blurred[key]))
                elif key not in blurred:
                    found.orphans["sharp"].append(str(sharp[key]))
                else:
                    pairs.append(PairFiles(key, blurred[key], sharp[key]))
            found.dataset = ImagePairs(pairs)
    return found


def from_source(text: str, plugins: Sequence[str] = (), name: str | None = None) -> FoundSet:
    """Returns the set that a command line names, see :func:`~deblurkit.data.source.find_entry`.

    A component, ``{type: NAME, ...}``, is taken for training. The set is called ``name``; by default as the option file
    does, or ``data``.
    """
    component = find_entry(text, plugins).component
    named = "data" if text.lstrip().startswith("{") else text.rpartition(":")[2]
    split = named.partition(".")[0]
    return from_component(name or named, split if split in ("val", "test") else "train", component)


def from_options(options: Options) -> list[FoundSet]:
    """Returns every set of an experiment; a validation and a test set with the same images are one."""
    entries = named_entries(options)
    names: dict[str, list[str]] = {}
    for name, entry in entries.items():
        # Equal for sets with the same images; one for training stays apart, to be compared with the others.
        source = {key: value for key, value in entry.component.items() if key not in _HOW_DATA_ARE_USED}
        use = "train" if name.partition(".")[0] == "train" else "other"
        names.setdefault(f"{use} {source}", []).append(name)
    found = []
    for same in names.values():
        found.append(from_component(", ".join(same), same[0].partition(".")[0], entries[same[0]].component))
    return found


def from_folder(folder: str | os.PathLike[str]) -> list[FoundSet]:
    """Finds sub-folders named as blurred and sharp ones are, at any depth, and makes sets of them.

    A folder named ``train``, ``val`` or ``test`` above them (or ``training``, ``validation``, ...) says what a set is
    for; where there is none it is for training. With several kinds of blurred folders, as in GoPro, each makes a set.

    Raises:
        UserError: There is no such folder, or no sub-folder bears such a name.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise UserError(f"{folder}: there is no such folder")
    try:
        folders = list(_side_folders(root, (), frozenset()))
    except OSError as error:
        raise UserError(f"{error.filename}: it cannot be read: {error.strerror or error}") from error
    if not folders:
        raise UserError(
            f"{folder}: no folder in it is named as blurred ({', '.join(BLURRED_NAMES)}) or sharp ones "
            f"({', '.join(SHARP_NAMES)}) are; name the two with --blurred and --sharp"
        )
    folders.sort(key=lambda one: one.side)  # parts with blurred images first, those without any last
    parts: dict[Parts, list[_SideFolder]] = {}
    for one in folders:
        parts.setdefault(one.prefix, []).append(one)
    found: list[FoundSet] = []
    for prefix, inside in parts.items():
        found += _sets_of(root, prefix, inside)
    # Sets that would bear the same name are numbered, and the only training set is called "train".
    counts: Counter[str] = Counter()
    training = []
    for part in found:
        counts[part.name] += 1
        if counts[part.name] > 1:
            part.name += f"_{counts[part.name]}"
        if part.split == "train":
            training.append(part)
    if len(training) == 1:
        training[0].name = "train"
    return found


@dataclass(frozen=True)
class _SideFolder:
    """A folder of ``blurred`` or ``sharp`` images, by its path below the root."""

    side: str
    prefix: Parts  # down to the folder that names a split; empty where none does
    between: Parts  # below it, such as a sequence's
    name: str


def _sets_of(root: Path, prefix: Parts, inside: Sequence[_SideFolder]) -> Iterator[FoundSet]:
    """Yields the sets of one part of the tree: one for each name that folders of blurred images have in it."""
    folders: dict[str, dict[str, set[Parts]]] = {"blurred": {}, "sharp": {}}
    for one in inside:
        folders[one.side].setdefault(one.name, set()).add(one.between)
    blurred, sharp = folders["blurred"], folders["sharp"]
    split = _SPLITS[prefix[-1].lower()] if prefix else "train"
    home = prefix[-2] if len(prefix) > 1 else root.resolve().name
    part = root.joinpath(*prefix)
    for name, between in blurred.items() or [("", set[Parts]())]:
        label = home if len(blurred) < 2 else f"{home}_{name}"
        title = f"{split}.{_NO_NAME.sub('_', label)}"
        if not sharp or not blurred:
            lacking, names = ("sharp", SHARP_NAMES) if not sharp else ("blurred", BLURRED_NAMES)
            fault = f"{part}: no folder of {lacking} images in it; known names: {', '.join(names)}"
            yield FoundSet(title, split, None, None, [fault])
            continue
        # The sharp folders that lie beside most of the blurred ones.
        partner = max(sharp, key=lambda other: len(sharp[other] & between))
        depths = {len(folders_between) for folders_between in between | sharp[partner]}
        wild = ["*"] * depths.pop() if len(depths) == 1 else ["**"]
        sides = {"blurred": str(part.joinpath(*wild, name)), "sharp": str(part.joinpath(*wild, partner))}
        yield from_component(title, split, {"type": "PairedImages", **sides})


def _side_folders(folder: Path, parts: Parts, above: frozenset[str]) -> Iterator[_SideFolder]:
    """Yields each folder of blurred or sharp images in ``folder``, which lies at ``parts`` below the root.

    Links to folders ``above``, which are real paths, are not followed: they go round.
    """
    above = above | {os.path.realpath(folder)}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_dir() or os.path.realpath(path) in above:
            continue
        name = path.name.lower()
        if name in BLURRED_NAMES or name in SHARP_NAMES:
            # The first folder that names a split counts: "train/test scenes/blur" is for training.
            end = next((i + 1 for i, part in enumerate(parts) if part.lower() in _SPLITS), 0)
            side = "blurred" if name in BLURRED_NAMES else "sharp"
            yield _SideFolder(side, parts[:end], parts[end:], path.name)
        else:
            yield from _side_folders(path, (*parts, path.name), above)
