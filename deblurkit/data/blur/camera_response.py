"""Between the levels that a file stores and the light that the sensor received: where blur is made.

Light adds up during an exposure, encoded levels do not. A camera's response says which light a level stands for; here
it is the same for the three channels, in [0, 1] on both sides, 1 = saturation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from deblurkit.errors import UserError, did_you_mean

Array = NDArray[Any]

LEVELS = 256
QUANTISATIONS = ("round", "truncate")
_SLACK = 8  # units in the last place of 1: more than decoding, averaging and encoding cost


@dataclass(frozen=True)
class Response:
    """A camera's response, and its inverse.

    Attributes:
        name: What options and manifests call it.
        to_light: From encoded values in [0, 1] to light in [0, 1].
        to_encoded: The inverse.
    """

    name: str
    to_light: Callable[[Array], Array]
    to_encoded: Callable[[Array], Array]

    def decode(self, image: Array, dtype: DTypeLike = np.float32) -> Array:
        """Returns the linear light in [0, 1] of a ``uint8`` or ``uint16`` image's levels, of any shape.

        ``dtype`` is ``float32``, or ``float64`` where many images are added up.

        Raises:
            ValueError: The image has another type.
        """
        # A power per level, not per pixel. The table is built in float64, whatever it is stored in.
        highest = _highest(image.dtype)
        table = self.to_light(np.arange(highest + 1) / highest).astype(dtype)
        return np.take(table, image)

    def encode(self, linear: Array) -> Array:
        """Returns the encoded values in [0, 1] of linear light, clipped to [0, 1] first; of the same float type."""
        return self.to_encoded(np.clip(linear, 0, 1)).astype(linear.dtype, copy=False)

    def identity(self) -> str:
        """Returns what tells this response from others: its name; of a measured curve a digest of its numbers."""
        if self.name in _NAMED:
            return self.name
        # The file may have been moved, or written anew with another curve.
        return f"sha256:{hashlib.sha256(self.to_light(np.linspace(0, 1, LEVELS)).tobytes()).hexdigest()}"


def response(name_or_file: str) -> Response:
    """Returns a camera's response.

    Args:
        name_or_file: ``linear`` (levels are taken for light), ``gamma`` (light = level^2.2, as in the GoPro protocol),
            ``srgb`` (IEC 61966-2-1), or a file with a measured curve: the light of the 256 levels, ascending, in any
            unit, for it is scaled so that the last is 1. ``.npy``, or text with the numbers separated by commas,
            blanks or line ends. Between the levels, and for 16 bits, it is interpolated linearly.

    Raises:
        UserError: It is neither a known name nor such a file.
    """
    if name_or_file in _NAMED:
        return _NAMED[name_or_file]
    if not isinstance(name_or_file, str) or not Path(name_or_file).is_file():
        known = f"known: {', '.join(_NAMED)}{did_you_mean(str(name_or_file), _NAMED)}, or the file of a measured curve"
        raise UserError(f"response: {name_or_file!r} is neither a known response nor a file; {known}")
    light = _measured(Path(name_or_file))
    encoded = np.linspace(0, 1, LEVELS)
    # Partials of a named function, as a data set goes to the loader's workers pickled.
    return Response(name_or_file, partial(_interpolate, encoded, light), partial(_interpolate, light, encoded))


def quantise(encoded: Array, how: str = "round", dtype: DTypeLike = np.uint8) -> Array:
    """Turns encoded values, floats clipped to [0, 1], into levels of ``uint8`` or ``uint16``.

    ``how`` is ``round``, to the nearest, halves up; or ``truncate``, as in the GoPro protocol.

    Raises:
        ValueError: ``how`` or ``dtype`` is another.
    """
    if how not in QUANTISATIONS:
        raise ValueError(f"quantise: got {how!r}{did_you_mean(how, QUANTISATIONS)}, expected one of {QUANTISATIONS}")
    highest = _highest(np.dtype(dtype))
    # Truncation forgives the last bits of a float: else a pixel that is equal in all averaged frames, and comes back
    # from light as 99.99999, would often lose a level.
    added = 0.5 if how == "round" else _SLACK * highest * np.finfo(encoded.dtype).eps
    return np.floor(np.clip(encoded, 0, 1) * highest + added).astype(dtype)


def _highest(dtype: np.dtype[Any]) -> int:
    if dtype not in (np.uint8, np.uint16):
        raise ValueError(f"expected uint8 or uint16, got {dtype}")
    return int(np.iinfo(dtype).max)


def _measured(file: Path) -> Array:
    """Reads a measured curve: 256 ascending numbers, scaled so that the last is 1."""
    try:
        if file.suffix.lower() == ".npy":
            curve = np.asarray(np.load(file, allow_pickle=False), dtype=np.float64).ravel()
        else:
            curve = np.array(file.read_text(encoding="utf-8").replace(",", " ").split(), dtype=np.float64)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"response: {file}: it cannot be read as numbers: {error}") from error
    if curve.size != LEVELS:
        raise UserError(f"response: {file}: it holds {curve.size} numbers, expected {LEVELS}, one for each level")
    if not np.isfinite(curve).all() or curve[0] < 0:
        raise UserError(f"response: {file}: light must be finite and not negative")
    # A curve that stays level or falls gives several levels for one light, so it could not be encoded again.
    falls = np.flatnonzero(np.diff(curve) <= 0)
    if falls.size:
        level = int(falls[0])
        raise UserError(
            f"response: {file}: the numbers must ascend, but level {level} has {curve[level]:g} "
            f"and level {level + 1} has {curve[level + 1]:g}"
        )
    return curve / curve[-1]


def _interpolate(known: Array, values: Array, at: Array) -> Array:
    return np.asarray(np.interp(at, known, values))


def _same(values: Array) -> Array:
    return values


def _gamma_to_light(encoded: Array) -> Array:
    return encoded**2.2


def _gamma_to_encoded(light: Array) -> Array:
    return light ** (1 / 2.2)


# IEC 61966-2-1: a power of 2.4, and a straight piece near black, where the slope of a pure power would be infinite.
def _srgb_to_light(encoded: Array) -> Array:
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def _srgb_to_encoded(light: Array) -> Array:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


_NAMED = {
    "linear": Response("linear", _same, _same),
    "gamma": Response("gamma", _gamma_to_light, _gamma_to_encoded),
    "srgb": Response("srgb", _srgb_to_light, _srgb_to_encoded),
}
RESPONSES = tuple(_NAMED)
