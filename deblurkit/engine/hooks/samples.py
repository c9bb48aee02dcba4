"""Pictures of a few validation images as the training goes on: ``samples/<set>/iter_00000100.jpg``, and TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from numpy.typing import NDArray

from deblurkit.data.images import to_uint8, write_image
from deblurkit.evaluation.scoring import draw
from deblurkit.inference.restore import restore

KEPT = 40
"""Strips of a validation set that stay in the work dir; as more come, those closest to their neighbours go."""

_CROP = 256  # pixels of each side at most
_GAP = 4  # white pixels between the pictures

Image = NDArray[np.uint8]


class SampleHook(Hook):
    """After each validation draws ``blurred | restored | sharp`` of the same few images, a row each.

    Of each image one crop is shown at full resolution, where blurred and sharp differ most; it is restored by itself,
    which costs little. The random numbers of the training are not touched.

    Args:
        sets: Validation sets by name.
        folder: ``samples`` of the work dir.
        images: How many images of each set, spread evenly over it.
        precision: What the generator computes in.
        seed: Of the data sets' random numbers.
    """

    priority = "LOW"

    def __init__(self, sets: dict[str, Any], folder: Path, images: int, precision: str, seed: int) -> None:
        self.sets = sets
        self.folder = folder
        self.images = images
        self.precision = precision
        self.seed = seed
        self._crops: dict[str, list[dict[str, torch.Tensor]]] = {}

    def before_train(self, runner: Any) -> None:
        """Remove what a run that went further left behind, where this one takes up again before that."""
        if is_main_process():
            for file in self.folder.glob("*/iter_*.jpg"):
                if _iteration(file) > runner.iter:
                    file.unlink()

    def after_val(self, runner: Any) -> None:
        """Draw and write each set's strip."""
        if not is_main_process():
            return
        restorer = runner.restorer
        generator = restorer.ema if restorer.ema is not None else restorer.generator
        devices = [restorer.device] if restorer.device.type == "cuda" else []
        for name, dataset in self.sets.items():
            with torch.random.fork_rng(devices):
                picture = self._strip(generator, restorer.device, name, dataset)
            folder = self.folder / name
            folder.mkdir(parents=True, exist_ok=True)
            write_image(folder / f"iter_{runner.iter:08d}.jpg", picture)
            _thin(folder)
            runner.visualizer.add_image(f"samples/{name}", picture, runner.iter)

    def _strip(self, generator: Any, device: torch.device, name: str, dataset: Any) -> Image:
        if name not in self._crops:
            self._crops[name] = [_crop(draw(dataset, index, self.seed)) for index in _spread(len(dataset), self.images)]
        training = [module for module in generator.modules() if module.training]
        generator.eval()
        try:
            rows = []
            for crop in self._crops[name]:
                restored = restore(generator, crop["blurred"].unsqueeze(0).to(device), self.precision)[0].nan_to_num()
                shown = [crop["blurred"], restored, *([crop["sharp"]] if "sharp" in crop else [])]
                rows.append(_joined([to_uint8(image) for image in shown], axis=1))
        finally:
            for module in training:
                module.training = True
        return _joined(rows, axis=0)


def _crop(sample: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return ``blurred`` and ``sharp`` cropped where they differ most; without ``sharp``, the middle of ``blurred``."""
    blurred, sharp = sample["blurred"], sample.get("sharp")
    height, width = (min(side, _CROP) for side in blurred.shape[1:])
    top, left = (blurred.shape[1] - height) // 2, (blurred.shape[2] - width) // 2
    if sharp is not None:
        difference = (blurred - sharp).abs().mean(0).numpy()
        window = cv2.boxFilter(difference, -1, (width, height), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
        inside = window[: blurred.shape[1] - height + 1, : blurred.shape[2] - width + 1]
        top, left = (int(place) for place in np.unravel_index(inside.argmax(), inside.shape))
    images = {"blurred": blurred} if sharp is None else {"blurred": blurred, "sharp": sharp}
    return {name: image[:, top : top + height, left : left + width].clone() for name, image in images.items()}


def _joined(images: list[Image], axis: int) -> Image:
    """Put images ``(h, w, 3)`` beside or below each other; what is smaller is filled up with white."""
    other = 1 - axis
    longest = max(image.shape[other] for image in images)
    parts = []
    for image in images:
        ends = [(0, 0), (0, 0), (0, 0)]
        ends[other] = (0, longest - image.shape[other])
        ends[axis] = (0, _GAP if image is not images[-1] else 0)
        parts.append(np.pad(image, ends, constant_values=255))
    return np.concatenate(parts, axis=axis)


def _spread(length: int, wanted: int) -> list[int]:
    """Return places spread evenly over a set.

    >>> _spread(10, 3), _spread(2, 3)
    ([1, 5, 8], [0, 1])
    """
    count = min(length, wanted)
    return [(2 * number + 1) * length // (2 * count) for number in range(count)]


def _thin(folder: Path) -> None:
    """Remove strips beyond :data:`KEPT`: each time the one whose neighbours are closest; first and last stay."""
    files = sorted(folder.glob("iter_*.jpg"))
    while len(files) > KEPT:
        gaps = [_iteration(after) - _iteration(before) for before, after in zip(files, files[2:], strict=False)]
        files.pop(1 + gaps.index(min(gaps))).unlink()


def _iteration(file: Path) -> int:
    return int(file.stem.removeprefix("iter_"))
