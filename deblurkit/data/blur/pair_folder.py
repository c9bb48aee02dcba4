"""A folder that made pairs are written to: resumable, nothing half-written under a final name.

It gets ``blurred/KEY.png`` and ``sharp/KEY.png``; before the first pair ``settings.json``, which says what may be taken
up again; and after the last one ``manifest.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from itertools import chain
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

Manifest = dict[str, Any]
Show = Callable[[str, int, int], None]
"""Called with a name, the number of things done and that of all."""


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

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder, self.settings = folder, json.loads(json.dumps(settings, default=str))
        make_folder(folder)
        # A run killed while it wrote the settings leaves a folder with nothing else than that file.
        there = sorted(path.name for path in folder.iterdir() if not _is_leftover(path))
        if there:
            self._check_earlier(there)
        else:
            write_json(folder / _SETTINGS, self.settings)
        places = (folder.glob(".*.tmp"), *((folder / side).rglob(".*.tmp") for side in _SIDES))
        for leftover in filter(_is_leftover, chain(*places)):
            leftover.unlink(missing_ok=True)

    def pair(self, key: str, make: Callable[[], tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the blurred and the sharp image of a key: those that an earlier run wrote, else made and written.

        Raises:
            UserError: They cannot be made or written; no damaged file is left.
        """
        pair = self._read(key)
        if pair is None:
            pair = make()
            self._write(key, *pair)
        return pair

    def _read(self, key: str) -> tuple[np.ndarray, np.ndarray] | None:
        try:
            blurred, sharp = (read_image(file) for file in self._files(key))
        except ImageReadError:
            return None
        return blurred, sharp

    def _write(self, key: str, blurred: np.ndarray, sharp: np.ndarray) -> None:
        for file, image in zip(self._files(key), (blurred, sharp), strict=True):
            make_folder(file.parent)
            write_image(file, image)

    def finish(self, pairs: Sequence[dict[str, Any]], notes: Sequence[str] = ()) -> Manifest:
        """Writes ``manifest.json`` and returns what it holds.

        Args:
            pairs: A record each, with ``key`` and ``psnr`` (see :func:`score`).
            notes: What was left out.

        Returns:
            ``settings``, ``psnr`` of all (``mean``, ``least``, ``greatest``), ``notes`` and ``pairs``.
        """
        scores = [pair["psnr"] for pair in pairs if pair["psnr"] is not None]
        mean = round(float(np.mean(scores)), 4) if scores else None
        summary = {"mean": mean, "least": min(scores, default=None), "greatest": max(scores, default=None)}
        manifest = {"settings": self.settings, "psnr": summary, "notes": list(notes), "pairs": list(pairs)}
        write_json(self.folder / _MANIFEST, manifest)
        return manifest

    def _files(self, key: str) -> list[Path]:
        return [self.folder / side / f"{key}.png" for side in _SIDES]

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
    """Returns the blurred image's PSNR in dB for a manifest; ``None`` where it equals the sharp one."""
    found = psnr(blurred, sharp)
    return round(found, 4) if np.isfinite(found) else None


def in_words(manifest: Manifest, out: Path) -> str:
    """Returns the line that tells a user what was made."""
    scores = manifest["psnr"]
    blur = "no blur in any of them"
    if scores["mean"] is not None:
        blur = f"blurred PSNR {scores['mean']:.2f} dB on average ({scores['least']:.2f} to {scores['greatest']:.2f})"
    return f"{len(manifest['pairs'])} pairs, in {out}; {blur}"


def keep_apart(source: str, out: Path) -> None:
    """Refuses results that a second run would find among its images, and images within the results.

    Args:
        source: File, folder or glob, as :func:`deblurkit.data.paired.find_images` takes it.
        out: Folder of the results.

    Raises:
        UserError: They are not apart.
    """
    for part, place in zip(Path(source).expanduser().resolve().parts, out.resolve().parts, strict=False):
        if part == "**":
            break
        if not re.fullmatch(".*".join(map(re.escape, part.split("*"))), place):
            return
    raise UserError(f"--out {out}: it lies among the images of {source} or around them; give another folder")


def write_json(file: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file, whole or not at all.

    Raises:
        UserError: It cannot be written.
    """
    with saying(f"{file}: it cannot be written"):
        write_atomically(file, json.dumps(content, indent=1, ensure_ascii=False) + "\n", hidden=True)


def make_folder(folder: Path) -> None:
    """Makes a folder and those around it, where they are not there yet.

    Raises:
        UserError: It cannot be made.
    """
    with saying(f"{folder}: it cannot be made a folder"):
        folder.mkdir(parents=True, exist_ok=True)


def _is_leftover(path: Path) -> bool:
    return _LEFTOVER.fullmatch(path.name) is not None and path.is_file()
