"""Which images of a data set stand out by their scores."""

from __future__ import annotations

from collections.abc import Sequence

from deblurkit.results import ImageScore


def ranked(rows: Sequence[ImageScore], metric: str = "psnr", higher_is_better: bool = True) -> list[ImageScore]:
    """Returns the rows that have a gain in ``metric``, the most improved first."""
    return [row for _, row in sorted(_gains(rows, metric, higher_is_better), key=lambda pair: -pair[0])]


def ranked_by_score(rows: Sequence[ImageScore], metric: str, higher_is_better: bool = True) -> list[ImageScore]:
    """Returns the rows whose restored image has ``metric``, the best first: for reports that know no blurred images."""
    scores = scores_by_key(rows, metric)
    scored = [row for row in rows if row.key in scores]
    return sorted(scored, key=lambda row: -scores[row.key] if higher_is_better else scores[row.key])


def scores_by_key(rows: Sequence[ImageScore], metric: str) -> dict[str, float]:
    """Returns the restored images' scores in one metric, of those that have it."""
    return {row.key: row.restored[metric] for row in rows if row.restored and metric in row.restored}


def share_gained(rows: Sequence[ImageScore], metric: str = "psnr", higher_is_better: bool = True) -> float | None:
    """Returns the share of images that ``metric`` says improved, in [0, 1]; ``None`` where no image has a gain."""
    gains = _gains(rows, metric, higher_is_better)
    return sum(gain > 0 for gain, _ in gains) / len(gains) if gains else None


def _gains(rows: Sequence[ImageScore], metric: str, higher_is_better: bool) -> list[tuple[float, ImageScore]]:
    """Returns each row that has a gain, with the gain turned so that more is better."""
    found = []
    for row in rows:
        gain = row.gain(metric)
        if gain is not None:
            found.append((gain if higher_is_better else -gain, row))
    return found
