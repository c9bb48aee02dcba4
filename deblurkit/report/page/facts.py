"""Where the numbers come from: weights, data, environment, groups of images, and what others published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deblurkit.report.model import Candidate, PageContent
from deblurkit.report.page.numbers import datasets_of, gain_of, shown
from deblurkit.report.tables import NOTHING, Table

_OWN = ("Weights", "Restored images")  # what makes a candidate: never taken apart

Facts = list[tuple[str, str]]


@dataclass(frozen=True)
class Provenance:
    """What is known of a candidate's origin: its name, empty for what all share, and facts by the title of a table."""

    name: str
    tables: Mapping[str, Facts]


def provenance(content: PageContent) -> list[Provenance]:
    """Returns weights or folder, training, data and environment: first the facts that all candidates share."""
    every = {candidate.name: _tables(candidate) for candidate in content.candidates}
    shared = {
        title: [fact for fact in known if all(fact in own.get(title, []) for own in every.values())]
        for title, known in next(iter(every.values())).items()
        if len(every) == 1 or title not in _OWN
    }
    found = [Provenance("", shared)]
    for name, tables in every.items():
        own = {title: [fact for fact in known if fact not in shared.get(title, [])] for title, known in tables.items()}
        found.append(Provenance(name, own))
    kept = [Provenance(each.name, {title: known for title, known in each.tables.items() if known}) for each in found]
    return [each for each in kept if each.tables]


def group_tables(content: PageContent) -> list[Table]:
    """Returns the means over groups of images (videos, posters), one table a data set and group."""
    made = []
    for name in datasets_of(content):
        entry = content.candidates[0].metrics["datasets"][name]
        made += [_group_table(content, name, group) for group in entry.get("groups") or {}]
    return made


def facts(values: Mapping[str, Any]) -> Facts:
    """Writes a mapping as names and texts; what is nested becomes ``outer: inner`` names, lists one text.

    >>> facts({"set": "GoPro", "crop": {"size": [1, 2], "seed": 3}})
    [('set', 'GoPro'), ('crop: size', '1, 2'), ('crop: seed', '3')]
    """
    written: Facts = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            written += [(f"{name}: {inner}", text) for inner, text in facts(value)]
        elif isinstance(value, (list, tuple)):
            written.append((str(name), ", ".join(map(str, value)) or NOTHING))
        else:
            written.append((str(name), NOTHING if value in (None, "") else str(value)))
    return written


def _tables(candidate: Candidate) -> dict[str, Facts]:
    """Returns what is known of one candidate; the date with what makes it, so that all may share the environment."""
    metrics = candidate.metrics
    tables = {
        **dict(zip(_OWN, (metrics.get("weights"), metrics.get("restored")), strict=True)),
        "Trained on": metrics.get("trained_on"),
        **{f"Data set {name}": entry.get("data") for name, entry in metrics["datasets"].items()},
        "Environment": metrics.get("environment"),
    }
    known = {title: dict(table) for title, table in tables.items() if table}
    own = next((known[title] for title in _OWN if title in known), None)
    if own is not None and "date" in known.get("Environment", {}):
        own["evaluated"] = known["Environment"].pop("date")
    return {title: facts(table) for title, table in known.items() if table}


def _group_table(content: PageContent, name: str, group: str) -> Table:
    several = len(content.candidates) > 1
    entries = [candidate.metrics["datasets"][name] for candidate in content.candidates]
    found = [(entry.get("groups") or {}).get(group, {}) for entry in entries]
    metrics = list(dict.fromkeys(metric for means in found[0].values() for metric in means["restored"] or {}))
    columns = [group, "images"]
    for metric in metrics:
        columns.append(f"{metric} blurred")
        for candidate in content.candidates:
            columns += [f"{metric} {candidate.name}"] if several else [f"{metric} restored", f"{metric} gain"]
    rows = []
    for value, first in found[0].items():
        row = [str(value), str(first["images"])]
        for metric in metrics:
            row.append(shown((first["blurred"] or {}).get(metric), metric))
            for means in found:
                own = means.get(value, {})
                row.append(shown((own.get("restored") or {}).get(metric), metric))
                row += [] if several else [shown(gain_of(own, metric), metric, signed=True)]
        rows.append(row)
    return Table(f"{name}, by {group}, {entries[0]['protocol']['id']}", columns, rows)
