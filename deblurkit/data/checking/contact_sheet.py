"""A picture of the pairs to look at first: the worst, middle and best by PSNR, and those that findings are about."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from deblurkit.data.checking.alignment import TRUSTED
from deblurkit.data.checking.discover import FoundSet
from deblurkit.data.checking.pairs import to_8_bits
from deblurkit.errors import UserError

_THUMBNAIL = (320, 200)  # the most that one takes, (w, h) in pixels
_LINE = 22  # pixels, of a label
_GAP = 4
_AMPLIFIED = 3  # the difference, so that it can be seen
_WORST, _MIDDLE, _BEST = 3, 2, 3
_FLAGGED = 8
_LONGEST_KEY = 60
_MOST_PAIRS = 128  # of all sets together: about 30,000 pixels, where a JPEG file holds 65,500
_BACKGROUND, _INK, _FLAG_INK = (24, 24, 24), (225, 225, 225), (255, 150, 90)
_TITLES = ("blurred", "sharp", f"difference x {_AMPLIFIED}")
_LEAST_WIDTH = 640  # pixels, for the labels

Row = tuple[str, bool, list[Image.Image]]  # label, whether it stands out, pictures side by side


def contact_sheet(assessed: Sequence[dict[str, Any]], sets: Sequence[FoundSet]) -> bytes | None:
    """Draws the picture: a row for each pair, blurred, sharp and their difference side by side.

    Args:
        assessed: What :func:`~deblurkit.data.checking.sets.assess` returned for each set.
        sets: The sets, in the same order; the pairs shown are read again.

    Returns:
        A JPEG file's bytes; ``None`` where there is no image to show.
    """
    most = max(1, _MOST_PAIRS // max(1, len(sets)))
    shown = list(zip(assessed, sets, strict=True))[:_MOST_PAIRS]
    rows = [row for figures, found in shown for row in _rows(figures, found, most)]
    if len(sets) > len(shown):
        rows.append((f"{len(sets) - len(shown)} more sets have no room here", False, []))
    return _drawn(rows) if any(pictures for _, _, pictures in rows) else None


def chosen(figures: dict[str, Any]) -> list[int]:
    """Returns the indices of the pairs to show: those that findings are about first, then by PSNR from the worst.

    Args:
        figures: What :func:`~deblurkit.data.checking.sets.assess` returned for a set.
    """
    images = figures["images"]
    readable = [index for index, image in enumerate(images) if image["problem"] is None]
    ranked = [index for index in readable if images[index]["psnr"] is not None]
    ranked.sort(key=lambda index: float(images[index]["psnr"]))
    middle = max(0, (len(ranked) - _MIDDLE) // 2)
    plain = [*ranked[:_WORST], *ranked[middle : middle + _MIDDLE], *ranked[-_BEST:]] or readable[:_BEST]
    return list(dict.fromkeys([*_flagged(figures, readable), *plain]))


def _flagged(figures: dict[str, Any], readable: Sequence[int]) -> list[int]:
    """Takes turns among the findings, each one's first pairs first, so that many of one kind do not hide another."""
    places = {figures["images"][index]["key"]: index for index in readable}
    queues = [[places[key] for key in finding["keys"] if key in places] for finding in figures["findings"]]
    turns = [queue[turn] for turn in range(_FLAGGED) for queue in queues if turn < len(queue)]
    return list(dict.fromkeys(turns))[:_FLAGGED]


def _rows(figures: dict[str, Any], found: FoundSet, most: int) -> Iterator[Row]:
    indices = chosen(figures)
    cut = f", {most} of the {len(indices)} to look at" if len(indices) > most else ""
    yield f"{figures['name']}: {figures['pairs']} pairs{cut}: {' | '.join(_TITLES)}", False, []
    for index in indices[:most]:
        try:
            pair = found.dataset.read(index)
        except UserError:  # it was there a moment ago
            continue
        image = figures["images"][index]
        yield _label(image), bool(image["flags"]), [_thumbnail(picture) for picture in _pictures(pair)]


def _label(image: dict[str, Any]) -> str:
    key = image["key"]
    if len(key) > _LONGEST_KEY:
        half = _LONGEST_KEY // 2 - 2
        key = f"{key[:half]}...{key[-half:]}"
    facts = [key]
    if image["psnr"] is not None:
        facts.append(f"{image['psnr']:.2f} dB")
    if image["shift"] is not None and image["likeness"] >= TRUSTED:
        facts.append(f"shift {image['shift'][0]:+.1f} {image['shift'][1]:+.1f} px")
    return "   ".join([*facts, *(flag.upper() for flag in image["flags"])])


def _pictures(pair: dict[str, Any]) -> list[np.ndarray]:
    blurred = to_8_bits(pair["blurred"])
    if "sharp" not in pair:
        return [blurred]
    sharp = to_8_bits(pair["sharp"])
    difference = np.abs(blurred.astype(np.int16) - sharp) * _AMPLIFIED
    return [blurred, sharp, np.minimum(difference, 255).astype(np.uint8)]


def _thumbnail(image: np.ndarray) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(image))
    scale = min(_THUMBNAIL[0] / picture.width, _THUMBNAIL[1] / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST)


def _drawn(rows: Sequence[Row]) -> bytes:
    heights = [_LINE + max((picture.height + _GAP for picture in pictures), default=0) for _, _, pictures in rows]
    widths = [sum(picture.width + _GAP for picture in pictures) + _GAP for _, _, pictures in rows]
    sheet = Image.new("RGB", (max(_LEAST_WIDTH, *widths), sum(heights) + _GAP), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    top = _GAP
    for (label, stands_out, pictures), height in zip(rows, heights, strict=True):
        draw.text((_GAP, top), label, fill=_FLAG_INK if stands_out else _INK, font=font)
        left = _GAP
        for picture in pictures:
            sheet.paste(picture, (left, top + _LINE))
            left += picture.width + _GAP
        top += height
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=90)
    return file.getvalue()
