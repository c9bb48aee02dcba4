"""Data sets of the user's own images: pairs found by folder or glob, and blurred images without truth."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from deblurkit.data.dataset import ImagePairs, PairFiles, shorten
from deblurkit.data.images import IMAGE_SUFFIXES, is_image
from deblurkit.data.transforms import Augment, Size
from deblurkit.errors import UserError
from deblurkit.registry import DATASETS

_ADVICE = "datasets/README.md says how to get each data set and where to put it"


@DATASETS.register_module()
class PairedImages(ImagePairs):
    """Blurred and sharp images in two folders or under two globs.

    ``*`` stands for any part of one name, ``**`` for any number of folders; a pattern may name images, or folders
    whose images at any depth are meant. An image's key is what the wildcards stand for and its path below, without
    the ending: ``train/*/blur`` finds ``train/GOPR0372/blur/000047.png`` as ``GOPR0372/000047``. Images with equal
    keys are a pair.

    Args:
        blurred: Folder or glob of the blurred images, relative to the current directory or absolute.
        sharp: The same of the sharp images.

    Raises:
        UserError: A line for each thing wrong: nothing found, images without partner, keys that occur twice.
    """

    def __init__(
        self, blurred: str, sharp: str, resize: Size | None = None, crop: Size | None = None, augment: Augment = ()
    ) -> None:
        problems: list[str] = []
        here = images_by_key("blurred", blurred, problems)
        there = images_by_key("sharp", sharp, problems)
        if here and there:  # else every image would be an orphan
            problems += _orphans(here, there, "blurred", "sharp")
            problems += _orphans(there, here, "sharp", "blurred")
        if problems:
            raise UserError(*problems)
        super().__init__([PairFiles(key, path, there[key]) for key, path in here.items()], resize, crop, augment)
        self._facts = {"blurred": blurred, "sharp": sharp}

    def describe(self) -> dict[str, str | int]:
        """Returns the set's name and the two patterns."""
        return {**super().describe(), **self._facts}


@DATASETS.register_module()
class BlurredImages(ImagePairs):
    """Blurred images of which no sharp version is known; samples have no ``sharp``.

    Args:
        blurred: Folder or glob, as in :class:`PairedImages`.
        resize: Side of a square or ``[h, w]`` in pixels.

    Raises:
        UserError: Nothing is found, or keys occur twice.
    """

    def __init__(self, blurred: str, resize: Size | None = None) -> None:
        problems: list[str] = []
        found = images_by_key("blurred", blurred, problems)
        if problems:
            raise UserError(*problems)
        super().__init__([PairFiles(key, path, None) for key, path in found.items()], resize)
        self._facts = {"blurred": blurred}

    def describe(self) -> dict[str, str | int]:
        """Returns the set's name and the pattern."""
        return {**super().describe(), **self._facts}


def find_images(pattern: str) -> list[tuple[str, Path]]:
    """Returns ``(key, path)`` of every image that a folder or glob names, sorted by path; see :class:`PairedImages`.

    Hidden files and folders are passed over. Links are followed, except to a folder that they lie in. Keys are in
    Unicode's composed form (NFC), in which the same name has the same letters on every system.
    """
    fixed, wild = _split(pattern)
    paths: dict[Path, str] = {}
    for path, captured, inside in _expand(fixed, wild, _around(fixed)):
        for image, below in _images_at(path, inside):
            parts = [*captured, *below]
            if parts:
                # Not Path.stem: a wildcard may stand for a part of the name that has dots and no ending.
                ending = next((suffix for suffix in IMAGE_SUFFIXES if parts[-1].lower().endswith(suffix)), "")
                parts[-1] = parts[-1][: len(parts[-1]) - len(ending)]
            key = "/".join(filter(None, parts)) or image.stem
            # "**" can reach an image in several ways: the first counts.
            paths.setdefault(image, unicodedata.normalize("NFC", key))
    return [(key, path) for path, key in sorted(paths.items())]


def images_by_key(side: str, pattern: str, problems: list[str]) -> dict[str, Path]:
    """Returns the images that a folder or glob names by their keys, sorted.

    ``problems`` takes a line for each thing wrong: nothing found, keys that occur twice, names that cannot be read.
    Messages call the images ``side``.
    """
    if not isinstance(pattern, str) or not pattern:
        problems.append(f"{side}: got {pattern!r}, expected the path of a folder or a glob")
        return {}
    images: dict[str, Path] = {}
    twice = []
    try:
        found = find_images(pattern)
    except OSError as error:
        problems.append(f"{side}: {error.filename}: it cannot be looked into: {error.strerror}")
        return {}
    for key, path in found:
        if any("\ud800" <= letter <= "\udfff" for letter in key):  # what Python makes of bytes that are no UTF-8
            twice.append(f"{side}: {os.fsencode(path)!r}: its name is not valid UTF-8; rename it")
        elif key in images:
            twice.append(f"{side}: {images[key]} and {path} have the same key {key!r}; remove one")
        else:
            images[key] = path
    problems += shorten(twice)
    if not images:
        problems.append(_nothing_found(side, pattern))
    return dict(sorted(images.items()))


def no_folder(folder: Path) -> str:
    """Returns the message that a folder does not exist, with the nearest one above it that does."""
    nearest = next((parent for parent in folder.absolute().parents if parent.is_dir()), "/")
    return f"there is no folder {folder} (the nearest that exists is {nearest})"


def _nothing_found(side: str, pattern: str) -> str:
    fixed, wild = _split(pattern)
    place = f"{side}: {pattern}"
    if fixed.is_file():
        return f"{place}: this is a file and no image; expected a folder or a glob such as {fixed.parent / '*.png'}"
    if not fixed.is_dir():
        return f"{place}: {no_folder(fixed)}; {_ADVICE}"
    kinds = " ".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
    what = "nothing under it matches the pattern or is an image" if wild else "the folder holds no image"
    return f"{place}: {what} (searched {fixed.absolute()} for {kinds}); {_ADVICE}"


def _orphans(these: dict[str, Path], those: dict[str, Path], side: str, other: str) -> list[str]:
    lonely = [(key, path) for key, path in these.items() if key not in those]
    return shorten(f"{side}: {path} has no {other} image (key {key!r})" for key, path in lonely)


def _split(pattern: str) -> tuple[Path, list[str]]:
    """Cuts a pattern into the folder before its first wildcard and the parts from there on."""
    parts = Path(pattern).expanduser().parts
    first = next((i for i, part in enumerate(parts) if "*" in part), len(parts))
    wild = list(parts[first:])
    while wild and wild[-1] == "**":  # a folder's images are meant at any depth anyway
        wild.pop()
    return Path(*parts[:first]), wild


def _expand(folder: Path, parts: list[str], inside: frozenset[str]) -> Iterator[tuple[Path, list[str], frozenset[str]]]:
    """Yields every path that the parts lead to, what the wildcards stand for, one string a part, and where it lies."""
    if not parts:
        yield folder, [], inside
        return
    part, rest = parts[0], parts[1:]
    if "*" not in part:
        if (folder / part).exists():
            yield from _expand(folder / part, rest, inside | _around(folder / part))
        return
    if part == "**":
        yield from _expand(folder, rest, inside)  # it stands for no folder, too
    matches = re.compile("(.*)".join(map(re.escape, part.split("*"))))
    for path, is_folder in _children(folder, inside):
        match = matches.fullmatch(path.name)
        if match is None or (part == "**" and not is_folder):
            continue
        captured, left = "_".join(filter(None, match.groups())), rest
        if part == "**":
            captured, left = path.name, parts
        for found, more, within in _expand(path, left, inside | _around(path) if is_folder else inside):
            yield found, [captured, *more], within


def _images_at(path: Path, inside: frozenset[str]) -> Iterator[tuple[Path, list[str]]]:
    """Yields the image that the path is, or those below it, each with its path's parts below."""
    if not path.is_dir():
        if is_image(path):
            yield path, []
        return
    for child, is_folder in _children(path, inside):
        if is_folder:
            for image, below in _images_at(child, inside | _around(child)):
                yield image, [child.name, *below]
        elif is_image(child):
            yield child, [child.name]


def _children(folder: Path, inside: frozenset[str]) -> list[tuple[Path, bool]]:
    """Returns what lies in a folder, sorted, and whether each is a folder; no hidden names, no links to ``inside``."""
    if not folder.is_dir():
        return []
    children = []
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            link = entry.is_symlink()
            if not entry.name.startswith(".") and not (link and os.path.realpath(path) in inside):
                children.append((path, path.is_dir() if link else entry.is_dir()))
    return sorted(children)


def _around(folder: Path) -> frozenset[str]:
    """Returns the folder and all folders that it lies in, without links."""
    real = Path(os.path.realpath(folder))
    return frozenset(map(str, (real, *real.parents)))
