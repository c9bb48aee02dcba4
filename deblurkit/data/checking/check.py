"""Check sets of blurred and sharp images: measure every pair, in parallel, and say what is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any

from deblurkit.data.checking.contact_sheet import contact_sheet
from deblurkit.data.checking.discover import FoundSet
from deblurkit.data.checking.duplicates import overlap
from deblurkit.data.checking.pairs import Pair, measure
from deblurkit.data.checking.section import datasets_section
from deblurkit.data.checking.sets import assess
from deblurkit.data.dataset import shorten
from deblurkit.device import usable_cores
from deblurkit.errors import UserError
from deblurkit.files import saying, write_atomically

Progress = Callable[[str, int, int], None]


def check_sets(
    sets: Sequence[FoundSet],
    *,
    against: FoundSet | None = None,
    out: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    progress: Progress = lambda name, done, total: None,
) -> dict[str, Any]:
    """Checks sets and compare those for training with the others.

    Two images for each job are in memory at a time, and of each checked pair about 3 kB.

    Args:
        sets: From :mod:`deblurkit.data.checking.discover`.
        against: One more set: it is checked too, and every set is compared with it.
        out: Folder for ``check.json``, ``contact_sheet.jpg`` and ``datasets.yml``; made if need be. ``None``: none.
        jobs: Threads; by default one for each core that may be used.
        progress: Called with a set's name, the pairs done and all of them.

    Returns:
        ``sets``: for each what :func:`~deblurkit.data.checking.sets.assess` returns; ``duplicates``: for each two
        sets compared ``first``, ``second``, and the keys of ``exact`` and ``near`` duplicates among the sharp images;
        ``faults``: what training would refuse, a line each; ``files``: what was written.

    Raises:
        UserError: ``jobs`` is no positive number, or ``out`` cannot be written.
    """
    if jobs is not None and jobs < 1:
        raise UserError(f"jobs: came {jobs}, expected a positive number")
    everything = [*sets, *([against] if against else [])]
    measured = [_measure_all(found, jobs or usable_cores(), progress) for found in everything]
    assessed = [assess(found, pairs) for found, pairs in zip(everything, measured, strict=True)]
    report: dict[str, Any] = {
        "sets": assessed,
        "duplicates": _duplicates(everything, measured, against),
        "faults": [line for figures in assessed for line in _faults(figures)],
        "files": [],
    }
    if out is not None:
        found = {name: part for name, part in report.items() if name != "files"}
        text = json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False)
        _write(Path(out), "check.json", text.encode("utf-8", "backslashreplace"), report["files"])
        _write(Path(out), "contact_sheet.jpg", contact_sheet(assessed, everything), report["files"])
        _write(Path(out), "datasets.yml", datasets_section(assessed[: len(sets)]), report["files"])
    return report


def _measure_all(found: FoundSet, jobs: int, progress: Progress) -> list[Pair]:
    dataset = found.dataset
    if not (hasattr(dataset, "keys") and hasattr(dataset, "read")):
        return []
    keys = dataset.keys()
    pairs = []
    pool = ThreadPoolExecutor(jobs)  # OpenCV and numpy release Python's lock
    try:
        for pair in pool.map(lambda index: measure(dataset, index, keys[index]), range(len(keys))):
            pairs.append(pair)
            progress(found.name, len(pairs), len(keys))
    finally:
        pool.shutdown(cancel_futures=True)
    return pairs


def _duplicates(
    sets: Sequence[FoundSet], measured: Sequence[Sequence[Pair]], against: FoundSet | None
) -> list[dict[str, Any]]:
    """Compares training sets with the others, and all with ``against``."""
    compared = []
    for (first, of_first), (second, of_second) in combinations(zip(sets, measured, strict=True), 2):
        if second is not against and (first.split == "train") == (second.split == "train"):
            continue
        shared = overlap(*([pair.print for pair in pairs if pair.print] for pairs in (of_first, of_second)))
        compared.append({"first": first.name, "second": second.name, **vars(shared)})
    return compared


def _faults(figures: dict[str, Any]) -> list[str]:
    kinds: dict[str, list[str]] = {}
    for finding in figures["findings"]:
        if finding["fault"]:
            kinds.setdefault(finding["kind"], []).append(f"{figures['name']}: {finding['text']}")
    return [line for kind, lines in kinds.items() for line in (lines if kind == "set" else shorten(lines))]


def _write(folder: Path, name: str, data: bytes | None, written: list[str]) -> None:
    """Writes a file, unless there is nothing to write, and takes it down."""
    if data is None:
        return
    with saying(f"--out {folder}: it cannot be written"):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / name, data, hidden=True)
    written.append(str(folder / name))
