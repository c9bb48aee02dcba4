"""Which data sets of a report were scored by which protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scoring:
    """A protocol and the data sets that were scored by it.

    Attributes:
        protocol: ``id``, ``version`` and, where it is known, ``digest``.
        sets: The data sets' names.
        modes: The inference modes in which their images were restored; none where that is not known.
    """

    protocol: Mapping[str, Any]
    sets: Sequence[str]
    modes: Sequence[str]


def scorings(datasets: Mapping[str, Mapping[str, Any]], modes: Mapping[str, Iterable[str | None]]) -> list[Scoring]:
    """Returns a report's protocols, each once, in the order of the data sets.

    Args:
        datasets: ``datasets`` of ``metrics.json`` or ``comparison.json``.
        modes: Each data set's inference modes; ``None`` stands for images that were restored elsewhere.
    """
    found: dict[str, list[str]] = {}
    for name, entry in datasets.items():
        found.setdefault(with_version(entry["protocol"]), []).append(name)
    return [
        Scoring(
            datasets[sets[0]]["protocol"],
            sets,
            list(dict.fromkeys(mode for name in sets for mode in modes[name] if mode is not None)),
        )
        for sets in found.values()
    ]


def scorings_of(metrics: Mapping[str, Any]) -> list[Scoring]:
    """Returns the protocols of one candidate's ``metrics.json``."""
    datasets = metrics["datasets"]
    return scorings(datasets, {name: [entry["inference"]] for name, entry in datasets.items()})


def with_version(protocol: Mapping[str, Any]) -> str:
    """Names a protocol with its version.

    >>> with_version({"id": "gopro-basicsr-v1", "version": 1})
    'gopro-basicsr-v1 version 1'
    """
    return f"{protocol['id']} version {protocol['version']}"


def by_set(texts: Mapping[str, str]) -> str:
    """Writes a text of each data set: once where all have the same, else each behind its set's name.

    >>> by_set({"gopro": "whole", "kohler": "whole"}), by_set({"gopro": "tlc:256", "kohler": "whole"})
    ('whole', 'gopro: tlc:256, kohler: whole')
    """
    if len(set(texts.values())) <= 1:
        return next(iter(texts.values()), "")
    return ", ".join(f"{name}: {text}" for name, text in texts.items())


def set_titles(datasets: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Returns what a table calls each data set: by its name, with its protocol where these differ between the sets."""
    protocols = {name: entry["protocol"] for name, entry in datasets.items()}
    alike = len({with_version(protocol) for protocol in protocols.values()}) <= 1
    return {name: name if alike else f"{name}, by {protocol['id']}" for name, protocol in protocols.items()}
