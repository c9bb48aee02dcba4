"""The types in which findings travel from the measured pairs to the text, the contact sheet and ``check.json``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from deblurkit.data.checking.discover import FoundSet
from deblurkit.data.checking.duplicates import Fingerprint
from deblurkit.data.checking.pairs import MeasuredPair
from deblurkit.data.checking.response import Verdict
from deblurkit.data.dataset import shorten


@dataclass(frozen=True)
class Finding:
    """One thing found in a set.

    Attributes:
        kind: ``set`` (why it cannot be used), ``missing`` (it is not on this machine, and need not be), ``note`` (what
            it notes of itself), ``unreadable``, ``unequal``, ``empty``, ``identical``, ``swapped``, ``unlike``,
            ``misaligned``, ``shifted`` (all of a set), ``repeated`` or ``unchecked``.
        text: What was found, a line.
        fault: Whether training would refuse it; otherwise it is a warning, for the user to judge.
        keys: The pairs that it is about; the first ones are to be looked at first.
    """

    kind: str
    text: str
    fault: bool = False
    keys: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Percentiles:
    """The distribution of a figure over a set."""

    min: float
    p5: float
    p25: float
    median: float
    p75: float
    p95: float
    max: float


@dataclass(frozen=True)
class PsnrFigures:
    """PSNR of a set's blurred images, in dB, with a histogram of ``counts`` between neighbouring ``edges``."""

    mean: float
    percentiles: Percentiles
    edges: list[float]
    counts: list[int]


@dataclass(frozen=True)
class ShiftFigures:
    """Lengths of the shifts of blurred against sharp images, in pixels."""

    percentiles: Percentiles | None  # none where no shift could be measured
    above_1: int  # how many are longer than a pixel
    measured: int  # how many pairs allowed a measurement


@dataclass(frozen=True)
class SetResult:
    """All that is known of one checked set."""

    found: FoundSet
    pairs: Sequence[MeasuredPair]  # empty where it could not be looked into
    facts: Mapping[str, str | int]  # its description of itself
    psnr: PsnrFigures | None
    shifts: ShiftFigures
    response: Verdict
    findings: Sequence[Finding]

    def sizes(self) -> dict[tuple[int, int], int]:
        """Returns how many pairs have each size ``(h, w)``, the most frequent first."""
        return dict(Counter(pair.size for pair in self.pairs if pair.size).most_common())

    def fingerprints(self) -> list[Fingerprint]:
        """Returns those of the images that could be read."""
        return [pair.fingerprint for pair in self.pairs if pair.fingerprint]

    def flags(self) -> dict[str, list[str]]:
        """Returns the kinds of findings that each pair is named in, by its key."""
        flags: dict[str, list[str]] = {pair.key: [] for pair in self.pairs}
        for finding in self.findings:
            for key in finding.keys:
                flags[key].append(finding.kind)
        return flags

    def faults(self) -> list[str]:
        """Returns why training would refuse the set, a line each; of problems with single pairs the first ten."""
        kinds: dict[str, list[str]] = {}
        for finding in self.findings:
            if finding.fault:
                kinds.setdefault(finding.kind, []).append(f"{self.found.name}: {finding.text}")
        lines: list[str] = []
        for kind, found in kinds.items():
            # The set's own constructor and verify() have shortened theirs already.
            lines += found if kind == "set" else shorten(found)
        return lines

    def as_json(self) -> dict[str, Any]:
        """Returns the set's part of ``check.json``."""
        psnr: dict[str, Any] = {}
        if self.psnr:
            psnr = {"mean": self.psnr.mean, **asdict(self.psnr.percentiles)}
            psnr["histogram"] = {"edges": self.psnr.edges, "counts": self.psnr.counts}
        lengths = asdict(self.shifts.percentiles) if self.shifts.percentiles else {}
        flags = self.flags()
        return {
            "name": self.found.name,
            "split": self.found.split,
            "component": self.found.component,
            "facts": self.facts,
            "pairs": len(self.pairs),
            "orphans": self.found.orphans,
            "sizes": {f"{height} x {width}": count for (height, width), count in self.sizes().items()},
            "psnr": psnr,
            "shift": {**lengths, "above_1": self.shifts.above_1, "measured": self.shifts.measured},
            "response": {**asdict(self.response), "text": str(self.response)},
            "findings": [asdict(finding) for finding in self.findings],
            "images": [{**pair.as_json(), "flags": flags[pair.key]} for pair in self.pairs],
        }


@dataclass(frozen=True)
class SharedImages:
    """Sharp images of two named sets that are the same; see :class:`~deblurkit.data.checking.duplicates.Overlap`."""

    first: str
    second: str
    exact: list[tuple[str, str]]
    near: list[tuple[str, str]]


@dataclass(frozen=True)
class CheckReport:
    """Everything that one check found, and the files that it wrote."""

    sets: list[SetResult]
    duplicates: list[SharedImages]
    files: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Returns why training would refuse the sets, a line each."""
        lines: list[str] = []
        for result in self.sets:
            lines += result.faults()
        return lines

    def as_json(self) -> dict[str, Any]:
        """Returns the content of ``check.json``."""
        return {
            "sets": [result.as_json() for result in self.sets],
            "duplicates": [asdict(shared) for shared in self.duplicates],
            "faults": self.faults(),
        }
