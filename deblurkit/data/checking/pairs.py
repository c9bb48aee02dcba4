"""Measuring one pair of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from deblurkit.data.checking.alignment import Alignment, align
from deblurkit.data.checking.duplicates import Fingerprint, digest, fingerprint
from deblurkit.data.checking.response import Drift, drift
from deblurkit.data.images import ImageReadError
from deblurkit.errors import UserError

_NO_EDGES = 0.01  # squared levels: mean gradient energy of an image that has none to compare


@dataclass(frozen=True)
class Problem:
    """Why a pair cannot be measured: ``unreadable`` or ``unequal`` (sizes), and a line about it."""

    kind: str
    text: str


@dataclass(frozen=True)
class MeasuredPair:
    """The figures of one pair.

    Attributes:
        problem: Why nothing else is known of the pair, if so.
        size: ``(h, w)`` in pixels.
        psnr: Of the blurred image against the sharp one, in dB; ``None`` for identical images or without a truth.
        identical: Whether blurred and sharp are the same, pixel for pixel.
        sharpness: Gradient energy of the sharp image over that of the blurred one, both smoothed by a Gaussian of
            1 pixel so that noise counts little; below 1 the blurred image is the sharper one.
        blurred_digest: Hash of the blurred image's pixels.
        fingerprint: Of the sharp image; of the blurred one where there is no truth.
    """

    key: str
    problem: Problem | None = None
    size: tuple[int, int] | None = None
    psnr: float | None = None
    identical: bool = False
    sharpness: float | None = None
    alignment: Alignment | None = None
    drift: Drift | None = None
    blurred_digest: str = ""
    fingerprint: Fingerprint | None = None

    def as_json(self) -> dict[str, Any]:
        """Returns the pair's part of ``check.json``."""
        shift = self.alignment
        return {
            "key": self.key,
            "problem": self.problem and self.problem.text,
            "size": self.size,
            "psnr": self.psnr,
            "identical": self.identical,
            "sharpness": self.sharpness,
            "shift": shift and [shift.x, shift.y],
            "likeness": shift and shift.likeness,
            "phase_response": shift and shift.response,
            "drift": self.drift and asdict(self.drift),
            "sharp_hash": self.fingerprint and self.fingerprint.digest,
            "blurred_hash": self.blurred_digest or None,
        }


def measure(read: Callable[[int], dict[str, Any]], index: int, key: str) -> MeasuredPair:
    """Reads one pair, as :meth:`deblurkit.data.dataset.Pairs.read` does, and measures it.

    A pair that cannot be read is a finding, not an error.
    """
    try:
        images = read(index)
    except ImageReadError as error:
        return MeasuredPair(key, Problem("unreadable", str(error)))
    except UserError as error:  # as Pairs.verify tells the two apart
        return MeasuredPair(key, Problem("unequal", str(error)))
    blurred, sharp = images["blurred"], images.get("sharp")
    if sharp is not None and sharp.shape != blurred.shape:
        problem = Problem("unequal", f"{key}: blurred is {blurred.shape}, but sharp is {sharp.shape}")
        return MeasuredPair(key, problem)
    size = (int(blurred.shape[0]), int(blurred.shape[1]))
    grey = _grey(blurred)
    if sharp is None:
        print_of_blurred = fingerprint(key, blurred, grey)
        return MeasuredPair(key, size=size, blurred_digest=print_of_blurred.digest, fingerprint=print_of_blurred)
    # A pair of 8 and 16 bits is compared in 8: the same photograph, rounded once, must not look different.
    if sharp.dtype != blurred.dtype:
        blurred, sharp = to_8_bits(blurred), to_8_bits(sharp)
    grey_sharp = _grey(sharp)
    identical = bool(np.array_equal(blurred, sharp))
    energy, sharp_energy = _gradient_energy(grey), _gradient_energy(grey_sharp)
    return MeasuredPair(
        key,
        size=size,
        # Of identical images it is infinite, which JSON cannot hold.
        psnr=None if identical else float(cv2.PSNR(blurred, sharp, float(np.iinfo(sharp.dtype).max))),
        identical=identical,
        # The ratio of two energies near 0 is noise.
        sharpness=sharp_energy / energy if min(energy, sharp_energy) > _NO_EDGES else None,
        alignment=align(grey, grey_sharp),
        drift=drift(blurred, sharp),
        blurred_digest=digest(blurred),
        fingerprint=fingerprint(key, sharp, grey_sharp),
    )


def to_8_bits(image: np.ndarray) -> np.ndarray:
    """Returns ``uint8`` or ``uint16`` values as ``uint8``, rounded."""
    if image.dtype == np.uint8:
        return image
    return np.asarray((image.astype(np.uint32) + 128) // 257, dtype=np.uint8)


def _gradient_energy(grey: np.ndarray) -> float:
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.0)
    across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    return float(np.mean(np.square(across))) + float(np.mean(np.square(down)))


def _grey(image: np.ndarray) -> np.ndarray:
    """Returns grey levels of 255, float32 ``(h, w)``."""
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    return np.asarray(grey, dtype=np.float32) * np.float32(255 / np.iinfo(image.dtype).max)
