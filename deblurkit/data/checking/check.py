"""Check sets of blurred and sharp images: measure every pair, in parallel, and say what is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import combinations
from pathlib import Path

from deblurkit.contracts import dataset_traits
from deblurkit.data.checking.contact_sheet import contact_sheet
from deblurkit.data.checking.discover import FoundSet
from deblurkit.data.checking.duplicates import overlap
from deblurkit.data.checking.pairs import MeasuredPair, measure
from deblurkit.data.checking.results import CheckReport, SetResult, SharedImages
from deblurkit.data.checking.section import datasets_section
from deblurkit.data.checking.sets import assess
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
) -> CheckReport:
    """Checks sets and compares those for training with the others.

    Two images for each job are in memory at a time, and of each checked pair about 3 kB.

    Args:
        sets: From :mod:`deblurkit.data.checking.discover`.
        against: One more set: it is checked too, and every set is compared with it.
        out: Folder for ``check.json``, ``contact_sheet.jpg`` and ``datasets.yml``; made if need be. ``None``: none.
        jobs: Threads; by default one for each core that may be used.
        progress: Called with a set's name, the pairs done and all of them.

    Raises:
        UserError: ``jobs`` is no positive number, or ``out`` cannot be written.
    """
    if jobs is not None and jobs < 1:
        raise UserError(f"jobs: got {jobs}, expected a positive number")
    results = []
    for found in filter(None, [*sets, against]):
        results.append(assess(found, _measure_all(found, jobs or usable_cores(), progress)))
    report = CheckReport(results, _duplicates(results, against))
    if out is not None:
        # One after the other: a contact sheet that takes too much memory costs neither time nor figures.
        text = json.dumps(report.as_json(), indent=1, ensure_ascii=False, allow_nan=False)
        _write(Path(out), "check.json", text.encode("utf-8", "backslashreplace"), report.files)
        _write(Path(out), "contact_sheet.jpg", contact_sheet(results), report.files)
        _write(Path(out), "datasets.yml", datasets_section(results[: len(sets)]), report.files)
    return report


def _measure_all(found: FoundSet, jobs: int, progress: Progress) -> list[MeasuredPair]:
    traits = dataset_traits(found.dataset)
    if traits.keys is None or traits.read is None:
        return []  # assess makes a finding of it
    keys = traits.keys()
    pairs = []
    pool = ThreadPoolExecutor(jobs)  # OpenCV and numpy release Python's lock
    try:
        for pair in pool.map(partial(measure, traits.read), range(len(keys)), keys):
            pairs.append(pair)
            progress(found.name, len(pairs), len(keys))
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C nobody waits for the rest of a large set
    return pairs


def _duplicates(results: Sequence[SetResult], against: FoundSet | None) -> list[SharedImages]:
    """Compares training sets with the others, and all with ``against``."""
    compared = []
    for first, second in combinations(results, 2):
        # Images that a validation and a test set share are no mistake: neither is trained on.
        if second.found is not against and (first.found.split == "train") == (second.found.split == "train"):
            continue
        shared = overlap(first.fingerprints(), second.fingerprints())
        compared.append(SharedImages(first.found.name, second.found.name, shared.exact, shared.near))
    return compared


def _write(folder: Path, name: str, data: bytes | None, written: list[str]) -> None:
    """Writes a file, unless there is nothing to write, and takes it down."""
    if data is None:
        return
    with saying(f"--out {folder}: it cannot be written"):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / name, data, hidden=True)
    written.append(str(folder / name))
