"""Blurred photographs of sharp ones: a blur is drawn, the scene is cut, exposed and recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deblurkit.contracts import Blur, blur_traits
from deblurkit.data.blur.sensor import Sensor
from deblurkit.data.transforms import Pair
from deblurkit.errors import UserError
from deblurkit.registry import BLURS


@dataclass(frozen=True)
class Shot:
    """One photograph about to be taken: everything random about it is drawn.

    Attributes:
        blur: Number of the blur among those given.
        linear: The scene with the blur's margin on each side: linear light, float32 ``(h, w, 3)``.
        drawn: The blur's own parameters.
        sensor: The sensor's.
    """

    blur: int
    linear: np.ndarray
    drawn: dict[str, np.ndarray]
    sensor: dict[str, np.ndarray]


class Camera:
    """Takes blurred photographs of sharp ones.

    Args:
        blur: Blur components ``{type: NAME, share: FREQUENCY, ...}``; one is drawn for each photograph, as often as
            its share of the sum says (1 by default).
        sensor: Records the light.
        windows: Crops that are drawn for each sample, of which the one with the most detail is taken.

    Raises:
        UserError: A blur is not known, refuses its arguments, or does not say its margin.
        ValueError: There is no blur, or a share is not above 0.
    """

    def __init__(self, blur: Sequence[str | dict[str, Any]], sensor: Sensor, windows: int = 1) -> None:
        if isinstance(blur, (str, dict)) or not blur:
            raise ValueError(f"blur: got {blur!r}, expected a list such as [{{type: Shake}}]")
        if windows < 1:
            raise ValueError(f"windows: got {windows}, expected at least 1")
        self.models: list[Blur] = []
        self.names: list[str] = []
        shares: list[float] = []
        for number, given in enumerate(blur):
            entry = {"type": given} if isinstance(given, str) else dict(given)
            share: Any = entry.pop("share", 1.0)
            if not isinstance(share, (int, float)) or not 0 < share < np.inf:
                raise ValueError(f"blur[{number}].share: got {share!r}, expected a number above 0")
            model = BLURS.build(entry, where=f"blur[{number}]")
            name = str(entry["type"])
            # The registry checks methods of classes; the margin depends on an instance's arguments.
            margin = blur_traits(model).margin
            if type(margin) is not int or margin < 0:
                raise UserError(
                    f"blur[{number}]: {name}: its attribute margin is {margin!r}, expected a whole number of pixels"
                )
            self.models.append(model)
            self.names.append(name)
            shares.append(share)
        self.shares = np.array(shares) / sum(shares)
        self.sensor, self.windows = sensor, windows

    def shoot(self, photograph: np.ndarray, rng: np.random.Generator, crop: tuple[int, int] | None = None) -> Shot:
        """Draws all that is random and cuts the scene out of a photograph, ``uint8`` or ``uint16`` ``(h, w, 3)``.

        ``crop`` is ``(h, w)`` of the final images in pixels. Its margin is part of the photograph, where that is large
        enough; else, and without a crop, what is missing is the photograph's mirror image.

        Raises:
            UserError: The photograph is smaller than the crop, or the blur cannot be drawn for this size.
        """
        # What is drawn, and in which order, decides the pixels of every seed: a new draw goes last.
        number = int(rng.choice(len(self.models), p=self.shares))
        model = self.models[number]
        scenes = [cut(photograph, crop or photograph.shape[:2], model.margin, rng) for _ in range(self.windows)]
        scene = max(scenes, key=detail) if len(scenes) > 1 else scenes[0]
        drawn = model.draw(scene.shape[:2], rng)
        sensor = self.sensor.draw(rng)
        return Shot(number, self.sensor.response(sensor).decode(scene), drawn, sensor)

    def develop(self, shot: Shot) -> Pair:
        """Returns ``blurred`` and ``sharp``, ``uint8`` ``(h, w, 3)`` without the margin."""
        model = self.models[shot.blur]
        # Near the border a blur gathers light from beyond it, which is invented there: the margin takes that away.
        inside = slice(model.margin, -model.margin or None)
        blurred, sharp = (image[inside, inside] for image in model.expose(shot.linear, shot.drawn))
        blurred, sharp = self.sensor.capture(blurred, sharp, shot.sensor)
        return {"blurred": blurred, "sharp": sharp}


def cut(photograph: np.ndarray, size: tuple[int, int], margin: int, rng: np.random.Generator) -> np.ndarray:
    """Returns a random window of ``size`` ``(h, w)``, with a margin on each side, out of ``(h, w, 3)``.

    Raises:
        UserError: The photograph is smaller than the window.
    """
    places = []
    for side, wanted in zip(photograph.shape[:2], size, strict=True):
        if side < wanted:
            raise UserError(
                f"{photograph.shape[0]} x {photograph.shape[1]} pixels (h x w), smaller than the crop of "
                f"{size[0]} x {size[1]}"
            )
        # Where the photograph is large enough the window keeps clear of its border; else it may lie anywhere.
        room = margin if side >= wanted + 2 * margin else 0
        start = int(rng.integers(room, side - wanted - room + 1))
        mirrored = np.pad(np.arange(side), margin, mode="reflect")
        places.append(mirrored[start : start + wanted + 2 * margin])
    return photograph[places[0][:, None], places[1]]


def detail(image: np.ndarray) -> float:
    """Measures how much there is to blur: the mean step between neighbouring green values of ``(h, w, 3)``."""
    # Every other row is enough to tell a sky from leaves, and as fast as it is, this runs for every window.
    green = image[::2, :, 1].astype(np.float32)
    return float(np.abs(np.diff(green, axis=1)).mean() + np.abs(np.diff(green, axis=0)).mean())
