"""Pictures of a few validation images as the training goes on: ``samples/<set>/iter_00000100.jpg``, and TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from numpy.typing import NDArray
from torch import nn

from deblurkit.contracts import Dataset
from deblurkit.data.images import beside, to_uint8, write_image
from deblurkit.device import Precision
from deblurkit.engine.hooks.ema import averaged
from deblurkit.evaluation.scoring import draw
from deblurkit.inner_outputs import InnerOutput, Pixel
from deblurkit.inspection.drawing import Frame, draw_output
from deblurkit.inspection.looking import evaluating, look_inside
from deblurkit.names import STRIP, strip_files
from deblurkit.report.curves.strips import spread

if TYPE_CHECKING:
    from deblurkit.engine.runner import TrainingRunner

KEPT = 40
"""Strips of a validation set that stay in the work dir; as more come, only every second, fourth, eighth ... stays."""

_CROP = 256  # pixels of each side at most
_GAP_PX = 4  # white pixels between the pictures

Image = NDArray[np.uint8]


class SampleHook(Hook):
    """After each validation draws ``blurred | restored | sharp | inner outputs`` of the same few images, a row each.

    Of each image one crop is shown at full resolution, where blurred and sharp differ most; it is restored by itself,
    which costs little. The random numbers of the training are not touched.

    Args:
        sets: Validation sets by name.
        folder: ``samples`` of the work dir.
        images: How many images of each set, spread evenly over it.
        outputs: Inner outputs of the generator; those of one pixel are of the crop's middle.
        every: Iterations between validations.
        precision: What the generator computes in.
        seed: Of the data sets' random numbers.
    """

    priority = "LOW"

    def __init__(
        self,
        sets: dict[str, Dataset],
        folder: Path,
        images: int,
        outputs: Sequence[InnerOutput],
        every: int,
        precision: Precision,
        seed: int,
    ) -> None:
        self.sets = sets
        self.folder = folder
        self.images = images
        self.outputs = outputs
        self.every = every
        self.precision = precision
        self.seed = seed
        self._crops: dict[str, list[dict[str, torch.Tensor]]] = {}

    def after_val(self, runner: TrainingRunner) -> None:
        """Draws and writes each set's strip."""
        if not is_main_process():
            return
        generator, device = averaged(runner.restorer), runner.device
        devices = [device] if device.type == "cuda" else []
        for name, dataset in self.sets.items():
            with torch.random.fork_rng(devices):
                picture = self._strip(generator, device, name, dataset)
            folder = self.folder / name
            folder.mkdir(parents=True, exist_ok=True)
            write_image(folder / STRIP.format(runner.iter), picture)
            _thin(folder, self.every, runner.iter)
            runner.visualizer.add_image(f"samples/{name}", picture, runner.iter)

    def _strip(self, generator: nn.Module, device: torch.device, name: str, dataset: Dataset) -> Image:
        if name not in self._crops:
            self._crops[name] = [_crop(draw(dataset, index, self.seed)) for index in spread(len(dataset), self.images)]
        with evaluating(generator):
            rows = []
            for crop in self._crops[name]:
                inside = look_inside(generator, crop["blurred"].to(device), self.outputs, Pixel(), self.precision)
                shown = [crop["blurred"], inside.restored.nan_to_num(), *([crop["sharp"]] if "sharp" in crop else [])]
                pictures = [to_uint8(image) for image in shown]
                frame = Frame.of(generator, pictures[0])
                drawn = [draw_output(*pair, frame).picture for pair in zip(self.outputs, inside.outputs, strict=True)]
                rows.append(beside([*pictures, *drawn], _GAP_PX).swapaxes(0, 1))
        return np.ascontiguousarray(beside(rows, _GAP_PX).swapaxes(0, 1))  # rows turned are columns: below each other


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


def _thin(folder: Path, every: int, last: int) -> None:
    """Removes strips where there would be more than :data:`KEPT`; the first and the last stay.

    Which stay follows from the last iteration alone, not from what was removed before: a training that was interrupted
    ends with the same strips as one that was not.

    Args:
        folder: Of one validation set.
        every: Iterations between validations.
        last: The present iteration.
    """
    stride = every
    while len({every, last, *range(stride, last + 1, stride)}) > KEPT:
        stride *= 2
    for iteration, file in strip_files(folder).items():
        if stride > every and iteration % stride and iteration not in (every, last):
            file.unlink()
