"""The fastest way of running one network on this machine that agrees with the plain one; measured once, remembered."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deblurkit.allocator import keeping_freed_memory
from deblurkit.data.images import to_uint8
from deblurkit.device import PRECISIONS, Precision, processor_name
from deblurkit.files import user_cache, write_atomically
from deblurkit.inference.forward import restore_whole
from deblurkit.metrics.psnr import psnr

LEAST_DB = 60.0
"""How far a way must agree with the plain one in 8 bits: one value in 15 may be the next higher or lower level."""

_ROUNDS = 5
_WORTH = 0.97  # of the plain way's time: what is hardly faster is as fast
_REMEMBERED = 100


@dataclass(frozen=True)
class Way:
    """How a network is run: in a precision, and with weights and images in channels-last order or not."""

    precision: Precision
    channels_last: bool

    def __str__(self) -> str:
        """Returns it in the words of a message."""
        return f"{self.precision}, channels last" if self.channels_last else self.precision


PLAIN = Way("fp32", channels_last=False)
_HALVES: dict[str, tuple[Precision, ...]] = {"cpu": ("bf16",), "cuda": ("tf32", "bf16", "fp16")}


@dataclass(frozen=True)
class Choice:
    """The fastest way, and what was measured of it.

    Attributes:
        ratio: Its time, of the plain way's; 1 for that itself.
        agreement_db: PSNR of its result against the plain way's, both rounded to 8 bits.
        pixels: Height and width of what it was measured on.
        remembered: Whether it was measured earlier.
    """

    way: Way
    ratio: float
    agreement_db: float
    pixels: tuple[int, int]
    remembered: bool = False

    def __str__(self) -> str:
        """Returns it in one line."""
        height, width = self.pixels
        when = "measured earlier" if self.remembered else "measured"
        if self.way == PLAIN:
            return f"plain {PLAIN}: nothing faster agrees to {LEAST_DB:g} dB ({when} on {height}x{width} pixels)"
        return (
            f"{self.way}: {self.ratio:.2f} of the time of plain {PLAIN}, alike to {self.agreement_db:.1f} dB "
            f"({when} on {height}x{width} pixels)"
        )


def fastest(generator: nn.Module, image: Tensor, file: Path) -> Choice:
    """Returns the fastest way for a network and images of this size; at most a few seconds, later none.

    Args:
        generator: In eval mode, in plain order; the same afterwards.
        image: ``(3, h, w)`` in [0, 1]; its middle is what is measured on.
        file: Where the weights come from, by which the choice is remembered with the machine and the size.
    """
    device = next(generator.parameters()).device
    # On a CPU small crops rank ways as large ones do; a GPU is not kept busy by them.
    most = 256 if device.type == "cpu" else 512
    crop = _middle(image, most).to(device)
    pixels = int(crop.shape[2]), int(crop.shape[3])
    key = _key(file, device, pixels)
    memory = user_cache() / "fastest.json"
    known = _recall(memory, key, pixels)
    if known is not None:
        return known
    choice = _measured(generator, crop, pixels)
    found = {**_read(memory), key: {**dataclasses.asdict(choice.way), "ratio": choice.ratio, "db": choice.agreement_db}}
    kept = dict(list(found.items())[-_REMEMBERED:])
    with contextlib.suppress(OSError):  # without a cache it is measured each time
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(memory, json.dumps(kept, indent=1), hidden=True)
    return choice


def arrange(generator: nn.Module, way: Way) -> None:
    """Puts a network's weights into the order of a way; images follow them."""
    generator.to(memory_format=torch.channels_last if way.channels_last else torch.contiguous_format)  # type: ignore[call-overload]


@torch.inference_mode()
def _measured(generator: nn.Module, crop: Tensor, pixels: tuple[int, int]) -> Choice:
    halves = _HALVES.get(crop.device.type, ())
    ways = [PLAIN, Way("fp32", True), *(Way(half, True) for half in halves)]
    seconds: dict[Way, list[float]] = {}
    agreement: dict[Way, float] = {}
    plain: NDArray[np.uint8] | None = None
    with keeping_freed_memory():
        # The first round is without a clock: kernels and memory are set up in it.
        for again in range(1 + _ROUNDS):
            for way in ways:
                if again and agreement[way] < LEAST_DB:
                    continue
                arrange(generator, way)
                try:
                    start = time.perf_counter()
                    restored = restore_whole(generator, crop, way.precision).cpu()  # it waits for a GPU
                    taken = time.perf_counter() - start
                except (RuntimeError, ValueError):  # an operation that a half precision lacks
                    agreement[way] = -math.inf
                    continue
                if again:
                    seconds.setdefault(way, []).append(taken)
                    continue
                levels = to_uint8(restored[0])
                plain = levels if plain is None else plain
                agreement[way] = psnr(levels, plain) if restored.isfinite().all() else -math.inf
    arrange(generator, PLAIN)
    best, least = PLAIN, _WORTH
    for way, taken_by_way in seconds.items():
        # The least, as what is remembered must not follow from what else the machine did at the time.
        ratio = min(taken_by_way) / min(seconds[PLAIN])
        if way != PLAIN and ratio < least:
            best, least = way, ratio
    return Choice(best, 1.0 if best == PLAIN else least, agreement[best], pixels)


def _middle(image: Tensor, most: int) -> Tensor:
    """Returns the middle of an image, ``(1, 3, h, w)``, with sides that are powers of two: few sizes to remember."""
    height, width = (min(most, 1 << (int(side).bit_length() - 1)) for side in image.shape[1:])
    top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
    return image[None, :, top : top + height, left : left + width].contiguous()


def _key(file: Path, device: torch.device, pixels: tuple[int, int]) -> str:
    status = file.stat()
    name = processor_name() if device.type == "cpu" else torch.cuda.get_device_name(device)
    machine = f"{device.type}, {name}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    return f"{file.resolve()}, {status.st_size} bytes of {status.st_mtime_ns} | {machine} | {pixels[0]}x{pixels[1]}"


def _read(memory: Path) -> dict[str, Any]:
    """Returns all that is remembered; nothing where the file is absent or damaged."""
    try:
        found = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _recall(memory: Path, key: str, pixels: tuple[int, int]) -> Choice | None:
    match _read(memory).get(key):
        case {"precision": str(precision), "channels_last": bool(last), "ratio": float(ratio), "db": float(db)}:
            if precision in PRECISIONS:
                return Choice(Way(precision, last), ratio, db, pixels, remembered=True)
    return None
