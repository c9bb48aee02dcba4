"""Which data sets of a report were scored by which protocol."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deblurkit.results import CandidateResult, ComparedDataset, Comparison, DatasetResult, ProtocolReference


@dataclass(frozen=True)
class Scoring:
    """A protocol, the data sets that were scored by it, and the inference modes that are known of their images."""

    protocol: ProtocolReference
    sets: Sequence[str]
    modes: Sequence[str]


def scorings_of(result: CandidateResult) -> list[Scoring]:
    """Returns the protocols of one candidate, each once, in the order of its data sets."""
    return _scorings(result.datasets, [{name: entry.inference for name, entry in result.datasets.items()}])


def scorings_compared(compared: Comparison) -> list[Scoring]:
    """Returns the protocols of a comparison, each once, in the order of its data sets."""
    return _scorings(compared.datasets, [candidate.inference for candidate in compared.candidates.values()])


def _scorings(
    datasets: Mapping[str, DatasetResult | ComparedDataset], inference: Sequence[Mapping[str, str | None]]
) -> list[Scoring]:
    """Returns the scorings of data sets; ``inference`` has each candidate's modes by data set."""
    sets_of: dict[str, list[str]] = {}
    for name, entry in datasets.items():
        sets_of.setdefault(entry.protocol.title, []).append(name)
    # Sets of one protocol stand together, wherever they are in the order of the sets.
    found = []
    for sets in sets_of.values():
        used: dict[str, None] = {}
        for name, modes in itertools.product(sets, inference):
            mode = modes[name]
            if mode is not None:  # None: restored elsewhere
                used[mode] = None
        found.append(Scoring(datasets[sets[0]].protocol, sets, list(used)))
    return found


def by_set(texts: Mapping[str, str]) -> str:
    """Writes a text of each data set: once where all have the same, else each behind its set's name.

    >>> by_set({"gopro": "whole", "kohler": "whole"}), by_set({"gopro": "tlc:256", "kohler": "whole"})
    ('whole', 'gopro: tlc:256, kohler: whole')
    """
    if len(set(texts.values())) <= 1:
        return next(iter(texts.values()), "")
    return ", ".join(f"{name}: {text}" for name, text in texts.items())


def set_titles(datasets: Mapping[str, DatasetResult | ComparedDataset]) -> dict[str, str]:
    """Returns what a table calls each data set: by its name, with its protocol where these differ between the sets."""
    if len({entry.protocol.title for entry in datasets.values()}) <= 1:
        return {name: name for name in datasets}
    return {name: f"{name}, by {entry.protocol.id}" for name, entry in datasets.items()}
