"""Pictures of a few validation images as the training goes on: ``samples/<set>/iter_00000100.jpg``, and TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from numpy.typing import NDArray

from deblurkit.contracts import Dataset
from deblurkit.data.images import beside, to_uint8, write_image
from deblurkit.engine.hooks.ema import averaged
from deblurkit.engine.runner import TrainingRunner
from deblurkit.evaluation.scoring import draw
from deblurkit.files import saying
from deblurkit.inner_outputs import InnerOutput, Pixel
from deblurkit.inspection.drawing import Frame, draw_output
from deblurkit.inspection.looking import evaluating, look_inside
from deblurkit.names import STRIP, strip_files
from deblurkit.report.curves.strips import spread

KEPT = 40
"""Strips of a validation set that stay in the work dir; as more come, only every second, fourth, eighth ... stays."""

_CROP = 256  # pixels of each side at most
_GAP_PX = 4  # white pixels between the pictures

Image = NDArray[np.uint8]


class SampleHook(Hook):
    """After each validation draws ``blurred | restored | sharp | inner outputs`` of the same few images, a row each.

    Of each image one crop is shown at full resolution, where blurred and sharp differ most; it is restored by itself,
    which costs little.

    Args:
        sets: Validation sets by name; of each ``logging.samples`` images are drawn, spread evenly over it.
        outputs: Inner outputs of the generator; those of one pixel are of the crop's middle.
    """

    priority = "LOW"

    def __init__(self, sets: dict[str, Dataset], outputs: Sequence[InnerOutput]) -> None:
        self.sets = sets
        self.outputs = outputs
        self._crops: dict[str, list[dict[str, torch.Tensor]]] = {}

    def after_val(self, runner: TrainingRunner) -> None:
        """Draws and writes each set's strip.

        Raises:
            UserError: The disk refuses it.
        """
        if not is_main_process():
            return
        devices = [runner.device] if runner.device.type == "cuda" else []
        for name, dataset in self.sets.items():
            # The draws of a data set and of the network's layers must leave the training's random stream as it is.
            with torch.random.fork_rng(devices):
                picture = self._strip(runner, name, dataset)
            folder = runner.folder.samples / name
            with saying(f"{folder}: cannot be written"):
                folder.mkdir(parents=True, exist_ok=True)
                write_image(folder / STRIP.format(runner.iter), picture)
                _thin(folder, runner.options.val.every, runner.iter)
            runner.visualizer.add_image(f"samples/{name}", picture, runner.iter)

    def _strip(self, runner: TrainingRunner, name: str, dataset: Dataset) -> Image:
        options, generator = runner.options, averaged(runner.restorer)
        if name not in self._crops:
            # Chosen and read once: the same crops in each strip of a run.
            shown = spread(len(dataset), options.logging.samples)
            self._crops[name] = [_crop(draw(dataset, index, options.seed)) for index in shown]
        rows = []
        with evaluating(generator):
            for crop in self._crops[name]:
                blurred = crop["blurred"].to(runner.device)
                inside = look_inside(generator, blurred, self.outputs, Pixel(), options.train.precision)
                images = [crop["blurred"], inside.restored.nan_to_num()]
                if "sharp" in crop:
                    images.append(crop["sharp"])
                pictures = [to_uint8(image) for image in images]
                frame = Frame.of(generator, pictures[0])
                drawn = [draw_output(*pair, frame).picture for pair in zip(self.outputs, inside.outputs, strict=True)]
                rows.append(beside([*pictures, *drawn], _GAP_PX).swapaxes(0, 1))
        return np.ascontiguousarray(beside(rows, _GAP_PX).swapaxes(0, 1))  # rows turned are columns: below each other


def _crop(sample: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Returns both images cropped where they differ most; without ``sharp``, the middle of ``blurred``."""
    blurred, sharp = sample["blurred"], sample.get("sharp")
    height, width = (min(side, _CROP) for side in blurred.shape[1:])
    top, left = (blurred.shape[1] - height) // 2, (blurred.shape[2] - width) // 2
    if sharp is not None:
        # The window with the largest mean difference among those that lie inside the image.
        difference = (blurred - sharp).abs().mean(0).numpy()
        window = cv2.boxFilter(difference, -1, (width, height), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)
        inside = window[: blurred.shape[1] - height + 1, : blurred.shape[2] - width + 1]
        top, left = (int(place) for place in np.unravel_index(inside.argmax(), inside.shape))
    images = {"blurred": blurred} if sharp is None else {"blurred": blurred, "sharp": sharp}
    return {name: image[:, top : top + height, left : left + width].clone() for name, image in images.items()}


def _thin(folder: Path, every: int, last: int) -> None:
    """Removes strips where there would be more than :data:`KEPT`; the first and the last stay.

    Which stay follows from the present iteration ``last`` and the iterations ``every`` between validations alone, not
    from what was removed before: a training that was interrupted ends with the same strips as one that was not.
    """
    stride = every
    while len({every, last, *range(stride, last + 1, stride)}) > KEPT:
        stride *= 2
    for iteration, file in strip_files(folder).items():
        if stride > every and iteration % stride and iteration not in (every, last):
            file.unlink()
