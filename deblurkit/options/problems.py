"""Problems of an option file: where each value came from, and one line for every problem."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deblurkit.errors import UserError

Path = tuple["str | int", ...]
"""The keys and list indices that lead to a value."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written.

    Args:
        source: An option file as the user named it, or ``--set KEY=VALUE``.
        line: One-based, or ``None`` where the source has no lines.
        order: The rank of the source among those read, for sorting.
    """

    source: str
    line: int | None = None
    order: int = 0

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: ``ORIGIN: key.path: text``, always a single line."""

    origin: Origin
    path: Path
    text: str

    def __str__(self) -> str:
        line = ": ".join(filter(None, (str(self.origin), dotted(self.path), self.text)))
        return " ".join(line.split())  # messages of others, such as torch's, may have several


class OptionsError(UserError):
    """The option file cannot be used; its problems are in the order of the files read and of their lines."""


def dotted(path: Sequence[str | int]) -> str:
    """Writes a path of keys and indices as option files and ``--set`` do.

    >>> dotted(("schedulers", 0, "type"))
    'schedulers.0.type'
    """
    return ".".join(str(part) for part in path)


def finished(problems: Iterable[Problem]) -> list[str]:
    """Returns the problems' lines, sorted by source and line, each once: a base may be read twice."""
    ranked = sorted(problems, key=lambda problem: (problem.origin.order, problem.origin.line or 0))
    return list(dict.fromkeys(str(problem) for problem in ranked))


def missing_for_training(data: Mapping[str, Any]) -> list[tuple[tuple[str, ...], str]]:
    """Returns what training needs and expanded options, perhaps faulty ones, do not say: key paths and problems."""
    sections = {name: data.get(name) or {} for name in ("optimizers", "discriminators", "train", "datasets")}
    missing: list[tuple[tuple[str, ...], str]] = []
    if not data.get("losses"):
        missing.append((("losses",), "missing, training needs at least one term"))
    # A section that is no dict is a problem of another kind: nothing is said of what it lacks.
    optimizers, critics = sections["optimizers"], sections["discriminators"]
    if isinstance(optimizers, dict):
        if "generator" not in optimizers:
            missing.append((("optimizers", "generator"), "missing, training needs it"))
        lonely = [name for name in critics if name not in optimizers] if isinstance(critics, dict) else []
        if lonely and "discriminators" not in optimizers:
            missing.append((("optimizers", "discriminators"), f"missing, nothing trains {', '.join(lonely)}"))
    datasets, train = sections["datasets"], sections["train"]
    if isinstance(datasets, dict) and datasets.get("train") in (None, []):
        missing.append((("datasets", "train"), "missing, training needs it"))
    if isinstance(train, dict) and train.get("epochs") is None and train.get("iters") is None:
        missing.append((("train", "iters"), "missing, training needs epochs or iters"))
    return missing
