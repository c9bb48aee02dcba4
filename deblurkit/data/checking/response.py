"""Telling whether a set's blur was averaged in stored values or in light; GoPro comes in both variants.

A blurred image is the mean of sharp ones, so the mean over its pixels is that of the sharp image, apart from what
moves in and out at the borders. That holds for the values that were averaged, and for these only:

* averaged as stored ("linear", GoPro's ``blur`` folders): ``mean(blurred) = mean(sharp)``;
* averaged as light, ``(x / 255) ** 2.2`` ("gamma", ``blur_gamma``): the mean *light* is kept, and the mean of the
  stored values rises, the root being concave (Jensen's inequality).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from deblurkit.errors import UserError

if TYPE_CHECKING:
    from deblurkit.data.dataset import Pairs

GAMMA = 2.2
AVERAGED = {"linear": "stored values (linear)", "gamma": "light (gamma)"}
"""The two kinds of blur, by what they were averaged in."""
_MIN_PAIRS = 5
_MIN_GAP = 0.5  # levels; with less blur or less contrast both means are kept, up to rounding
_NEAR = 0.5  # of the gap: a mean that is further off follows neither rule
_TRUNCATION = 0.25  # levels: averages are rounded (no shift) or truncated (half a level down); this is between
_MIN_SHARE = 0.7


@dataclass(frozen=True)
class Drift:
    """Shift of a pair's means by the blur, in levels of 255."""

    stored: float  # mean blurred less mean sharp value, plus 0.25 for the truncation that the blurred may have met
    light: float  # the same of the mean light, in levels at the sharp image's mean

    @property
    def gap(self) -> float:
        """Distance of the two rules for this pair, in levels."""
        return abs(self.stored - self.light)

    @property
    def vote(self) -> Literal["linear", "gamma", "neither"]:
        """The values whose mean was kept."""
        if min(abs(self.stored), abs(self.light)) > _NEAR * self.gap:
            return "neither"
        return "linear" if abs(self.stored) < abs(self.light) else "gamma"


@dataclass(frozen=True)
class Verdict:
    """Whether a set's blur was averaged in stored values or in light.

    Attributes:
        variant: ``linear`` (values as stored), ``gamma`` (light), or ``unclear``.
        share: Part of the pairs that voted for the more frequent of the two, 0 to 1; 0 where none could.
        n: Pairs blurred strongly enough to tell the two apart.
    """

    variant: Literal["linear", "gamma", "unclear"]
    share: float
    n: int

    def __str__(self) -> str:
        if self.n == 0:
            return "unclear: no pair is blurred strongly enough to tell"
        if self.variant == "unclear":
            few = f", fewer than {_MIN_PAIRS}" if self.n < _MIN_PAIRS else ""
            return f"unclear: {self.n} pairs can tell{few}; {self.share:.0%} of them agree"
        return f"{self.variant}: {self.share:.0%} of {self.n} pairs that can tell agree"


def measure_set(dataset: Pairs, pairs: int = 12) -> str | None:
    """Measures what a data set's blur was averaged in, from so many pairs spread evenly over it.

    Returns:
        ``linear``, ``gamma`` or ``unclear``; ``None`` where there is no truth, or nothing could be read.
    """
    drifts = []
    for index in np.unique(np.linspace(0, len(dataset) - 1, min(pairs, len(dataset))).round().astype(int)):
        try:
            pair = dataset.read(int(index))
        except UserError:
            continue
        if "sharp" not in pair:
            break  # nor have the others
        drifts.append(drift(pair["blurred"], pair["sharp"]))
    return verdict(drifts).variant if drifts else None


def drift(blurred: np.ndarray, sharp: np.ndarray) -> Drift:
    """Measures one pair: images of the same size, ``uint8`` or ``uint16`` ``(h, w, 3)``."""
    mean_blurred, light_blurred = _means(blurred)
    mean_sharp, light_sharp = _means(sharp)
    slope = GAMMA * max(mean_sharp, 1 / 255) ** (GAMMA - 1)  # of light over stored value, at the sharp mean
    stored, light = mean_blurred - mean_sharp, (light_blurred - light_sharp) / slope
    return Drift(255 * stored + _TRUNCATION, 255 * light + _TRUNCATION)


def verdict(drifts: Iterable[Drift]) -> Verdict:
    """Lets pairs vote that were taken at random from a set.

    Returns:
        The verdict; ``unclear`` with fewer than 5 pairs that can tell, or where less than 70 % of them agree. Images
        that were exposed or developed differently, as a beam splitter's two cameras do, are ``unclear`` too.
    """
    votes = [found.vote for found in drifts if found.gap >= _MIN_GAP]
    if not votes:
        return Verdict("unclear", 0.0, 0)
    linear, gamma = votes.count("linear"), votes.count("gamma")
    share = max(linear, gamma) / len(votes)
    if len(votes) < _MIN_PAIRS or share < _MIN_SHARE:
        return Verdict("unclear", share, len(votes))
    return Verdict("linear" if linear > gamma else "gamma", share, len(votes))


def _means(image: np.ndarray) -> tuple[float, float]:
    """Returns the mean value and the mean light, both in [0, 1]."""
    highest = int(np.iinfo(image.dtype).max)
    values = np.arange(highest + 1) / highest
    shares = np.bincount(image.ravel(), minlength=highest + 1) / image.size
    return float(shares @ values), float(shares @ values**GAMMA)
