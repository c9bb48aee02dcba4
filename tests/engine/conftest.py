"""A small folder of real photographs in pairs, and option files on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
import yaml

from deblurkit.data.images import write_image

TINY: dict[str, Any] = {
    "name": "tiny",
    "seed": 3,
    "generator": {"type": "ResidualUNet", "channels": [4, 4], "blocks": 1},
    "losses": {"image": {"type": "L1Loss"}},
    "optimizers": {
        "generator": {"type": "Adam", "lr": 1e-3},
        "discriminators": {"type": "Adam", "lr": 1e-3, "betas": [0.5, 0.9]},
    },
    "train": {"iters": 4},
    "logging": {"every": 1, "tensorboard": False},
}
CRITIC = {"type": "PatchDiscriminator", "channels": 4, "layers": 2}


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


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Merge as option files do, but for ``type``: a component given is taken whole."""
    result = dict(base)
    for key, value in change.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both and "type" not in value else value
    return result


@pytest.fixture
def option_file(tmp_path: Path, pairs: dict[str, Any]) -> Callable[..., Path]:
    """Write an option file: the tiny experiment with changes."""

    def write(change: Mapping[str, Any] | None = None, name: str = "options.yml") -> Path:
        options = merged({**TINY, "datasets": {"train": pairs}}, change or {})
        file = tmp_path / name
        file.write_text(yaml.safe_dump(options, sort_keys=False), encoding="utf-8")
        return file

    return write
