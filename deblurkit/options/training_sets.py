"""Checks of the training sets together: what stands once for all of them, and what must be alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deblurkit import registry
from deblurkit.contracts import transform_traits
from deblurkit.options.components import Report
from deblurkit.options.problems import Path, dotted
from deblurkit.options.schema import Loader

Sets = Mapping[Path, dict[str, Any]]
"""The entries of ``datasets.train`` by their places, in order."""


def check_together(report: Report, sets: Sets) -> None:
    """Notes what is wrong among the training sets; each by itself is checked already."""
    _check_loader(report, sets)
    _check_shares(report, sets)
    _check_sizes(report, sets)


def _check_loader(report: Report, sets: Sets) -> None:
    first, *others = sets or [()]
    for path in others:
        for key in Loader.model_fields:
            if key in sets[path]:
                report.add((*path, key), f"one loader serves all sets: say {dotted((*first, key))}, in the first entry")


def _check_shares(report: Report, sets: Sets) -> None:
    weighted = [path for path, entry in sets.items() if entry.get("weight") is not None]
    if not weighted:
        return
    if len(sets) == 1:
        report.add((*weighted[0], "weight"), "weights share an epoch among several sets, and there is one")
        return
    for path, entry in sets.items():
        if entry.get("repeat") is not None:
            said = f"sets are drawn by repeat or by weight, and {dotted(weighted[0])} has a weight"
            report.add((*path, "repeat"), f"{said}; give each set the one or each the other")
        elif path not in weighted:
            report.add((*path, "weight"), f"missing, {dotted(weighted[0])} has one; give each set its weight")


def _check_sizes(report: Report, sets: Sets) -> None:
    """Compares the sizes of samples where they can be told from the options; the rest is found when sets are built."""
    first = next(iter(sets.values()), {})
    batch_size = first.get("batch_size", Loader().batch_size)
    if not isinstance(batch_size, int) or batch_size < 2:
        return
    known: tuple[Path, list[Any]] | None = None
    for path, entry in sets.items():
        key = next((key for key in ("crop", "resize") if entry.get(key) is not None), None)
        size = _side_by_side(entry.get(str(key)))
        if key is None or size is None or not _keeps_size(entry.get("augment", [])):
            continue
        if known is None:
            known = ((*path, key), size)
        elif size != known[1]:
            other = f"{dotted(known[0])} gives {' x '.join(map(str, known[1]))}"
            shown = " x ".join(map(str, size))
            report.add((*path, key), f"{shown} pixels (h x w), but {other}: the images of a batch are of one size")


def _side_by_side(size: object) -> list[Any] | None:
    """Returns height and width of ``crop`` or ``resize``; ``None`` for what is a mistake that is noted already."""
    if isinstance(size, int):
        return [size, size]
    return size if isinstance(size, list) and len(size) == 2 else None


def _keeps_size(augment: object) -> bool:
    """Tells whether no transform changes the size, as far as they are known."""
    if not isinstance(augment, list):
        return False
    for entry in augment:
        name = entry.get("type") if isinstance(entry, dict) else entry
        transform = registry.TRANSFORMS.get(name) if isinstance(name, str) else None
        if transform is None or not transform_traits(transform).keeps_size:
            return False
    return True
