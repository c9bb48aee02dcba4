"""Data for the page's script: scores of single images, crops and thumbnails, as values that JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from deblurkit.report.model import PageContent, Picture
from deblurkit.report.page.numbers import scale_of, shown
from deblurkit.report.templating import data_uri
from deblurkit.results import ImageScore, Scores

_THUMBNAIL_BYTES = 4_500_000  # of all thumbnails: beside a dozen crops they leave the page below 25 MB
_DIGITS = 5  # decimals of single images' scores: what is shown, and one more to sort by
_UNSCORED = ImageScore("", None, None, None)

Rows = Mapping[str, Mapping[str, ImageScore]]
"""One data set's images by candidate and key."""


def image_tables(content: PageContent) -> list[dict[str, Any]]:
    """Returns each data set's images: ``name, protocol, keys, facts, files, metrics, blurred, candidates``.

    Scores are lists in the order of ``keys``, by metric; infinite ones are ``"inf"`` and ``"-inf"``, missing ones
    ``None``.
    """
    lead, tables = content.candidates[0], []
    for name in content.datasets():
        own, metrics = _rows_by_key(content, name), restored_metrics(content, name)
        keys = list(own[lead.name])
        # Lists in the order of the first candidate's keys: the script looks nothing up by name.
        candidates = []
        for candidate, images in own.items():
            rows = [images.get(key, _UNSCORED) for key in keys]
            seconds = [_rounded(row.seconds) for row in rows]
            restored = _columns(metrics, [row.restored for row in rows])
            candidates.append({"name": candidate, "restored": restored, "seconds": seconds})
        described = []
        for metric in metrics:
            scale = scale_of(content, metric)
            described.append({"name": metric, "title": scale.title, "digits": scale.digits, "sign": scale.sign})
        files = []
        if content.files.get(name):  # without saved images the list stays empty, not one of empty entries
            for key in keys:
                files.append({panel: quote(path) for panel, path in content.files[name].get(key, {}).items()})
        tables.append(
            {
                "name": name,
                "protocol": lead.datasets[name].protocol.id,
                "keys": keys,
                "facts": [_facts(own, key) for key in keys],
                "files": files,
                "metrics": described,
                "blurred": _columns(metrics, [row.blurred for row in lead.rows[name]]),
                "candidates": candidates,
            }
        )
    return tables


@dataclass(frozen=True)
class EmbeddedPicture:
    """A crop as the page's script takes it.

    Attributes:
        title, size, corner: See :class:`~deblurkit.report.model.Picture`.
        gain: The image's gain in words; empty where several candidates are compared.
        panels: ``name``, ``label`` and ``score`` of each, in the order in which they are offered.
        sources: Data URIs by name, apart, so that they can stand where they are not read before they are shown.
    """

    dataset: str
    key: str
    title: str
    size: list[int]
    corner: list[int]
    gain: str
    panels: list[dict[str, str]]
    sources: dict[str, str]


def pictures(content: PageContent) -> list[EmbeddedPicture]:
    """Returns the crops, of all data sets."""
    made = []
    for name, chosen in content.pictures.items():
        rows = _rows_by_key(content, name)
        for picture in chosen:
            made.append(_picture(content, name, picture, rows))
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


def _rows_by_key(content: PageContent, name: str) -> dict[str, dict[str, ImageScore]]:
    found = {}
    for candidate in content.candidates:
        found[candidate.name] = {row.key: row for row in candidate.rows.get(name, ())}
    return found


def restored_metrics(content: PageContent, name: str) -> list[str]:
    """Returns the metrics that any restored image of a data set has."""
    found: dict[str, None] = {}
    for candidate in content.candidates:
        for row in candidate.rows.get(name, ()):
            found |= dict.fromkeys(row.restored or {})
    return list(found)


def _facts(rows: Rows, key: str) -> str:
    """Says what the protocol found out about one image, each fact once."""
    found = set()
    for images in rows.values():
        row = images.get(key, _UNSCORED)
        for side, facts in (("blurred", row.blurred_facts), ("restored", row.restored_facts)):
            for name, value in facts.items():
                found.add(f"{side} {name} {value}")
    return ", ".join(sorted(found))


def _picture(content: PageContent, name: str, picture: Picture, rows: Rows) -> EmbeddedPicture:
    first = rows[content.candidates[0].name].get(picture.key, _UNSCORED)
    metric = next(iter(first.restored or {}), "")
    gain, written = first.gain(metric), ""
    if gain is not None and not content.several:
        written = f"{shown(gain, metric, signed=True)} {scale_of(content, metric).unit}".strip()
    panels: list[dict[str, str]] = []
    sources: dict[str, str] = {}
    for panel, data in picture.panels.items():
        label = _panel_label(panel, content.several)
        panels.append({"name": panel, "label": label, "score": _panel_score(panel, picture.key, metric, rows)})
        sources[panel] = data_uri(data)
    # Maps come last, and have no score: it is the same image's as the panel's.
    for panel, data in picture.errors.items():
        label = f"error of {_panel_label(panel, content.several)}"
        panels.append({"name": f"error/{panel}", "label": label, "score": ""})
        sources[f"error/{panel}"] = data_uri(data)
    places = (list(picture.size), list(picture.corner))
    return EmbeddedPicture(name, picture.key, picture.title, *places, written, panels, sources)


def _panel_label(panel: str, several: bool) -> str:
    if panel.startswith("restored/") and not several:
        return "restored"  # one alone needs no name
    return panel.removeprefix("restored/")


def _panel_score(panel: str, key: str, metric: str, rows: Rows) -> str:
    """Writes the score of the whole image that a panel is a crop of; nothing where it has none."""
    if panel == "sharp":
        return ""
    if panel == "blurred":
        scores = next(iter(rows.values())).get(key, _UNSCORED).blurred
    else:
        scores = rows.get(panel.removeprefix("restored/"), {}).get(key, _UNSCORED).restored
    return f"{metric} {shown(scores[metric], metric)}" if scores and metric in scores else ""


def _columns(metrics: Sequence[str], rows: Sequence[Scores | None]) -> dict[str, list[float | str | None]]:
    """Returns each metric's scores, one a row."""
    columns: dict[str, list[float | str | None]] = {}
    for metric in metrics:
        columns[metric] = [_rounded((scores or {}).get(metric)) for scores in rows]
    return columns


def _rounded(value: float | None) -> float | str | None:
    if value is None:
        return None
    return round(value, _DIGITS) if math.isfinite(value) else str(value)
