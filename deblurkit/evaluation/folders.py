"""Folders of images that were restored, or are true, matched by name to the images they belong to."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, NamedTuple

import numpy as np
from PIL import Image

from deblurkit.contracts import Dataset, dataset_traits
from deblurkit.data.dataset import Pairs, shorten, stamp_of
from deblurkit.data.images import image_size, read_image, to_tensor
from deblurkit.data.loader import FirstImages
from deblurkit.data.paired import PairedImages, images_by_key
from deblurkit.device import usable_cores
from deblurkit.errors import UserError
from deblurkit.evaluation.sources import Restored, Source

_SHOWN = 6
_SPELLINGS: dict[str, Callable[[str], str]] = {
    "": lambda key: key,
    "folders joined to the name by _": lambda key: key.replace("/", "_"),
    "folders joined to the name by -": lambda key: key.replace("/", "-"),
    "without the folders": lambda key: PurePosixPath(key).name,
}
"""How other code writes an image's key as a file name, in words; the first is ours."""


class Match(NamedTuple):
    """Which file belongs to which key."""

    files: dict[str, Path]
    note: str
    """How the names differ from the keys, empty where they do not."""


class FolderSource(Source):
    """Images that were restored by any code.

    Args:
        files: Of each key.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.files = dict(files)

    def fetch(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Reads the restored image.

        Raises:
            UserError: It cannot be read, or has another size than its sample.
        """
        path = self.files[sample["key"]]
        restored = to_tensor(read_image(path))
        given = sample.get("sharp", sample.get("blurred"))
        if given is not None and given.shape != restored.shape:
            sizes = f"{_size(restored.shape[1:])}, but image {sample['key']} has {_size(given.shape[1:])}"
            raise UserError(f"{path}: {sizes}")
        return {**sample, "restored": restored}

    def restore(self, sample: dict[str, Any], seed: Sequence[int]) -> Restored:
        """Returns what was read."""
        return Restored(sample["restored"], None, None)


class SharpImages(Pairs):
    """True images, one or several of each, with or without blurred ones.

    Args:
        sharp: The true images of each key, in an order that means something.
        blurred: The blurred image of each key, or of none.
        facts: What reports say of the set.
    """

    makes_blur: ClassVar[bool] = True  # there may be nothing to measure it from

    def __init__(
        self, sharp: Mapping[str, Sequence[Path]], blurred: Mapping[str, Path], facts: Mapping[str, str]
    ) -> None:
        super().__init__()
        self.sharp = dict(sharp)
        self.blurred = dict(blurred)
        self._names = list(self.sharp)
        self._facts = dict(facts)

    def keys(self) -> list[str]:
        """Returns each image's key, by index."""
        return list(self._names)

    def load(self, index: int) -> dict[str, Any]:
        """Decodes the middle one of the true images, and the blurred one where there is one."""
        key = self._names[index]
        images = {"sharp": read_image(self._middle(index))}
        if key in self.blurred:
            images["blurred"] = read_image(self.blurred[key])
        return {**images, "key": key}

    def truths(self, index: int) -> Iterator[np.ndarray]:
        """Yields all true images of one, RGB ``uint8`` or ``uint16`` ``(h, w, 3)``."""
        for path in self.sharp[self._names[index]]:
            yield read_image(path)

    def stamp(self, index: int) -> list[int]:
        """Returns what changes when an image's files do."""
        key = self._names[index]
        return stamp_of([*self.sharp[key], *([self.blurred[key]] if key in self.blurred else [])])

    def size(self, index: int) -> tuple[int, int]:
        """Returns ``(h, w)`` from the files' headers."""
        key = self._names[index]
        size = image_size(self._middle(index))
        if key in self.blurred and image_size(self.blurred[key]) != size:
            other = image_size(self.blurred[key])
            raise UserError(f"{self.blurred[key]}: {_size(other)}, but its sharp image has {_size(size)}")
        return size

    def place(self, index: int) -> str:
        """Returns the true image's file."""
        return str(self._middle(index))

    def describe(self) -> dict[str, str | int]:
        """Returns the folders."""
        return {**super().describe(), **self._facts}

    def _middle(self, index: int) -> Path:
        files = self.sharp[self._names[index]]
        return files[len(files) // 2]


def open_references(sharp: str, blurred: str | None, many_truths: bool) -> Pairs:
    """Returns the data set that folders of sharp and blurred images are, its files looked at.

    Args:
        sharp: Folder or glob.
        blurred: The same; without it nothing is said of the blurred images.
        many_truths: Whether ``sharp`` holds a folder of true images for each image, named as it.

    Raises:
        UserError: A line for each thing wrong with them.
    """
    if blurred is not None and not many_truths:
        pairs = PairedImages(blurred, sharp)
        pairs.verify()
        return pairs
    problems: list[str] = []
    truths = _grouped(images_by_key("--sharp", sharp, problems), many_truths)
    facts, found = {"sharp": sharp}, {}
    if blurred is not None:
        facts["blurred"] = blurred
        found = images_by_key("--blurred", blurred, problems)
    if problems:
        raise UserError(*problems)
    dataset = SharpImages(truths, match("--blurred", found, list(truths)).files if found else {}, facts)
    dataset.verify()
    return dataset


def open_folder(
    folder: str | Path, name: str, dataset: Dataset, indices: Sequence[int]
) -> tuple[FolderSource, list[str]]:
    """Matches a folder of restored images to a data set, before anything is read.

    Args:
        folder: The images; or a report with ``images/<name>/`` as ``deblurkit test --save-images`` writes it.
        name: The data set's.
        dataset: Whose keys name the images.
        indices: The images that are wanted.

    Returns:
        The source, and notes on it.

    Raises:
        UserError: Images are missing, too many, or of another size: a line for each.
    """
    traits = dataset_traits(dataset)
    if traits.keys is None:
        raise UserError(f"{folder}: {type(dataset).__name__} cannot name its images: it has no method keys()")
    keys = traits.keys()
    # Of a set that is limited to its first images, the folder may hold the others too.
    whole = dataset.dataset.keys() if isinstance(dataset, FirstImages) else keys
    found = {index: keys[index] for index in indices}
    files, note = _match_below(Path(folder), name, list(found.values()), whole)
    if traits.sample_size is not None:
        problems = _wrong_sizes(files, traits.sample_size, found)
        if problems:
            raise UserError(*shorten(problems, _SHOWN))
    notes = [note, *_stored(files)] if note else _stored(files)
    return FolderSource(files), [f"{folder}: {line}" for line in notes]


def match(side: str, found: Mapping[str, Path], keys: Sequence[str], others: Sequence[str] = ()) -> Match:
    """Finds each key's file.

    Files are named as the keys; or all in one other way: folders joined to the name, or left out, and every name with
    the same beginning or ending added to it, such as ``_restored``.

    Args:
        side: What messages call the folder.
        found: The files by their paths below the folder, without ending.
        keys: The images that are wanted.
        others: Images that may be there too.

    Raises:
        UserError: Files are missing or too many, whichever way they are named: says what was looked for.
    """
    allowed = list(dict.fromkeys([*keys, *others]))
    for words, spell in _SPELLINGS.items():
        names = {key: spell(key) for key in allowed}
        if len(set(names.values())) < len(names):
            continue  # two images would have one file
        for beginning, ending in _additions(names[keys[0]], found):
            spelled = {}
            for key, path in zip(names, map(PurePosixPath, names.values()), strict=True):
                spelled[key] = str(path.with_name(f"{beginning}{path.name}{ending}"))
            if set(found) <= set(spelled.values()) and all(spelled[key] in found for key in keys):
                told = [words] if words else []
                if beginning or ending:
                    told.append(f"named {beginning}<image>{ending}")
                return Match({key: found[spelled[key]] for key in keys}, ", ".join(told))
    missing, extra = [key for key in keys if key not in found], [key for key in found if key not in set(allowed)]
    problems = []
    if missing:
        problems.append(f"{side}: {len(missing)} of {len(keys)} images are missing: {_listed(missing)}")
    if extra:
        problems.append(f"{side}: {len(extra)} images belong to no image of the data set: {_listed(extra)}")
    raise UserError(*problems)


def _match_below(folder: Path, name: str, keys: Sequence[str], others: Sequence[str]) -> Match:
    """Matches the images in a folder, or in the one below it where a report keeps those of this data set."""
    problems: list[UserError] = []
    for place in (folder, folder / "images" / name, folder / name):
        if place != folder and not place.is_dir():
            continue
        troubles: list[str] = []
        found = images_by_key(str(place), os.fspath(place), troubles)
        try:
            if troubles:
                raise UserError(*(line.removeprefix(f"{place}: ") for line in troubles))
            return match(str(place), found, keys, others)
        except UserError as error:
            problems.append(error)
    raise problems[-1]


def _additions(name: str, found: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """Yields what may have been put before and after the first image's name: nothing, else as a file has it."""
    yield "", ""
    path = PurePosixPath(name)
    for other in map(PurePosixPath, found):
        if other.parent == path.parent and path.name in other.name and path.name != other.name:
            beginning, _, ending = other.name.partition(path.name)
            yield beginning, ending


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _grouped(found: Mapping[str, Path], many: bool) -> dict[str, list[Path]]:
    """Returns the true images of each key: the image itself, or all that lie in the folder of its name."""
    if not many:
        return {key: [path] for key, path in found.items()}
    flat = [key for key in found if "/" not in key]  # an image where its folder was expected
    if flat:
        raise UserError(
            f"--sharp: {_listed(flat)}: the protocol scores against many true images: expected a folder of them for "
            "each image, of its name"
        )
    truths: dict[str, list[Path]] = {}
    for key, path in found.items():
        truths.setdefault(str(PurePosixPath(key).parent), []).append(path)
    for paths in truths.values():
        paths.sort(key=_by_number)
    return truths


def _by_number(path: Path) -> list[str]:
    """Sorts ``frame_10`` behind ``frame_9``, as cameras count."""
    return [part if index % 2 == 0 else f"{int(part):020}" for index, part in enumerate(re.split(r"(\d+)", path.stem))]


def _wrong_sizes(
    files: Mapping[str, Path], sample_size: Callable[[int], tuple[int, int]], keys: Mapping[int, str]
) -> list[str]:
    def problem(index: int) -> str | None:
        file, key = files[keys[index]], keys[index]
        try:
            size, wanted = image_size(file), sample_size(index)
        except UserError as error:
            return str(error)
        if size == wanted:
            return None
        return f"{file}: {_size(size)}, but image {key} has {_size(wanted)}"

    with ThreadPoolExecutor(usable_cores()) as pool:
        return [found for found in pool.map(problem, keys) if found is not None]


def _stored(files: Mapping[str, Path]) -> list[str]:
    """Says of how many images the files' headers tell that they are not what was restored, or are not all of it."""
    counts: Counter[str] = Counter()
    with ThreadPoolExecutor(usable_cores()) as pool:
        for told in pool.map(_how_stored, files.values()):
            counts.update(told)
    return [f"{count} of {len(files)} restored images {words}" for words, count in counts.items()]


def _how_stored(file: Path) -> list[str]:
    try:
        with Image.open(file) as image:
            kind, mode, transparent = image.format, image.mode, "transparency" in image.info
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return []  # whether it can be read is found out where it is read
    told = []
    if kind == "JPEG":
        told.append("are JPEG: the scores are also those of its losses")
    if transparent or mode in ("RGBA", "LA", "PA"):
        told.append("have an alpha channel, which is left out")
    if mode in ("1", "L", "LA", "I", "I;16"):
        told.append("are grey: scored as three equal channels")
    return told


def _size(size: Sequence[int]) -> str:
    return f"{size[0]} x {size[1]} pixels (h x w)"
