"""Which images of a data set stand out by their scores."""

from __future__ import annotations

from collections.abc import Sequence

from deblurkit.results import ImageScore


def ranked(rows: Sequence[ImageScore], metric: str = "psnr", higher_is_better: bool = True) -> list[ImageScore]:
    """Returns the rows that have a gain in ``metric``, the most improved first."""
    gains = gains_by_key(rows, metric)
    return sorted((row for row in rows if row.key in gains), key=lambda row: gains[row.key], reverse=higher_is_better)


def ranked_by_score(rows: Sequence[ImageScore], metric: str, higher_is_better: bool = True) -> list[ImageScore]:
    """Returns the rows whose restored image has ``metric``, the best first: for reports that know no blurred images."""
    scores = scores_by_key(rows, metric)
    return sorted((row for row in rows if row.key in scores), key=lambda row: scores[row.key], reverse=higher_is_better)


def scores_by_key(rows: Sequence[ImageScore], metric: str) -> dict[str, float]:
    """Returns the restored images' scores in one metric, of those that have it."""
    return {row.key: row.restored[metric] for row in rows if row.restored and metric in row.restored}


def share_gained(rows: Sequence[ImageScore], metric: str = "psnr", higher_is_better: bool = True) -> float | None:
    """Returns the share of images that ``metric`` says improved, in [0, 1]; ``None`` where no image has a gain."""
    gains, sign = gains_by_key(rows, metric).values(), 1 if higher_is_better else -1
    if not gains:
        return None
    return sum(sign * gain > 0 for gain in gains) / len(gains)


def gains_by_key(rows: Sequence[ImageScore], metric: str) -> dict[str, float]:
    """Returns by how much ``metric`` rose, of the images of which that is known."""
    found = {}
    for row in rows:
        gain = row.gain(metric)
        if gain is not None:
            found[row.key] = gain
    return found
