"""A small folder of real photographs in pairs, and option files on it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
from tiny import TINY, merged

from deblurkit.data.images import write_image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))  # for runs.py and those who use it


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The data set section of eight pairs of 40 x 40 pixels, cropped to 32, in batches of two."""
    root = tmp_path_factory.mktemp("pairs")
    photographs = [skimage.data.astronaut(), skimage.data.chelsea()]
    for number in range(8):
        photograph, top = photographs[number % 2], 30 * number
        sharp = np.ascontiguousarray(photograph[top : top + 40, 100:140])
        for kind, pixels in (("sharp", sharp), ("blur", cv2.GaussianBlur(sharp, (0, 0), 1.5))):
            (root / kind).mkdir(exist_ok=True)
            write_image(root / kind / f"{number:03}.png", pixels)
    return {
        "type": "PairedImages",
        "blurred": str(root / "blur"),
        "sharp": str(root / "sharp"),
        "crop": 32,
        "augment": ["hflip", "rot90"],
        "batch_size": 2,
    }


@pytest.fixture
def option_file(tmp_path: Path, pairs: dict[str, Any]) -> Callable[..., Path]:
    """Write an option file (JSON is YAML): the tiny experiment with changes."""
    return _writer(tmp_path, pairs)


@pytest.fixture(scope="module")
def module_option_file(tmp_path_factory: pytest.TempPathFactory, pairs: dict[str, Any]) -> Callable[..., Path]:
    """The same for files that a whole module of tests shares."""
    return _writer(tmp_path_factory.mktemp("options"), pairs)


def _writer(folder: Path, pairs: dict[str, Any]) -> Callable[..., Path]:
    def write(change: Mapping[str, Any] | None = None, name: str = "options.yml") -> Path:
        options = merged({**TINY, "datasets": {"train": pairs}}, change or {})
        file = folder / name
        file.write_text(json.dumps(options, indent=1), encoding="utf-8")
        return file

    return write
