"""A folder of generated pairs: resumable, with nothing half-written under a final name.

It holds ``blurred/KEY.png`` and ``sharp/KEY.png``. ``settings.json`` is written before the first pair and decides
whether a later run may continue; ``manifest.json`` comes after the last.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deblurkit.data.dataset import shorten
from deblurkit.data.images import ImageReadError, read_image, write_image
from deblurkit.errors import UserError
from deblurkit.files import saying, write_atomically
from deblurkit.metrics.psnr import psnr

_SETTINGS, _MANIFEST = "settings.json", "manifest.json"
_SIDES = ("blurred", "sharp")

_LEFTOVER = re.compile(r"\.[a-z0-9_]{8}\.tmp")  # a hidden file that write_atomically has not come to rename

Show = Callable[[str, int, int], None]
"""Called with a name, the number of things done and that of all."""


@dataclass(frozen=True)
class PairRecord:
    """One pair in a manifest.

    Attributes:
        key: Path of its files below ``blurred`` and ``sharp``, without ending.
        made_of: Where it comes from and what was drawn, by the names that its maker documents.
        psnr: Of the blurred image, in dB; ``None`` where it equals the sharp one, as JSON knows no infinity.
    """

    key: str
    made_of: Mapping[str, Any]
    psnr: float | None


@dataclass(frozen=True)
class Psnr:
    """PSNR of the blurred images that differ from their sharp ones, in dB; ``None`` where there is no such image."""

    mean: float | None
    least: float | None
    greatest: float | None


@dataclass(frozen=True)
class Manifest:
    """The content of ``manifest.json``.

    Attributes:
        settings: All that the pairs depend on, as in ``settings.json``.
        notes: What was left out.
        pairs: Their records, in the order in which they were made.
    """

    settings: Mapping[str, Any]
    psnr: Psnr
    notes: Sequence[str]
    pairs: Sequence[PairRecord]

    def as_json(self) -> dict[str, Any]:
        """Returns the file's content."""
        pairs = [{"key": pair.key, **pair.made_of, "psnr": pair.psnr} for pair in self.pairs]
        return {"settings": self.settings, "psnr": asdict(self.psnr), "notes": list(self.notes), "pairs": pairs}

    def in_words(self, out: Path) -> str:
        """Returns the line that tells a user what was made."""
        blur, found = "no blur in any of them", self.psnr
        if found.mean is not None:
            blur = f"blurred PSNR {found.mean:.2f} dB on average ({found.least:.2f} to {found.greatest:.2f})"
        return f"{len(self.pairs)} pairs, in {out}; {blur}"


class PairFolder:
    """Pairs made with one set of settings.

    Args:
        folder: New, empty, or left by the same settings. Temporary files that a killed run left in it, or in its
            ``blurred`` and ``sharp``, are removed once it is known to be ours; no other file is.
        settings: All that the pairs depend on; what JSON cannot hold is kept as text. ``made_by`` says which maker's
            they are; a setting that is absent equals one that is ``None``.

    Raises:
        UserError: The folder holds something else, pairs made otherwise, or cannot be written to.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        # Through JSON and back, so that what is compared with an earlier run's file has its types: lists for tuples.
        self.folder, self.settings = folder, json.loads(json.dumps(settings, default=str))
        make_folder(folder)
        # A run killed while it wrote the settings leaves a folder with nothing else than that file.
        there = sorted(path.name for path in folder.iterdir() if not _is_leftover(path))
        if there:
            self._check_earlier(there)
        else:
            write_json(folder / _SETTINGS, self.settings)
        # Only now: until the settings are known to be ours, nothing in the folder is.
        for place in (folder.glob(".*.tmp"), *((folder / side).rglob(".*.tmp") for side in _SIDES)):
            for leftover in filter(_is_leftover, place):
                leftover.unlink(missing_ok=True)

    def pair(self, key: str, make: Callable[[], tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the blurred and the sharp image of a key: those that an earlier run wrote, else made and written.

        Raises:
            UserError: They cannot be made or written; no damaged file is left.
        """
        files = [self.folder / side / f"{key}.png" for side in _SIDES]
        # Decoded, not only looked for: a file that was damaged since is made again.
        with contextlib.suppress(ImageReadError):
            blurred, sharp = (read_image(file) for file in files)
            return blurred, sharp
        pair = make()
        for file, image in zip(files, pair, strict=True):
            make_folder(file.parent)
            write_image(file, image)
        return pair

    def finish(self, pairs: Sequence[PairRecord], notes: Sequence[str] = ()) -> Manifest:
        """Writes ``manifest.json`` and returns its content; it comes last, so a folder that has it is complete."""
        scores = [pair.psnr for pair in pairs if pair.psnr is not None]
        summary = Psnr(None, None, None)
        if scores:
            summary = Psnr(round(float(np.mean(scores)), 4), min(scores), max(scores))
        manifest = Manifest(self.settings, summary, notes, pairs)
        write_json(self.folder / _MANIFEST, manifest.as_json())
        return manifest

    def _check_earlier(self, there: list[str]) -> None:
        place, settings = f"--out {self.folder}", self.settings
        try:
            earlier = json.loads((self.folder / _SETTINGS).read_text(encoding="utf-8"))
            ours = earlier["made_by"] == settings["made_by"]
        except (OSError, ValueError, KeyError, TypeError):
            ours = False
        if not ours:
            raise UserError(f"{place}: it holds something else ({', '.join(shorten(there, 3))}); give a new folder")
        differing = [
            f"{place}: it holds pairs of other settings: {name} is {earlier.get(name)!r} there, "
            f"{settings.get(name)!r} now; give a new folder"
            for name in sorted({*earlier, *settings})
            if earlier.get(name) != settings.get(name)
        ]
        if differing:
            raise UserError(*differing)


def score(blurred: np.ndarray, sharp: np.ndarray) -> float | None:
    """Returns the PSNR of a :class:`PairRecord`."""
    found = psnr(blurred, sharp)
    return round(found, 4) if np.isfinite(found) else None


def keep_apart(source: str, out: Path) -> None:
    """Refuses results that a second run would find among its images, and images within the results.

    ``source`` is a file, folder or glob, as :func:`deblurkit.data.paired.find_images` takes it. Raises a UserError
    where they are not apart.
    """
    # Part by part from the root, as far as both go: one part that does not fit the pattern's keeps them apart.
    for part, place in zip(Path(source).expanduser().resolve().parts, out.resolve().parts, strict=False):
        if part == "**":
            break
        if not re.fullmatch(".*".join(map(re.escape, part.split("*"))), place):
            return
    raise UserError(f"--out {out}: it lies among the images of {source} or around them; give another folder")


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file, whole or not at all; a UserError where it cannot be written."""
    with saying(f"{file}: it cannot be written"):
        write_atomically(file, json.dumps(content, indent=1, ensure_ascii=False) + "\n", hidden=True)


def make_folder(folder: Path) -> None:
    """Makes a folder and those around it, where they are not there yet; a UserError where it cannot be made."""
    with saying(f"{folder}: it cannot be made a folder"):
        folder.mkdir(parents=True, exist_ok=True)


def _is_leftover(path: Path) -> bool:
    return _LEFTOVER.fullmatch(path.name) is not None and path.is_file()
