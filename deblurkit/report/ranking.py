"""Which images of a data set stand out by their scores."""

from __future__ import annotations

from collections.abc import Sequence

from deblurkit.results import ImageScore


def ranked(rows: Sequence[ImageScore], metric: str = "psnr", higher_is_better: bool = True) -> list[ImageScore]:
    """Returns the rows that have a gain in ``metric``, the most improved first."""
    return [row for _, row in sorted(_gains(rows, metric, higher_is_better), key=_descending)]


def ranked_by_score(rows: Sequence[ImageScore], metric: str, higher_is_better: bool = True) -> list[ImageScore]:
    """Returns the rows whose restored image has ``metric``, the best first: for reports that know no blurred images."""
    sign = 1 if higher_is_better else -1
    scores = [(sign * row.restored[metric], row) for row in rows if row.restored and metric in row.restored]
    return [row for _, row in sorted(scores, key=_descending)]


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


def _descending(pair: tuple[float, ImageScore]) -> float:
    return -pair[0]
