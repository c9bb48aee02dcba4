"""A picture of the pairs to look at first: the worst, middle and best by PSNR, and those that findings are about."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from deblurkit.contracts import dataset_traits
from deblurkit.data.checking.alignment import TRUSTED
from deblurkit.data.checking.pairs import MeasuredPair, to_8_bits
from deblurkit.data.checking.results import SetResult
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


@dataclass(frozen=True)
class _Row:
    label: str
    stands_out: bool = False
    pictures: list[Image.Image] = field(default_factory=list)  # side by side


def contact_sheet(results: Sequence[SetResult]) -> bytes | None:
    """Draws the picture, a JPEG file: a row for each pair, blurred, sharp and their difference side by side.

    The pairs shown are read again. Returns ``None`` where there is no image to show.
    """
    most = max(1, _MOST_PAIRS // max(1, len(results)))
    shown = results[:_MOST_PAIRS]
    rows: list[_Row] = []
    for result in shown:
        rows += _rows(result, most)
    if len(results) > len(shown):
        rows.append(_Row(f"{len(results) - len(shown)} more sets have no room here"))
    return _drawn(rows) if any(row.pictures for row in rows) else None


def chosen(result: SetResult) -> list[int]:
    """Returns the indices of the pairs to show: those that findings are about first, then by PSNR from the worst."""
    readable: dict[str, int] = {}
    scores: dict[int, float] = {}
    for index, pair in enumerate(result.pairs):
        if pair.problem is None:
            readable[pair.key] = index
            if pair.psnr is not None:
                scores[index] = pair.psnr
    ranked = sorted(scores, key=scores.__getitem__)
    middle = max(0, (len(ranked) - _MIDDLE) // 2)
    plain = [*ranked[:_WORST], *ranked[middle : middle + _MIDDLE], *ranked[-_BEST:]] or list(readable.values())[:_BEST]
    # Findings take turns, each one's first pairs first, so that many of one kind do not hide another.
    flagged: list[int] = []
    for turn in zip_longest(*(finding.keys for finding in result.findings)):
        flagged += [readable[key] for key in turn if key in readable]
    first = list(dict.fromkeys(flagged))[:_FLAGGED]
    return list(dict.fromkeys([*first, *plain]))


def _rows(result: SetResult, most: int) -> Iterator[_Row]:
    indices, flags = chosen(result), result.flags()
    cut = f", {most} of the {len(indices)} to look at" if len(indices) > most else ""
    yield _Row(f"{result.found.name}: {len(result.pairs)} pairs{cut}: {' | '.join(_TITLES)}")
    read = dataset_traits(result.found.dataset).read
    for index in indices[:most]:
        measured = result.pairs[index]
        try:
            pair = read(index) if read else {}
        except UserError:  # it was there a moment ago
            continue
        pair_flags = flags[measured.key]
        yield _Row(_label(measured, pair_flags), bool(pair_flags), _pictures(pair))


def _label(pair: MeasuredPair, flags: Sequence[str]) -> str:
    key = pair.key
    if len(key) > _LONGEST_KEY:  # both ends, where keys differ
        half = _LONGEST_KEY // 2 - 2
        key = f"{key[:half]}...{key[-half:]}"
    facts = [key]
    if pair.psnr is not None:
        facts.append(f"{pair.psnr:.2f} dB")
    if pair.alignment is not None and pair.alignment.likeness >= TRUSTED:
        facts.append(f"shift {pair.alignment.x:+.1f} {pair.alignment.y:+.1f} px")
    for flag in flags:
        facts.append(flag.upper())
    return "   ".join(facts)


def _pictures(pair: dict[str, Any]) -> list[Image.Image]:
    """Returns thumbnails of a pair's images and their difference."""
    shown = [to_8_bits(pair["blurred"])]
    if "sharp" in pair:
        sharp = to_8_bits(pair["sharp"])
        difference = np.abs(shown[0].astype(np.int16) - sharp) * _AMPLIFIED
        shown += [sharp, np.minimum(difference, 255).astype(np.uint8)]
    thumbnails = []
    for image in shown:
        picture = Image.fromarray(np.ascontiguousarray(image))
        scale = min(_THUMBNAIL[0] / picture.width, _THUMBNAIL[1] / picture.height)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        # Each pixel of a tiny image is to be seen as it is, not smoothed.
        thumbnails.append(picture.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST))
    return thumbnails


def _drawn(rows: Sequence[_Row]) -> bytes:
    # The sheet's size first: Pillow's images do not grow.
    width, heights = _LEAST_WIDTH, []
    for row in rows:
        heights.append(_LINE + max((picture.height + _GAP for picture in row.pictures), default=0))
        width = max(width, _GAP + sum(picture.width + _GAP for picture in row.pictures))
    sheet = Image.new("RGB", (width, sum(heights) + _GAP), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    top = _GAP
    for row, height in zip(rows, heights, strict=True):
        draw.text((_GAP, top), row.label, fill=_FLAG_INK if row.stands_out else _INK, font=font)
        left = _GAP
        for picture in row.pictures:
            sheet.paste(picture, (left, top + _LINE))
            left += picture.width + _GAP
        top += height
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=90)
    return file.getvalue()
