"""Where the numbers come from: weights, data, environment, groups of images, and what others published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deblurkit.report.model import PageContent
from deblurkit.report.page.numbers import shown
from deblurkit.report.tables import NOTHING, Table
from deblurkit.results import CandidateResult, Facts, Means, gain_of, plain

_OWN = ("Weights", "Restored images")  # what makes a candidate: never taken apart

Sheet = list[tuple[str, str]]
"""Names and texts."""


@dataclass(frozen=True)
class Provenance:
    """The origin of a candidate: its name, empty for what all share, and facts by the title of a table."""

    name: str
    tables: Mapping[str, Sheet]


def provenance(content: PageContent) -> list[Provenance]:
    """Returns weights or folder, training, data and environment: first the facts that all candidates share."""
    every = {candidate.name: _sheets(candidate) for candidate in content.candidates}
    # Fact by fact: of two environments that differ in the device alone all else is said once.
    shared: dict[str, Sheet] = {}
    for title, sheet in next(iter(every.values())).items():
        if len(every) == 1 or title not in _OWN:
            for own in every.values():
                sheet = [fact for fact in sheet if fact in own.get(title, [])]
            shared[title] = sheet
    found = {"": shared}
    for name, sheets in every.items():
        found[name] = {}
        for title, sheet in sheets.items():
            found[name][title] = [fact for fact in sheet if fact not in shared.get(title, [])]
    made = []
    for name, sheets in found.items():
        known = {title: sheet for title, sheet in sheets.items() if sheet}
        if known:
            made.append(Provenance(name, known))
    return made


def group_tables(content: PageContent) -> list[Table]:
    """Returns the means over groups of images (videos, posters), one table a data set and kind of group."""
    made = []
    for name in content.datasets():
        for kind in content.candidates[0].datasets[name].groups:
            made.append(_group_table(content, name, kind))
    return made


def facts(values: Facts) -> Sheet:
    """Writes a mapping as names and texts; what is nested becomes ``outer: inner`` names, lists one text.

    >>> facts({"set": "GoPro", "crop": {"size": [1, 2], "seed": 3}})
    [('set', 'GoPro'), ('crop: size', '1, 2'), ('crop: seed', '3')]
    """
    written: Sheet = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            for inner, text in facts(value):
                written.append((f"{name}: {inner}", text))
        elif isinstance(value, (list, tuple)):
            written.append((str(name), ", ".join(map(str, value)) or NOTHING))
        else:
            written.append((str(name), NOTHING if value in (None, "") else str(value)))
    return written


def _sheets(candidate: CandidateResult) -> dict[str, Sheet]:
    """Returns what is known of one candidate; the date with what makes it, so that all may share the environment."""
    sheets: dict[str, Sheet] = {}
    for title, origin in zip(_OWN, (candidate.weights, candidate.restored), strict=True):
        if origin is not None:
            sheets[title] = facts(plain(origin))
    sheets["Trained on"] = facts(candidate.trained_on or {})
    for name, entry in candidate.datasets.items():
        sheets[f"Data set {name}"] = facts(entry.data or {})
    environment = facts(candidate.environment)
    if candidate.date is not None:
        own = sheets.get(_OWN[0], sheets.get(_OWN[1]))
        if own is not None:  # the date differs from candidate to candidate, the rest of the environment rarely
            own.append(("evaluated", candidate.date))
        else:
            environment.insert(0, ("date", candidate.date))
    sheets["Environment"] = environment
    return sheets


def _group_table(content: PageContent, name: str, kind: str) -> Table:
    lead = content.candidates[0].datasets[name]
    metrics: dict[str, None] = {}
    for means in lead.groups[kind].values():
        metrics |= dict.fromkeys(means.restored or {})
    columns = [kind, "images"]
    for metric in metrics:
        columns.append(f"{metric} blurred")
        if content.several:
            columns += [f"{metric} {candidate.name}" for candidate in content.candidates]
        else:
            columns += [f"{metric} restored", f"{metric} gain"]
    rows = []
    for group, means in lead.groups[kind].items():
        row = [str(group), str(means.images)]
        for metric in metrics:
            row.append(shown((means.blurred or {}).get(metric), metric))
            for candidate in content.candidates:
                own = candidate.datasets[name].groups.get(kind, {}).get(group, Means(0, None, None))
                row.append(shown((own.restored or {}).get(metric), metric))
            if not content.several:
                row.append(shown(gain_of(means.blurred, means.restored, metric), metric, signed=True))
        rows.append(row)
    return Table(f"{name}, by {kind}, {lead.protocol.id}", columns, rows)
