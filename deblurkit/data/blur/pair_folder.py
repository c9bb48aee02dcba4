"""A folder that made pairs are written to: resumable, nothing half-written under a final name.

It gets ``blurred/KEY.png`` and ``sharp/KEY.png``; before the first pair ``settings.json``, which says what may be taken
up again; and after the last one ``manifest.json``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deblurkit.data.dataset import shorten
from deblurkit.data.images import ImageReadError, read_image, write_atomically, write_image
from deblurkit.errors import UserError
from deblurkit.metrics.functional import psnr

_SETTINGS, _MANIFEST = "settings.json", "manifest.json"
_SIDES = ("blurred", "sharp")

Manifest = dict[str, Any]


class PairFolder:
    """Pairs made with one set of settings.

    Args:
        folder: New, empty, or left by the same settings.
        settings: All that the pairs depend on, as JSON can hold it; ``made_by`` says which maker's they are.

    Raises:
        UserError: The folder holds something else, pairs made otherwise, or cannot be written to.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.folder, self.settings = folder, json.loads(json.dumps(settings))
        _make_folder(folder)
        there = sorted(path.name for path in folder.iterdir() if not path.match(".*.tmp"))
        if there:
            self._check_earlier(there)
        else:
            _write_json(folder / _SETTINGS, self.settings)
        for leftover in folder.rglob(".*.tmp"):  # of a run that was killed
            leftover.unlink(missing_ok=True)

    def read(self, key: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the blurred and the sharp image that an earlier run wrote, or ``None`` where it did not."""
        try:
            blurred, sharp = (read_image(file) for file in self._files(key))
        except ImageReadError:
            return None
        return blurred, sharp

    def write(self, key: str, blurred: np.ndarray, sharp: np.ndarray) -> None:
        """Write a pair.

        Raises:
            UserError: It cannot be written; no damaged file is left.
        """
        for file, image in zip(self._files(key), (blurred, sharp), strict=True):
            _make_folder(file.parent)
            write_image(file, image)

    def finish(self, pairs: Sequence[dict[str, Any]], notes: Sequence[str] = ()) -> Manifest:
        """Write ``manifest.json`` and return what it holds.

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
        _write_json(self.folder / _MANIFEST, manifest)
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
            f"{place}: it holds pairs of other settings: {name} is {earlier.get(name)!r} there, {value!r} now; "
            "give a new folder"
            for name, value in settings.items()
            if earlier.get(name) != value
        ]
        if differing:
            raise UserError(*differing)


def score(blurred: np.ndarray, sharp: np.ndarray) -> float | None:
    """Return the blurred image's PSNR in dB for a manifest; ``None`` where it equals the sharp one."""
    found = psnr(blurred, sharp)
    return round(found, 4) if np.isfinite(found) else None


def in_words(manifest: Manifest, out: Path) -> str:
    """Return the line that tells a user what was made."""
    scores = manifest["psnr"]
    blur = "no blur in any of them"
    if scores["mean"] is not None:
        blur = f"blurred PSNR {scores['mean']:.2f} dB on average ({scores['least']:.2f} to {scores['greatest']:.2f})"
    return f"{len(manifest['pairs'])} pairs, in {out}; {blur}"


def _write_json(file: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    try:
        write_atomically(file, text.encode())
    except OSError as error:
        raise UserError(f"{file}: it cannot be written: {error.strerror or error}") from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: it cannot be made a folder: {error.strerror or error}") from error
