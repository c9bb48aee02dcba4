"""The report's page in Markdown, made from plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from deblurkit.report.scores import ImageScore, ranked, share_gained

Rows = Mapping[str, Sequence[ImageScore]]
_SHOWN = 3  # best and worst images listed for each data set
_NOTHING = "-"


def page(
    metrics: Mapping[str, Any],
    rows: Rows,
    protocol: str,
    command: str,
    strips: Mapping[str, Mapping[str, str]],
    paper: Mapping[str, Any] | None = None,
) -> str:
    """Return the whole page.

    Args:
        metrics: What ``metrics.json`` holds.
        rows: Each data set's images.
        protocol: The protocol explained, several lines.
        command: What to run to get these numbers again.
        strips: Pictures ``blurred | restored | sharp`` by data set: caption to path relative to the page.
        paper: See :func:`published_rows`.
    """
    weights = metrics["weights"]
    kind = "EMA weights" if weights["ema"] else "raw weights"
    notes = [f"- **{escape(note)}**" for note in metrics["notes"]]
    return "\n".join(
        [
            f"# {escape(metrics['name'])}",
            "",
            f"Scored by `{metrics['protocol']['id']}` (version {metrics['protocol']['version']}), "
            f"inference `{metrics['inference']}`.",
            "",
            *(["## Mind", "", *notes, ""] if notes else []),
            *["## Scores", "", *headline(metrics["datasets"]), ""],
            *published_rows(paper),
            *_data(metrics),
            *[line for name in rows for line in _dataset(name, metrics, rows[name], strips.get(name, {}))],
            *["## Protocol", "", "```", protocol, "```", ""],
            *["## Weights", "", f"`{weights['file']}`: iteration {weights['iteration']}, {kind}  "],
            *[f"sha256 `{weights['sha256']}`", "", "## Environment", "", "| | |", "| --- | --- |"],
            *[f"| {escape(key)} | {escape(value)} |" for key, value in metrics["environment"].items()],
            *["", "## How to reproduce", "", "```", command, "```", ""],
        ]
    )


def headline(datasets: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the table of all data sets: blurred, restored, gain and, labelled, the published value."""
    lines = [
        "| data set | images | score | blurred | restored | gain | published | s/image |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, entry in datasets.items():
        before, after, published = (entry[key] or {} for key in ("blurred", "restored", "published"))
        seconds = f"{entry['seconds_per_image']['median']:.3f}"
        for metric in list(dict.fromkeys([*after, *published])) or [_NOTHING]:
            pair = (before.get(metric), after.get(metric))
            cells = [*pair, _gain(*pair), published.get(metric)]
            shown = [number(value, metric, signed=index == 2) for index, value in enumerate(cells)]
            lines.append(f"| {escape(name)} | {entry['images']} | {metric} | {' | '.join(shown)} | {seconds} |")
    return lines


def published_rows(paper: Mapping[str, Any] | None) -> list[str]:
    """Return the section with the rows that a paper compares with, labelled as published; nothing without any.

    Args:
        paper: ``title`` and ``compared``: rows of ``method``, ``dataset`` and values.
    """
    if not paper or not paper["compared"]:
        return []
    rows = paper["compared"]
    values = list(dict.fromkeys(key for row in rows for key in row if key not in ("method", "dataset")))
    lines = [
        "## Published by others",
        "",
        f"As printed in: {escape(paper['title'])}. Not measured by us; protocols differ.",
        "",
    ]
    lines += [f"| method | data set | {' | '.join(values)} |", f"| --- | --- |{' ---: |' * len(values)}"]
    for row in rows:
        cells = [escape(row.get(key, _NOTHING)) for key in ("method", "dataset", *values)]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def number(value: float | str | None, metric: str, signed: bool = False) -> str:
    """Write one score: decibels with two decimals, others with four; ``-`` where there is none.

    >>> number(27.8251, "psnr"), number(0.25, "psnr", signed=True), number(None, "ssim"), number("inf", "psnr")
    ('27.83', '+0.25', '-', 'inf')
    """
    if value is None:
        return _NOTHING
    decimals = 2 if metric.startswith("psnr") else 4
    return f"{float(value):{'+' if signed else ''}.{decimals}f}"


def escape(text: object) -> str:
    """Return ``text`` so that it cannot end a table cell or start markup."""
    escaped = " ".join(str(text).split())
    for character in "\\`*_|<[":
        escaped = escaped.replace(character, "\\" + character)
    return escaped


def _data(metrics: Mapping[str, Any]) -> list[str]:
    """Return the section that says which data were trained and tested on; nothing for reports that do not know."""
    described = {"training": metrics.get("trained_on")}
    described |= {name: entry.get("data") for name, entry in metrics["datasets"].items()}
    rows = [
        f"| {escape(name)} | {escape(', '.join(f'{key}: {value}' for key, value in facts.items()))} |"
        for name, facts in described.items()
        if facts
    ]
    return ["## Data", "", "| data set | what it is |", "| --- | --- |", *rows, ""] if rows else []


def _gain(before: float | str | None, after: float | str | None) -> float | None:
    if before is None or after is None:
        return None
    gain = float(after) - float(before)
    return None if math.isnan(gain) else gain


def _dataset(name: str, metrics: Mapping[str, Any], rows: Sequence[ImageScore], strips: Mapping[str, str]) -> list[str]:
    lines = [f"## {escape(name)}", ""]
    entry = metrics["datasets"][name]
    scores = list(entry["restored"] or {})
    if scores:
        first = scores[0]
        share = share_gained(rows, first)
        gained = "" if share is None else f"{100 * share:.1f} % of the images gained in {first}. "
        lines += [f"{gained}The greatest and the smallest gains:", "", *_extremes(rows, scores), ""]
    else:
        lines += [f"{len(rows)} images without their true ones: restored, not scored.", ""]
    for caption, path in strips.items():
        lines += [f"![{escape(caption)}]({path})  ", escape(caption), ""]
    return lines


def _extremes(rows: Sequence[ImageScore], scores: Sequence[str]) -> list[str]:
    order = ranked(rows, scores[0])
    chosen = order if len(order) <= 2 * _SHOWN else [*order[:_SHOWN], *order[-_SHOWN:]]
    titles = [f"{score} {side}" for score in scores for side in ("blurred", "restored", "gain")]
    lines = [f"| image | {' | '.join(titles)} |", f"| --- |{' ---: |' * len(titles)}"]
    for row in chosen:
        cells = []
        for score in scores:
            before, after = (row.blurred or {}).get(score), (row.restored or {}).get(score)
            cells += [number(before, score), number(after, score), number(row.gain(score), score, signed=True)]
        lines.append(f"| {escape(row.key)} | {' | '.join(cells)} |")
    return lines
