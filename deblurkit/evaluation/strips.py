"""Pictures for the report: the blurred, the restored and the sharp image side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from deblurkit.data.images import to_uint8, write_image
from deblurkit.data.loader import ImageDataset
from deblurkit.evaluation.scoring import draw
from deblurkit.inference.restore import restore
from deblurkit.report.scores import ImageScore, ranked

_GAP_PX = 4
_PANEL_PX = 480  # the longer side of one picture in a strip


def write_strips(
    generator: nn.Module,
    dataset: ImageDataset,
    rows: Sequence[ImageScore],
    folder: Path,
    *,
    metric: str,
    precision: str,
    inference: str,
    seed: int,
) -> dict[str, str]:
    """Restore a few images again and write ``blurred | restored | sharp`` of each.

    Args:
        generator: In eval mode, where it computes.
        dataset: The images.
        rows: Their scores, in the data set's order.
        folder: Where the pictures go; made where it is missing.
        metric: What decides which images are shown.
        precision: As the scores were computed.
        inference: As the scores were computed.
        seed: As the scores were computed.

    Returns:
        Caption to file name.
    """
    device = next((weight.device for weight in generator.parameters()), torch.device("cpu"))
    strips = {}
    for title, row in _choose(rows, metric).items():
        sample = draw(dataset, rows.index(row), seed)
        restored = restore(generator, sample["blurred"].unsqueeze(0).to(device), precision, inference)[0].cpu()
        images = [sample["blurred"], restored, *([sample["sharp"]] if sample.get("sharp") is not None else [])]
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{title.replace(' ', '_')}.png"
        write_image(folder / name, join([shrink(to_uint8(image)) for image in images]))
        gain = row.gain(metric)
        shown = "" if gain is None else f" ({metric} {gain:+.3f})"
        parts = "blurred | restored | sharp" if len(images) == 3 else "blurred | restored"
        strips[f"{title}: {row.key}{shown}: {parts}"] = name
    return strips


def join(images: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Put images ``(h, w, 3)`` of one height and dtype side by side, with white gaps."""
    white = np.iinfo(images[0].dtype).max
    gap = np.full((images[0].shape[0], _GAP_PX, 3), white, images[0].dtype)
    parts = [part for image in images for part in (image, gap)][:-1]
    return np.concatenate(parts, axis=1)


def shrink(image: NDArray[Any]) -> NDArray[Any]:
    """Make an image ``(h, w, 3)`` small enough for a page; smaller ones stay as they are."""
    height, width = image.shape[:2]
    scale = _PANEL_PX / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _choose(rows: Sequence[ImageScore], metric: str) -> dict[str, ImageScore]:
    """Name the images worth showing; without scores the first, the middle and the last."""
    order = ranked(rows, metric)
    titles = ("greatest gain", "median gain", "smallest gain") if order else ("first", "middle", "last")
    candidates = order or rows
    chosen: dict[int, str] = {}
    for title, index in zip(titles, (0, len(candidates) // 2, len(candidates) - 1), strict=True):
        if candidates:
            chosen.setdefault(index, title)
    return {title: candidates[index] for index, title in chosen.items()}
