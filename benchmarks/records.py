"""Ratios as the scripts of this folder record them: what is compared, how it came out, and what was claimed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Ratio:
    """One figure, measured side by side with what it is compared with.

    Attributes:
        of: What is compared with what, in words; the same from record to record.
        ratio: The figure.
        limit: What it is claimed to keep to; ``None``: it is only told.
        better: On which side of the limit it is to be.
    """

    of: str
    ratio: float
    limit: float | None
    better: Better

    @property
    def holds(self) -> bool:
        """Whether it keeps to its limit; without one it does."""
        if self.limit is None:
            return True
        return self.ratio <= self.limit if self.better == "lower" else self.ratio >= self.limit

    def slower_than(self, earlier: Ratio, tolerance: float) -> bool:
        """Tell whether it is worse than an earlier one by more than a share of that."""
        if self.better == "lower":
            return self.ratio > earlier.ratio * (1 + tolerance)
        return self.ratio < earlier.ratio / (1 + tolerance)


def section(ratios: Iterable[Ratio]) -> dict[str, Any]:
    """Return the section ``ratios`` of a script's figures."""
    return {each.of: {"ratio": round(each.ratio, 4), "limit": each.limit, "better": each.better} for each in ratios}


def read(file: Path) -> list[Ratio]:
    """Return the ratios that a script recorded."""
    found = json.loads(file.read_text(encoding="utf-8"))["ratios"]
    return [Ratio(of, entry["ratio"], entry["limit"], entry["better"]) for of, entry in found.items()]
