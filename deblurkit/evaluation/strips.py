"""Pictures for ``report.md``: the blurred, the restored and the sharp image side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deblurkit.data.images import beside, write_image
from deblurkit.evaluation.pictures import Load, shrink
from deblurkit.report.scores import ImageScore, ranked

_GAP_PX = 4
_PANEL_PX = 480  # the longer side of one picture in a strip


def write_strips(
    rows: Sequence[ImageScore], load: Load, name: str, folder: Path, *, metric: str, higher_is_better: bool = True
) -> dict[str, str]:
    """Writes ``blurred | restored | sharp`` of a few images of one data set.

    Args:
        rows: Their scores.
        load: Gives the images.
        name: The candidate's.
        folder: Where the pictures go; made where it is missing.
        metric: What decides which images are shown.
        higher_is_better: Whether a greater value of it is better.

    Returns:
        Caption to file name.
    """
    strips = {}
    for title, row in strip_rows(rows, metric, higher_is_better).items():
        panels = {"blurred": "blurred", f"restored/{name}": "restored", "sharp": "sharp"}
        images = {side: load(panel, row.key) for panel, side in panels.items()}
        known = {side: image for side, image in images.items() if image is not None}
        folder.mkdir(parents=True, exist_ok=True)
        file = f"{title.replace(' ', '_')}.png"
        write_image(folder / file, beside([shrink(image, _PANEL_PX) for image in known.values()], _GAP_PX))
        gain = row.gain(metric)
        shown = "" if gain is None else f" ({metric} {gain:+.3f})"
        strips[f"{title}: {row.key}{shown}: {' | '.join(known)}"] = file
    return strips


def strip_rows(rows: Sequence[ImageScore], metric: str, higher_is_better: bool = True) -> dict[str, ImageScore]:
    """Names the images worth showing; without gains the first, the middle and the last."""
    order = ranked(rows, metric, higher_is_better)
    titles = ("greatest gain", "median gain", "smallest gain") if order else ("first", "middle", "last")
    candidates = order or rows
    chosen: dict[int, str] = {}
    for title, index in zip(titles, (0, len(candidates) // 2, len(candidates) - 1), strict=True):
        if candidates:
            chosen.setdefault(index, title)
    return {title: candidates[index] for index, title in chosen.items()}
