"""The scores of images, and what is said of a data set from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Scores = dict[str, float]
Facts = Mapping[str, str | int | float]


@dataclass(frozen=True)
class ImageScore:
    """What was measured on one image.

    Attributes:
        key: The image's name in its data set, a relative path without extension.
        blurred: The blurred input's own score by name; ``None`` where nothing could be scored.
        restored: The restored image's score by name; ``None`` where nothing could be scored.
        seconds: Wall-clock time of the restoration alone; ``None`` where it was done elsewhere.
        blurred_facts: What else the protocol found out while it scored the blurred image: shifts, the best frame.
        restored_facts: The same of the restored image.
    """

    key: str
    blurred: Scores | None
    restored: Scores | None
    seconds: float | None
    blurred_facts: Facts = field(default_factory=dict)
    restored_facts: Facts = field(default_factory=dict)

    def gain(self, metric: str) -> float | None:
        """Returns by how much ``metric`` rose; ``None`` where either score is missing or both are infinite."""
        before, after = (self.blurred or {}).get(metric), (self.restored or {}).get(metric)
        if before is None or after is None:
            return None
        gain = after - before
        return None if math.isnan(gain) else gain


def ranked(rows: Sequence[ImageScore], metric: str = "psnr", higher_is_better: bool = True) -> list[ImageScore]:
    """Returns the rows that have a gain in ``metric``, the most improved first."""
    sign = 1 if higher_is_better else -1
    gains = [(sign * gain, row) for row in rows if (gain := row.gain(metric)) is not None]
    return [row for _, row in sorted(gains, key=lambda pair: -pair[0])]


def ranked_by_score(rows: Sequence[ImageScore], metric: str, higher_is_better: bool = True) -> list[ImageScore]:
    """Returns the rows whose restored image has ``metric``, the best first: for reports that know no blurred images."""
    sign = 1 if higher_is_better else -1
    scores = [(sign * row.restored[metric], row) for row in rows if row.restored is not None and metric in row.restored]
    return [row for _, row in sorted(scores, key=lambda pair: -pair[0])]


def share_gained(rows: Sequence[ImageScore], metric: str = "psnr", higher_is_better: bool = True) -> float | None:
    """Returns the share of images that ``metric`` says improved, in [0, 1]; ``None`` where no image has a gain."""
    sign = 1 if higher_is_better else -1
    gains = [sign * gain for row in rows if (gain := row.gain(metric)) is not None]
    return sum(gain > 0 for gain in gains) / len(gains) if gains else None
