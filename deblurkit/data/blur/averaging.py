"""Blur as the mean of successive sharp frames of a fast camera: what one long exposure would have seen.

The GoPro protocol (Nah, Kim and Lee, CVPR 2017): 7 to 13 successive frames of a 240 fps video are averaged, and the
one in the middle is the truth. The camera's response is taken for a gamma of 2.2:

    blurred = 255 * mean((frame / 255) ** 2.2) ** (1 / 2.2), truncated to 8 bits

That is ``response: gamma``, the data set's folders ``blur_gamma``; its folders ``blur`` are the mean of the encoded
levels, ``response: linear``.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deblurkit.data.blur.camera_response import QUANTISATIONS, Response, quantise
from deblurkit.data.blur.interpolation import with_frames_between
from deblurkit.data.shake import add_sensor_noise
from deblurkit.errors import UserError, did_you_mean

Array = NDArray[Any]

GOPRO_AVERAGE = (7, 13)


@dataclass(frozen=True)
class Window:
    """The successive frames that one exposure averages.

    Attributes:
        start: Number of the first frame in its sequence, from 0.
        exposed: How many frames are averaged.
    """

    start: int
    exposed: int

    @property
    def stop(self) -> int:
        """Number of the first frame after those averaged."""
        return self.start + self.exposed

    @property
    def truth(self) -> int:
        """Number of the sharp frame: the middle one; of an even number the later of the two in the middle."""
        return self.start + self.exposed // 2


@dataclass(frozen=True)
class Exposure:
    """How frames become a blurred image.

    Attributes:
        response: Between levels and light.
        average: Least and greatest number of frames in one period of the shutter; drawn for each period, evenly.
        stride: Frames from one period's start to the next one's; by default the next begins where one ends.
        fraction: Share of the period during which the shutter is open, in (0, 1]: the last frames are not averaged.
        interpolate: Frames put between each two by optical flow, where the video is too slow to average as it is.
        gain: Factor on the light, of the blurred image and of the sharp one; above 1, highlights saturate.
        noise: Whether the blurred image gets a sensor's noise (:func:`~deblurkit.data.shake.add_sensor_noise`): of a
            full well of 10,000 electrons and a read-out of 3 electrons' standard deviation, which are not settings.
        quantise: ``truncate``, as the GoPro protocol does, or ``round``.
        seed: With a sequence's name and a window's start it decides every random number.

    Raises:
        UserError: A line for each value that cannot be.
    """

    response: Response
    average: tuple[int, int] = GOPRO_AVERAGE
    stride: int | None = None
    fraction: float = 1.0
    interpolate: int = 0
    gain: float = 1.0
    noise: bool = False
    quantise: str = "truncate"
    seed: int = 0

    def __post_init__(self) -> None:
        least, greatest = self.average
        whole = "a whole number of frames"
        hint = did_you_mean(str(self.quantise), QUANTISATIONS)
        limits = (
            ("average", 1 <= least <= greatest, f"{whole}, or [least, greatest], from 1 on"),
            ("stride", self.stride is None or self.stride >= 1, f"{whole}, at least 1"),
            ("fraction", 0 < self.fraction <= 1, "a share of the period above 0, at most 1"),
            ("interpolate", self.interpolate >= 0, f"{whole}, not negative"),
            ("gain", self.gain > 0, "a positive factor"),
            ("quantise", self.quantise in QUANTISATIONS, f"one of {', '.join(QUANTISATIONS)}{hint}"),
            ("seed", self.seed >= 0, "a whole number, not negative"),
        )
        problems = [f"{name}: got {getattr(self, name)!r}, expected {what}" for name, fits, what in limits if not fits]
        if problems:
            raise UserError(*problems)
        # A pair is named by its middle frame. The middles of a short window and of the long one before it may lie this
        # much closer than their starts, and two that coincide would write over one another's files.
        spread = self._exposed(greatest) // 2 - self._exposed(least) // 2
        if self.stride is not None and self.stride <= spread:
            raise UserError(
                f"stride: got {self.stride}; with {least} to {greatest} frames two windows could have the same middle "
                f"frame, expected at least {spread + 1}"
            )

    def windows(self, sequence: str) -> Iterator[Window]:
        """Yields the windows of a sequence without end; the caller stops where its frames do.

        Their lengths are drawn from the sequence's name and the seed.
        """
        # CRC, not Python's hash, which differs from process to process.
        rng = np.random.default_rng([self.seed, zlib.crc32(sequence.encode())])
        least, greatest = self.average
        start = 0
        while True:
            period = int(rng.integers(least, greatest + 1))
            yield Window(start, self._exposed(period))
            start += self.stride or period

    def expose(self, frames: Iterable[Array], window: Window, sequence: str) -> tuple[Array, Array]:
        """Averages the window's frames, ``uint8`` or ``uint16`` ``(h, w, 3)``, of which it holds three at most.

        Blurred and sharp image have the frames' type and size. Without gain the sharp one is the middle frame.

        Raises:
            UserError: The frames differ in size or type.
        """
        # Photons add up during an exposure, encoded levels do not: what is summed is light. In float64, as rounding
        # errors add up too. Frames put between move the middle one's place.
        middle = window.exposed // 2 * (self.interpolate + 1)
        light, count = np.zeros(()), 0
        for count, image in enumerate(with_frames_between(_alike(frames), self.interpolate), start=1):
            decoded = self.response.decode(image, np.float64)
            light = decoded if count == 1 else np.add(light, decoded, out=light)
            if count == middle + 1:
                sharp = image
        # Gain, noise, response and levels follow in the order of a camera: the sensor adds its noise to light.
        blurred = light * (self.gain / count)
        if self.noise:
            # Seeds are padded by zeros: without the 1, the first window would share the stream of the windows' lengths.
            rng = np.random.default_rng([self.seed, zlib.crc32(sequence.encode()), window.start, 1])
            blurred = add_sensor_noise(blurred.astype(np.float32), rng)
        if self.gain != 1:
            # The truth saturates too: light that no sensor records cannot be asked of a network.
            sharp = self._picture(self.response.decode(sharp, np.float64) * self.gain, sharp.dtype)
        return self._picture(blurred, sharp.dtype), sharp

    def _picture(self, light: Array, dtype: np.dtype[Any]) -> Array:
        return quantise(self.response.encode(light), self.quantise, dtype)

    def _exposed(self, period: int) -> int:
        return max(1, round(period * self.fraction))


def as_average(average: int | Sequence[int]) -> tuple[int, int]:
    """Returns least and greatest number of frames for an option that takes one or both; a UserError for others."""
    limits = list(average) if isinstance(average, Sequence) else [average]
    if not 1 <= len(limits) <= 2 or not all(type(limit) is int for limit in limits):
        raise UserError(f"average: got {average!r}, expected a number of frames or [least, greatest]")
    return limits[0], limits[-1]


def _alike(frames: Iterable[Array]) -> Iterator[Array]:
    """Passes frames on as long as they are of one size and type."""
    first = None
    for number, image in enumerate(frames, start=1):
        kind = f"{image.shape[0]} x {image.shape[1]} {image.dtype}"
        first = first or kind
        if kind != first:
            raise UserError(f"frame {number} of those averaged is {kind}, the first {first} (h x w)")
        yield image
