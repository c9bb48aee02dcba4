"""The scores of images, and what is said of a data set from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Scores = dict[str, float]


@dataclass(frozen=True)
class ImageScore:
    """What was measured on one image.

    Attributes:
        key: The image's name in its data set, a relative path without extension.
        blurred: The blurred input's own score by name; ``None`` where the true image is not known.
        restored: The restored image's score by name; ``None`` where the true image is not known.
        seconds: Wall-clock time of the restoration alone.
    """

    key: str
    blurred: Scores | None
    restored: Scores | None
    seconds: float

    def gain(self, metric: str) -> float | None:
        """Return by how much ``metric`` rose; ``None`` without truth or where both are infinite."""
        if self.blurred is None or self.restored is None:
            return None
        gain = self.restored[metric] - self.blurred[metric]
        return None if math.isnan(gain) else gain


def ranked(rows: Sequence[ImageScore], metric: str = "psnr") -> list[ImageScore]:
    """Return the rows that have a gain in ``metric``, the greatest first."""
    gains = [(gain, row) for row in rows if (gain := row.gain(metric)) is not None]
    return [row for _, row in sorted(gains, key=lambda pair: -pair[0])]


def share_gained(rows: Sequence[ImageScore], metric: str = "psnr") -> float | None:
    """Return the share of images whose ``metric`` rose, in [0, 1]; ``None`` where no image has a gain."""
    gains = [gain for row in rows if (gain := row.gain(metric)) is not None]
    return sum(gain > 0 for gain in gains) / len(gains) if gains else None
