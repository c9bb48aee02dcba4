"""A small clean set of real photographs under shake, laid out as GoPro is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

TRAIN = ("astronaut_03", "brick_01", "camera_02", "coins_04", "grass_02", "hubble_deep_field_01", "ihc_05")
TEST = ("chelsea_01", "coffee_02", "rocket_03")


@pytest.fixture
def clean(tmp_path: Path, sample_root: Path) -> Path:
    """A folder with ``train`` and ``test``, under a path with spaces and umlauts."""
    root = tmp_path / "Bilder für Müller"
    for split, keys in (("train", TRAIN), ("test", TEST)):
        for key in keys:
            for source, side in (("blurred", "blur"), ("sharp", "sharp")):
                target = root / split / f"sequence {len(key) % 2}" / side / f"{key}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(sample_root / split / source / f"{key}.png", target)
    return root
