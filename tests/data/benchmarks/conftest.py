"""Small copies of the published sets, in their official layouts, of one photograph."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from deblurkit.data.images import write_image

REALBLUR = {
    "J": "RealBlur-J_ECC_IMCORR_centroid_itensity_ref",
    "R": "RealBlur-R_BM3D_ECC_IMCORR_centroid_itensity_ref",
}
_GOPRO = ("blur", "blur_gamma", "sharp")
_SHARP = re.compile(r"(.*_)?sharp|GT|gt|Image\d|ground_truth|target")


def _gopro() -> Iterable[str]:
    for split, sequences in (("train", ("GOPR0372_07_00", "GOPR0374_11_00")), ("test", ("GOPR0384_11_00",))):
        for sequence in sequences:
            yield from (f"{split}/{sequence}/{side}/00004{n}.png" for side in _GOPRO for n in (7, 8))


def _hide() -> Iterable[str]:
    names = {"train": ["1fromGOPR0950", "2fromGOPR0950"], "test/test-close-ups": ["108fromGOPR1096"]}
    names["test/test-long-shot"] = ["3fromGOPR1096"]
    for folder, images in names.items():
        for name in images:
            yield from (f"{folder}/{name}.png", f"GT/{name}.png")


def _realblur() -> Iterable[str]:
    for folder in REALBLUR.values():
        for scene in ("scene001", "scene002", "scene003"):
            yield from (f"{folder}/{scene}/{side}/{side}_{n}.png" for side in ("blur", "gt") for n in (1, 10))


def _kohler() -> Iterable[str]:
    for poster in (1, 2):
        for shake in (1, 2, 10):
            yield f"Blurry{poster}_{shake}.png"
            below = f"GroundTruth_pngs_Image{poster}/" if poster == 2 else ""  # either way of unpacking
            for frame in (1, 2, 3, 10, 11):
                yield f"{below}Image{poster}/Kernel{shake}/GroundTruth{poster}_{shake}_{frame}.png"


def _lai() -> Iterable[str]:
    yield from (f"real_dataset/{name}" for name in ("boat1.jpg", "Pantheon.png"))
    for image in ("manmade_01", "text_05"):
        yield f"synthetic_dataset/ground_truth/{image}.png"
        yield from (f"synthetic_dataset/uniform/{image}_kernel_0{n}.png" for n in (1, 4))
        yield from (f"synthetic_dataset/nonuniform/{image}_gyro_0{n}.png" for n in (1, 4))
    yield "synthetic_dataset/kernel/kernel_01.png"


def _reds() -> Iterable[str]:
    for part, sequences in (("train", ("000", "239")), ("val", ("000",))):
        for kind in ("sharp", "blur", "blur_comp", "blur_jpeg"):
            ending = "jpg" if kind == "blur_jpeg" else "png"
            for sequence in sequences:
                yield from (f"{part}/{part}_{kind}/{sequence}/{n:08}.{ending}" for n in (8, 9, 99))


TREES = {"GoPro": _gopro, "HIDE": _hide, "RealBlur": _realblur, "Kohler": _kohler, "Lai": _lai, "REDS": _reds}


class Trees:
    """Makes the trees in a folder."""

    def __init__(self, folder: Path, photograph: np.ndarray) -> None:
        self.folder = folder
        self.small = np.ascontiguousarray(photograph[:24, :32])

    def make(self, name: str, top: str = "") -> Path:
        """Make a set's tree, below ``top`` where one is named, and return its root."""
        root = self.folder / "datasets" / name
        for file in TREES[name]():
            self.add(root / top / file)
        if name == "RealBlur":
            for kind, folder in REALBLUR.items():
                for split, scenes in (("train", ("scene001", "scene002")), ("test", ("scene003",))):
                    lines = [
                        f"{folder}/{scene}/gt/gt_{n}.png {folder}/{scene}/blur/blur_{n}.png"
                        for scene in scenes
                        for n in (1, 10)
                    ]
                    (root / top / f"RealBlur_{kind}_{split}_list.txt").write_text("\n".join(lines) + "\n")
        return root

    def add(self, file: Path) -> None:
        """Write the photograph; shifted by a pixel unless sharp."""
        file.parent.mkdir(parents=True, exist_ok=True)
        sharp = any(_SHARP.fullmatch(part) for part in file.relative_to(self.folder).parent.parts)
        write_image(file, self.small if sharp else np.roll(self.small, 1, axis=1))


@pytest.fixture
def trees(tmp_path: Path, photograph: np.ndarray) -> Trees:
    """Makes the trees below the test's own folder."""
    return Trees(tmp_path, photograph)
