"""What is measured of one pair of images."""

from __future__ import annotations

from dataclasses import dataclass
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
class Pair:
    """The figures of one pair.

    Attributes:
        key: The pair's key in its set.
        problem: ``unreadable`` or ``unequal`` (sizes) with its message, where the pair cannot be read; nothing else is
            known then.
        size: ``(h, w)`` in pixels.
        psnr: Of the blurred image against the sharp one, in dB; ``None`` for identical images or without a truth.
        identical: Whether blurred and sharp are the same, pixel for pixel.
        sharpness: Gradient energy of the sharp image over that of the blurred one, both smoothed by a Gaussian of
            1 pixel so that noise counts little; below 1 the blurred image is the sharper one.
        alignment: The shift between the two.
        drift: How the blur moved the means.
        blurred_digest: Hash of the blurred image's pixels.
        print: Fingerprint of the sharp image; of the blurred one where there is no truth.
    """

    key: str
    problem: tuple[str, str] | None = None
    size: tuple[int, int] | None = None
    psnr: float | None = None
    identical: bool = False
    sharpness: float | None = None
    alignment: Alignment | None = None
    drift: Drift | None = None
    blurred_digest: str = ""
    print: Fingerprint | None = None

    def figures(self) -> dict[str, Any]:
        """Returns what a JSON file says of the pair."""
        shift = self.alignment
        return {
            "key": self.key,
            "problem": self.problem[1] if self.problem else None,
            "size": self.size,
            "psnr": self.psnr,
            "identical": self.identical,
            "sharpness": self.sharpness,
            "shift": [shift.x, shift.y] if shift else None,
            "likeness": shift.likeness if shift else None,
            "phase_response": shift.response if shift else None,
            "drift": {"stored": self.drift.stored, "light": self.drift.light} if self.drift else None,
            "sharp_hash": self.print.digest if self.print else None,
            "blurred_hash": self.blurred_digest or None,
        }


def measure(dataset: Any, index: int, key: str) -> Pair:
    """Reads one pair and measure it; what cannot be read is a finding, not an error.

    Args:
        dataset: Has ``read(index)``, as :class:`~deblurkit.data.dataset.Pairs` describes it.
        index: Which pair.
        key: Its key.
    """
    try:
        images = dataset.read(index)
    except ImageReadError as error:
        return Pair(key, ("unreadable", str(error)))
    except UserError as error:  # as Pairs.verify tells the two apart
        return Pair(key, ("unequal", str(error)))
    blurred, sharp = images["blurred"], images.get("sharp")
    if sharp is not None and sharp.shape != blurred.shape:
        return Pair(key, ("unequal", f"{key}: blurred is {blurred.shape}, but sharp is {sharp.shape}"))
    size = (int(blurred.shape[0]), int(blurred.shape[1]))
    grey = _grey(blurred)
    if sharp is None:
        prints = fingerprint(key, blurred, grey)
        return Pair(key, size=size, blurred_digest=prints.digest, print=prints)
    if sharp.dtype != blurred.dtype:
        blurred, sharp = to_8_bits(blurred), to_8_bits(sharp)
    grey_sharp = _grey(sharp)
    identical = bool(np.array_equal(blurred, sharp))
    return Pair(
        key,
        size=size,
        psnr=None if identical else float(cv2.PSNR(blurred, sharp, float(np.iinfo(sharp.dtype).max))),
        identical=identical,
        sharpness=_sharpness(grey, grey_sharp),
        alignment=align(grey, grey_sharp),
        drift=drift(blurred, sharp),
        blurred_digest=digest(blurred),
        print=fingerprint(key, sharp, grey_sharp),
    )


def to_8_bits(image: np.ndarray) -> np.ndarray:
    """Returns ``uint8`` or ``uint16`` values as ``uint8``, rounded."""
    if image.dtype == np.uint8:
        return image
    return np.asarray((image.astype(np.uint32) + 128) // 257, dtype=np.uint8)


def _sharpness(blurred: np.ndarray, sharp: np.ndarray) -> float | None:
    energies = [_gradient_energy(image) for image in (blurred, sharp)]
    return energies[1] / energies[0] if min(energies) > _NO_EDGES else None


def _gradient_energy(grey: np.ndarray) -> float:
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.0)
    return sum(float(np.mean(np.square(cv2.Sobel(smooth, cv2.CV_32F, *order)))) for order in ((1, 0), (0, 1)))


def _grey(image: np.ndarray) -> np.ndarray:
    """Returns grey levels of 255, float32 ``(h, w)``."""
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    return np.asarray(grey, dtype=np.float32) * np.float32(255 / np.iinfo(image.dtype).max)
