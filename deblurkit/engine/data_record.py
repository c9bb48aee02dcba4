"""A checkpoint's record of the data behind its weights, so that a report of them cannot keep it from its reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deblurkit.contracts import Dataset, dataset_traits
from deblurkit.data.loader import describe
from deblurkit.evaluation.provenance import trained_on


class DataRecord:
    """The data that a training's weights come from.

    Args:
        dataset: The training set, its files looked at.

    Attributes:
        facts: What the set says of itself.
        notes: What is to be said of it, and of earlier data that the weights have seen.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.facts = describe(dataset)
        self.notes: list[str] = list(dataset_traits(dataset).notes)

    def state_dict(self) -> dict[str, Any]:
        """Returns the checkpoint's sections on the data."""
        return {"trained_on": self.facts, "data_notes": self.notes}

    def go_on_from(self, state: dict[str, Any]) -> None:
        """Takes up what the checkpoint that is resumed says, and notes its data where they were others."""
        before = trained_on(state) or {}
        both = before.keys() & self.facts.keys()  # a checkpoint of an earlier version says less
        same = all(before[key] == self.facts[key] for key in both)
        changed = [f"until iteration {state['position']['iteration']} trained on {in_words(before)}"]
        self._precede([*state.get("data_notes", []), *([] if same else changed)])

    def start_from(self, state: dict[str, Any], file: Path) -> None:
        """Notes what the weights that a training begins with were trained on, as far as they say."""
        facts = trained_on(state)
        seen = [f"trained on {in_words(facts)}" if facts else state.get("note", "they do not say what they have seen")]
        self._precede([f"initial weights {file.name}: {note}" for note in [*seen, *state.get("data_notes", [])]])

    def _precede(self, notes: list[str]) -> None:
        self.notes = list(dict.fromkeys([*notes, *self.notes]))


def in_words(facts: dict[str, Any]) -> str:
    """Returns what a data set says of itself as one line."""
    return ", ".join(f"{key} {value}" for key, value in facts.items())
