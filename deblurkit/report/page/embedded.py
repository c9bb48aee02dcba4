"""What the page's script reads: scores of single images, crops and thumbnails, as values that JSON can hold."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from deblurkit.report.model import PageContent, Picture
from deblurkit.report.page.numbers import datasets_of, scale_of, shown
from deblurkit.report.scores import ImageScore, Scores

_THUMBNAIL_BYTES = 4_500_000  # of all thumbnails: beside a dozen crops they leave the page below 25 MB
_DIGITS = 5  # decimals of single images' scores: what is shown, and one more to sort by


def image_tables(content: PageContent) -> list[dict[str, Any]]:
    """Returns each data set's images: ``name, protocol, keys, facts, files, metrics, blurred, candidates``.

    Scores are lists in the order of ``keys``, by metric; infinite ones are ``"inf"`` and ``"-inf"``, missing ones
    ``None``.
    """
    return [_image_table(content, name, content.candidates[0].rows[name]) for name in datasets_of(content)]


def pictures(content: PageContent) -> list[dict[str, Any]]:
    """Returns the crops, of all data sets: ``dataset, key, title, size, corner, gain, panels`` and their ``sources``.

    ``panels`` are ``name``, ``label`` and ``score`` in the order in which they are offered; ``sources`` are data URIs
    by name, apart, so that they can stand where they are not read before they are shown.
    """
    made = []
    for name, shown_of_set in content.pictures.items():
        rows = {
            candidate.name: {row.key: row for row in candidate.rows.get(name, ())} for candidate in content.candidates
        }
        made += [_picture(content, name, picture, rows) for picture in shown_of_set]
    return made


def thumbnails(content: PageContent) -> tuple[dict[str, dict[str, str]], int]:
    """Returns data URIs by data set and key, as many as there is room for, and the number of those left out."""
    room, left_out = _THUMBNAIL_BYTES, 0
    kept: dict[str, dict[str, str]] = {}
    for name, images in content.thumbnails.items():
        kept[name] = {}
        for key, data in images.items():
            room -= len(data)
            if room < 0:
                left_out += 1
            else:
                kept[name][key] = data_uri(data)
    return kept, left_out


def data_uri(data: bytes) -> str:
    """Returns an encoded image as a ``data:`` URI.

    Raises:
        ValueError: It is neither WebP nor PNG nor JPEG.
    """
    starts = {b"RIFF": "webp", b"\x89PNG": "png", b"\xff\xd8": "jpeg"}
    kind = next((kind for start, kind in starts.items() if data.startswith(start)), None)
    if kind is None:
        raise ValueError(f"neither WebP nor PNG nor JPEG: it starts with {data[:8]!r}")
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _image_table(content: PageContent, name: str, rows: Sequence[ImageScore]) -> dict[str, Any]:
    keys = [row.key for row in rows]
    own = [{row.key: row for row in candidate.rows.get(name, ())} for candidate in content.candidates]
    named = list(dict.fromkeys(metric for images in own for row in images.values() for metric in row.restored or {}))
    files = content.files.get(name, {})
    return {
        "name": name,
        "protocol": content.candidates[0].metrics["datasets"][name]["protocol"]["id"],
        "keys": keys,
        "facts": [_facts([images[key] for images in own if key in images]) for key in keys],
        "files": [{panel: quote(path) for panel, path in files.get(key, {}).items()} for key in keys] if files else [],
        "metrics": [
            {"name": each.name, "title": each.title, "digits": each.digits, "sign": each.sign}
            for each in (scale_of(content, metric) for metric in named)
        ],
        "blurred": {metric: [_number(row.blurred, metric) for row in rows] for metric in named},
        "candidates": [
            {
                "name": candidate.name,
                "restored": {
                    metric: [_number(images[key].restored if key in images else None, metric) for key in keys]
                    for metric in named
                },
                "seconds": [_rounded(images[key].seconds if key in images else None) for key in keys],
            }
            for candidate, images in zip(content.candidates, own, strict=True)
        ],
    }


def _facts(rows: Sequence[ImageScore]) -> str:
    """Says what the protocol found out about one image, each fact once."""
    found = {f"{side} {key} {value}" for row in rows for side, key, value in _named_facts(row)}
    return ", ".join(sorted(found))


def _named_facts(row: ImageScore) -> list[tuple[str, str, Any]]:
    sides = {"blurred": row.blurred_facts, "restored": row.restored_facts}
    return [(side, key, value) for side, facts in sides.items() for key, value in facts.items()]


def _picture(
    content: PageContent, name: str, picture: Picture, rows: Mapping[str, Mapping[str, ImageScore]]
) -> dict[str, Any]:
    single = len(content.candidates) == 1
    first = rows[content.candidates[0].name].get(picture.key)
    metric = next(iter((first.restored if first else None) or {}), "")
    gain = first.gain(metric) if first and single else None
    panels = [
        {"name": panel, "label": _panel_label(panel, single), "score": _panel_score(panel, picture.key, metric, rows)}
        for panel in picture.panels
    ]
    maps = [
        {"name": f"error/{panel}", "label": f"error of {_panel_label(panel, single)}", "score": ""}
        for panel in picture.errors
    ]
    sources = {panel: data_uri(data) for panel, data in picture.panels.items()}
    sources |= {f"error/{panel}": data_uri(data) for panel, data in picture.errors.items()}
    return {
        "dataset": name,
        "key": picture.key,
        "title": picture.title,
        "size": list(picture.size),
        "corner": list(picture.corner),
        "gain": "" if gain is None else f"{shown(gain, metric, signed=True)} {scale_of(content, metric).unit}".strip(),
        "metric": metric,
        "panels": [*panels, *maps],
        "sources": sources,
    }


def _panel_label(panel: str, single: bool) -> str:
    if not panel.startswith("restored/"):
        return panel
    return "restored" if single else panel.removeprefix("restored/")


def _panel_score(panel: str, key: str, metric: str, rows: Mapping[str, Mapping[str, ImageScore]]) -> str:
    """Writes the score of the whole image that a panel is a crop of; nothing where it has none."""
    if panel == "blurred":
        scores = next(iter(rows.values())).get(key, ImageScore(key, None, None, None)).blurred
    else:
        scores = rows.get(panel.removeprefix("restored/"), {}).get(key, ImageScore(key, None, None, None)).restored
    return (
        "" if panel == "sharp" or metric not in (scores or {}) else f"{metric} {shown((scores or {})[metric], metric)}"
    )


def _number(scores: Scores | None, metric: str) -> float | str | None:
    return _rounded((scores or {}).get(metric))


def _rounded(value: float | None) -> float | str | None:
    if value is None:
        return None
    return round(value, _DIGITS) if math.isfinite(value) else str(value)
