"""Restore and score a data set, image by image: the same for validation during training and for tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor, nn

from deblurkit.data.images import to_uint8, write_image
from deblurkit.data.loader import ImageDataset, collate
from deblurkit.errors import UserError
from deblurkit.evaluation.protocols import Protocol
from deblurkit.inference.restore import NonFiniteOutputError, non_finite, restore
from deblurkit.report.scores import ImageScore, Scores

Progress = Callable[[int, int], None]
"""Called with the number of images done and the number of all."""


class Summary(TypedDict):
    """What is said of a data set: mean scores (``None`` where no image has its truth) and times in seconds."""

    images: int
    blurred: Scores | None
    restored: Scores | None
    seconds_per_image: dict[str, float]


def score_dataset(
    generator: nn.Module,
    dataset: ImageDataset,
    protocol: Protocol,
    *,
    device: torch.device | str | None = None,
    precision: str = "fp32",
    inference: str = "whole",
    seed: int = 0,
    save_to: Path | None = None,
    progress: Progress | None = None,
) -> list[ImageScore]:
    """Restore every image of a data set and score it and its blurred input; one image in memory at a time.

    Args:
        generator: Run in eval mode, and given back in the mode it came in.
        dataset: Images without ``sharp`` are restored and timed, their scores are ``None``.
        protocol: What is computed.
        device: Where the generator computes; by default where its weights lie.
        precision: See :func:`deblurkit.inference.restore.restore`.
        inference: See there.
        seed: Image ``index`` is drawn with random numbers of ``(seed, 0, index)``.
        save_to: A folder for the restored images, ``<key>.png``.
        progress: Told of each image done.

    Raises:
        NonFiniteOutputError: The generator returned pixels that are no numbers; names the image.
    """
    device = torch.device(device) if device is not None else _device_of(generator)
    modes = {module: module.training for module in generator.modules()}
    generator.to(device).eval()
    rows = []
    try:
        for index in range(len(dataset)):
            sample = draw(dataset, index, seed)
            restored, seconds = _restore_timed(generator, sample, device, precision, inference)
            if save_to is not None:
                write_image(image_file(save_to, sample["key"]), to_uint8(restored))
            rows.append(_score(sample, restored, seconds, protocol))
            if progress is not None:
                progress(index + 1, len(dataset))
    finally:
        for module, training in modes.items():  # one by one: a part that is held in eval mode stays in it
            module.training = training
    return rows


def summarise(rows: Sequence[ImageScore], protocol: Protocol) -> Summary:
    """Return a data set's scores, averaged as ``protocol`` says, and the median and 95th percentile of the times."""
    blurred = [row.blurred for row in rows if row.blurred is not None]
    restored = [row.restored for row in rows if row.restored is not None]
    median, p95 = np.percentile([row.seconds for row in rows], [50, 95]) if rows else (0.0, 0.0)
    return {
        "images": len(rows),
        "blurred": protocol.average(blurred) if blurred else None,
        "restored": protocol.average(restored) if restored else None,
        "seconds_per_image": {"median": float(median), "p95": float(p95)},
    }


def draw(dataset: ImageDataset, index: int, seed: int) -> dict[str, Any]:
    """Return one sample, finished on the CPU where the data set leaves that to do; ``seed`` and ``index`` decide it."""
    sample = dataset.sample(index, np.random.default_rng((seed, 0, index)))
    finish = getattr(dataset, "finish", None)
    return sample if finish is None else {name: values[0] for name, values in finish(collate([sample])).items()}


def image_file(folder: Path, key: str) -> Path:
    """Return ``folder/<key>.png``, having made the folders that ``key`` names.

    Raises:
        UserError: ``key`` leads out of the folder.
    """
    parts = PurePosixPath(key).parts
    if not parts or ".." in parts or PurePosixPath(key).is_absolute():
        raise UserError(f"image {key!r}: its name does not stay inside a folder, it cannot be saved under {folder}")
    path = folder.joinpath(*parts[:-1], f"{parts[-1]}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _device_of(generator: nn.Module) -> torch.device:
    weight = next(generator.parameters(), None)
    return weight.device if weight is not None else torch.device("cpu")


def _restore_timed(
    generator: nn.Module, sample: dict[str, Any], device: torch.device, precision: str, inference: str
) -> tuple[Tensor, float]:
    """Return the restored image ``(3, h, w)`` on the CPU, and the seconds from the tensor in memory to the result."""
    synchronise(device)
    start = time.perf_counter()
    restored = restore(generator, sample["blurred"].unsqueeze(0).to(device), precision, inference)[0]
    synchronise(device)
    seconds = time.perf_counter() - start
    restored = restored.cpu()
    if not torch.isfinite(restored).all():
        raise NonFiniteOutputError(f"{sample['key']}: {non_finite(generator, precision)}")
    return restored, seconds


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given, so that a clock tells the truth."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _score(sample: dict[str, Any], restored: Tensor, seconds: float, protocol: Protocol) -> ImageScore:
    if sample.get("sharp") is None:
        return ImageScore(sample["key"], None, None, seconds)
    sharp = protocol.quantise(sample["sharp"])
    try:
        before, after = (protocol.score(protocol.quantise(image), sharp) for image in (sample["blurred"], restored))
    except ValueError as error:
        raise UserError(f"{sample['key']}: protocol {protocol.id}: {error}") from None
    return ImageScore(sample["key"], before, after, seconds)
