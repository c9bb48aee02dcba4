"""Blurred images with their truths, for deblurring methods of every kind: shaken photographs, and pairs of files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from deblurkit.data.blur import exposure
from deblurkit.data.blur.camera import Camera
from deblurkit.data.blur.camera_response import Response, response
from deblurkit.data.blur.sensor import Sensor
from deblurkit.data.blur.shake_blur import Shake
from deblurkit.data.blur.trajectory import TAPS_PX
from deblurkit.data.images import read_image, to_uint8
from deblurkit.data.paired import PairedImages

Photograph = NDArray[np.uint8]
"""RGB, ``(h, w, 3)``."""
Kernel = NDArray[np.float32]
"""``(k, k)``, ``k`` odd, with the sum 1."""

SEED = 15
NOISE = {"full_well": 10_000, "read_noise": 3}  # slight: 1 to 2 levels
ROLL, TILT = (0.0, 0.6), (0.0, 0.15)  # degrees, of the shake that varies over the image
STEPS_PER_PIXEL = 1.6  # of a path, so that its points lie about a pixel apart


@dataclass(frozen=True)
class Case:
    """One blurred photograph and its truth.

    Attributes:
        key: Its name in its set.
        response: Between the photograph's levels and the values in which the blur was made. Methods may use it.
        kernel: The one of all pixels; ``None`` where there is no such kernel, or it is not known.
    """

    key: str
    blurred: Photograph
    sharp: Photograph
    response: Response
    kernel: Kernel | None


class CaseSet(Protocol):
    """Cases that are made or read when they are asked for, the same at each time.

    Attributes:
        name: The title of its table.
        about: How its cases came about, in words.
        no_kernel: Why no true kernel is known; empty where it is.
    """

    name: str
    about: str
    no_kernel: str

    def __len__(self) -> int:
        """Returns the number of cases."""

    def case(self, index: int) -> Case:
        """Returns a case."""


class Shaken:
    """Photographs under a camera's shake, cut to ``crop`` ``(h, w)`` at most.

    The margin from which light is shaken in is cut out of the photographs themselves, which so become smaller.

    Args:
        photographs: Files. Each is shaken once, and in the same manner whatever the response.
        extent: Least and greatest extent of the shake, in pixels.
        levels: ``srgb``: the blur is a mean of light; ``linear``: one of levels, as in GoPro's ``blur``.
        varying: Whether the camera rolls and tilts, too: each pixel then has a kernel of its own.
        crop: The greatest height and width, in pixels.
        offset: Added to an index for its seed, so that two sets have different shakes.
    """

    def __init__(
        self,
        photographs: Sequence[Path],
        extent: tuple[float, float],
        levels: str,
        varying: bool,
        crop: tuple[int, int],
        offset: int = 0,
    ) -> None:
        roll, tilt = (ROLL, TILT) if varying else ((0.0, 0.0), (0.0, 0.0))
        steps = max(24, math.ceil(STEPS_PER_PIXEL * extent[1]))
        self.margin = math.ceil(Shake(extent, roll, tilt, margin=0, steps=steps).reach(crop)) + TAPS_PX
        shake = {"type": "Shake", "extent": extent, "roll": roll, "tilt": tilt, "margin": self.margin, "steps": steps}
        self.camera = Camera([shake], Sensor(levels, NOISE))
        self.photographs, self.crop, self.offset = photographs, crop, offset
        self.no_kernel = "each pixel has its own kernel" if varying else ""
        kind, values = "varying" if varying else "uniform", {"linear": "levels", "srgb": "light"}[levels]
        self.name = f"{kind} shake, averaged in {values}"
        motion = f"roll to {ROLL[1]:g} and tilt to {TILT[1]:g} degrees" if varying else "no roll, no tilt"
        self.about = (
            f"`Shake` of {extent[0]:g} to {extent[1]:g} pixels, {motion}, `response: {levels}`, noise {NOISE}, "
            f"{len(photographs)} photographs of at most {crop[1]} x {crop[0]} pixels, seed {SEED}"
        )

    def __len__(self) -> int:
        """Returns the number of photographs."""
        return len(self.photographs)

    def case(self, index: int) -> Case:
        """Returns a photograph, shaken anew in the same way."""
        path = self.photographs[index]
        photograph = read_image(path)
        height, width = (
            min(most, side - 2 * self.margin) for most, side in zip(self.crop, photograph.shape[:2], strict=True)
        )
        shot = self.camera.shoot(photograph, np.random.default_rng([SEED, self.offset + index]), (height, width))
        pair = self.camera.develop(shot)
        kernel = None if self.no_kernel else kernel_of(shot.drawn["homographies"], self.margin)
        return Case(path.stem, pair["blurred"], pair["sharp"], self.camera.sensor.responses[0], kernel)


class Pairs:
    """Blurred and sharp files of equal names, whose kernels nobody knows.

    Their blur is taken for a mean of levels, as GoPro's ``blur`` is.
    """

    no_kernel = "not known"

    def __init__(self, name: str, blurred: str, sharp: str) -> None:
        self.pairs = PairedImages(blurred, sharp)
        self.name = name
        self.about = f"{len(self.pairs)} pairs of files; the blur is taken for a mean of levels"

    def __len__(self) -> int:
        """Returns the number of pairs."""
        return len(self.pairs)

    def case(self, index: int) -> Case:
        """Returns a pair, read from its files."""
        sample = self.pairs.sample(index, np.random.default_rng(index))
        blurred, sharp = (to_uint8(sample[side]) for side in ("blurred", "sharp"))
        return Case(sample["key"], blurred, sharp, response("linear"), None)


def kernel_of(homographies: NDArray[np.float64], reach: int) -> Kernel:
    """Returns the kernel of a path of shifts ``(steps, 3, 3)`` that reaches ``reach`` pixels at most.

    It is the picture of one point of light. What bicubic interpolation makes negative is cut off, as light is not.
    """
    side = 2 * reach + 1
    point = np.zeros((side, side, 3), np.float32)
    point[reach, reach] = 1
    kernel = np.maximum(exposure.expose(point, homographies)[..., 0], 0)
    # The smallest square about the middle: methods take time in proportion.
    needed = int(np.abs(np.argwhere(kernel) - reach).max())
    inside = slice(reach - needed, reach + needed + 1)
    return np.asarray(kernel[inside, inside] / kernel.sum())
