"""The embedded sample set: real photographs under modelled camera shake, made on first use in seconds, offline.

The set is frozen: its version changes whenever a pixel would. Photographs are split as wholes, so that nothing of a
test photograph is ever trained on.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from deblurkit.data.dataset import ImagePairs, PairFiles
from deblurkit.data.images import read_image, write_image
from deblurkit.data.photographs import PHOTOGRAPHS, Photograph, photograph_file
from deblurkit.data.shake import random_trajectory, shake
from deblurkit.data.transforms import Augment, Size
from deblurkit.device import usable_cores
from deblurkit.errors import UserError
from deblurkit.files import Lock, remove_unfinished, unfinished_folder, user_cache, whole_folder
from deblurkit.registry import DATASETS

SAMPLE_VERSION = 1
"""Counts up with every change of a pixel of the set."""

_NAME = "deblurkit sample set"
_SEED = 2026
_SIDE = 256  # of an image, in pixels
_MARGIN = 18  # blurred with each image and cut off, wider than any path reaches, so that no border shows
_EXTENT = (5.0, 13.0)  # of the shake, in pixels, drawn uniformly
_ROLL_DEG = (0.0, 1.0)  # range of the roll angle, in degrees, drawn uniformly
_GRID = (2, 3)  # rows and columns of regions that a test photograph is cut into
_FOLDERS = ("blurred", "sharp")


@DATASETS.register_module()
class SamplePairs(ImagePairs):
    """The sample set's training or test pairs, 256 x 256 pixels each.

    Args:
        root: The set's own folder; by default ``sample`` in ``$DEBLURKIT_DATA``, else the checkout's
            ``datasets/sample``, else one in the user's cache.
    """

    def __init__(
        self,
        split: Literal["train", "test"],
        resize: Size | None = None,
        crop: Size | None = None,
        augment: Augment = (),
        root: str | None = None,
    ) -> None:
        if split not in ("train", "test"):
            raise ValueError(f"split: got {split!r}, expected 'train' or 'test'")
        self.root = Path(root) if root else default_root()
        manifest = ensure_sample_set(self.root)
        files = []
        for image in manifest["images"]:
            if image["split"] == split:
                key, name = image["key"], f"{image['key']}.png"
                files.append(PairFiles(key, self.root / split / "blurred" / name, self.root / split / "sharp" / name))
        super().__init__(files, resize, crop, augment)
        self.split = split

    def describe(self) -> dict[str, str | int]:
        """Returns the set's name, its version and the split."""
        return {**super().describe(), "version": SAMPLE_VERSION, "split": self.split}


def default_root() -> Path:
    """Returns where the set lives unless told otherwise; the folder need not exist."""
    if named := os.environ.get("DEBLURKIT_DATA"):
        return Path(named).expanduser() / "sample"
    checkout = Path(__file__).resolve().parents[2]
    datasets = checkout / "datasets"
    if (checkout / "setup.py").is_file() and os.access(datasets if datasets.is_dir() else checkout, os.W_OK):
        return datasets / "sample"
    return user_cache() / "sample"


def ensure_sample_set(root: Path) -> dict[str, Any]:
    """Makes the set under ``root`` unless a whole one of this version is there, and returns its manifest.

    It is made beside ``root`` and renamed, under a lock: a half-made set never bears the name, and of two processes
    that ask at once one makes it.

    Raises:
        UserError: The folder cannot be written, or a photograph is missing.
    """
    manifest = _whole_manifest(root)
    if manifest is not None:
        return manifest
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with Lock(root.parent / f".{root.name}.lock"):
            manifest = _whole_manifest(root)
            if manifest is None:  # another process may have made it while we waited
                remove_unfinished(root)
                with whole_folder(root) as making:
                    manifest = make_sample_set(making)
                    if root.exists():
                        _make_room(root)
            return manifest
    except OSError as error:
        raise UserError(
            f"{root}: the sample set cannot be made here: {error}; set DEBLURKIT_DATA to a folder that can be written"
        ) from error


def make_sample_set(folder: Path) -> dict[str, Any]:
    """Makes the set's files in an existing, empty folder, and returns its manifest, which is written last."""
    for split in ("train", "test"):
        for name in _FOLDERS:
            (folder / split / name).mkdir(parents=True)
    images: list[dict[str, Any]] = []
    with ThreadPoolExecutor(min(2, usable_cores())) as pool:  # OpenCV and the PNG coder release Python's lock
        for made in pool.map(lambda photograph: list(_images_of(photograph, folder)), PHOTOGRAPHS):
            images += made
    photographs = []
    for photograph in PHOTOGRAPHS:
        facts = {"file": photograph.file, "title": photograph.title, "licence": photograph.licence}
        digest = hashlib.sha256(photograph_file(photograph).read_bytes()).hexdigest()
        photographs.append({**facts, "split": photograph.split, "sha256": digest})
    manifest = {
        "name": _NAME,
        "version": SAMPLE_VERSION,
        "photographs": photographs,
        "images": sorted(images, key=lambda image: (image["split"], image["key"])),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")
    return manifest


def _whole_manifest(root: Path) -> dict[str, Any] | None:
    """Returns the manifest where it is ours, of this version, and every file is there in its full length."""
    try:
        manifest: dict[str, Any] = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
        if manifest["version"] != SAMPLE_VERSION:
            return None
        for image in manifest["images"]:
            for folder in _FOLDERS:
                file = root / image["split"] / folder / f"{image['key']}.png"
                if file.stat().st_size != image[folder]["bytes"]:
                    return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return manifest


def _make_room(root: Path) -> None:
    """Deletes a damaged or older set of ours; anything else may be the user's and is only put aside."""
    try:
        ours = json.loads((root / "manifest.json").read_text(encoding="utf-8"))["name"] == _NAME
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if ours:
        doomed = unfinished_folder(root)
        root.rename(doomed / root.name)  # at one go: what is deleted file by file would still bear the name
        shutil.rmtree(doomed, ignore_errors=True)
    elif any(root.iterdir()):
        number = 1
        while (aside := root.with_name(f"{root.name}.old{number}")).exists():
            number += 1
        root.rename(aside)
        warnings.warn(f"{root} held something that is no sample set; it is now {aside}", stacklevel=4)
    else:
        root.rmdir()


def _images_of(photograph: Photograph, folder: Path) -> Iterator[dict[str, Any]]:
    original = read_image(photograph_file(photograph))
    for number in range(photograph.images):
        rng = np.random.default_rng([_SEED, SAMPLE_VERSION, PHOTOGRAPHS.index(photograph), number])
        scale = photograph.scales[number % len(photograph.scales)]
        scene = original
        if scale != 1:
            height, width = (int(side / scale) for side in original.shape[:2])
            scene = cv2.resize(original, (width, height), interpolation=cv2.INTER_AREA)
        # The order of the draws belongs to the frozen set: place, extent, roll, path, noise.
        free_rows, free_columns = (side - _SIDE - 2 * _MARGIN for side in scene.shape[:2])
        if photograph.split == "train":
            top, left = int(rng.integers(free_rows + 1)), int(rng.integers(free_columns + 1))
        else:  # the regions of a test photograph lie on an even grid
            row, column = divmod(number, _GRID[1])
            top, left = free_rows * row // (_GRID[0] - 1), free_columns * column // (_GRID[1] - 1)
        region = scene[top : top + _SIDE + 2 * _MARGIN, left : left + _SIDE + 2 * _MARGIN]
        extent, roll = rng.uniform(*_EXTENT), rng.uniform(*_ROLL_DEG)
        blurred = shake(region, random_trajectory(rng, extent, roll), rng)
        pair = {"blurred": blurred, "sharp": region}
        key = f"{photograph.name}_{number:02d}"
        record: dict[str, Any] = {"key": key, "split": photograph.split, "photograph": photograph.file, "scale": scale}
        record |= {"top": top + _MARGIN, "left": left + _MARGIN, "extent": round(extent, 3), "roll_deg": round(roll, 3)}
        for name, image in pair.items():
            pair[name] = np.ascontiguousarray(image[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN])
            path = folder / photograph.split / name / f"{key}.png"
            write_image(path, pair[name])
            record[name] = {"sha256": hashlib.sha256(pair[name].tobytes()).hexdigest(), "bytes": path.stat().st_size}
        error = np.mean((pair["blurred"].astype(np.float64) - pair["sharp"]) ** 2)
        yield record | {"blurred_psnr": round(10 * math.log10(255**2 / error), 4)}
