"""Photographs and folders of them: all names are settled before any work, and no input is overwritten."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deblurkit.data.images import IMAGE_SUFFIXES, beside, is_image, read_image, write_image
from deblurkit.errors import UserError
from deblurkit.inference.deblurrer import Deblurrer

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")
_LISTED = 10


@dataclass(frozen=True)
class Job:
    """One photograph to restore: where it is read from, and where its result and comparison are written to."""

    source: Path
    target: Path
    comparison: Path | None


def plan(inputs: Sequence[str | Path], out: str | Path, compare: bool = False, overwrite: bool = False) -> list[Job]:
    """Settles what is read and written; touches nothing.

    A photograph keeps its name, and one found in a given folder its path below that folder. Files below ``out``
    are no inputs, so that results inside a folder of photographs are not restored again.

    Args:
        inputs: Photographs and folders, which are searched recursively.
        out: The folder of the results.
        compare: Also plan a picture ``blurred | restored`` of each, in the folder ``compare``.
        overwrite: Whether results of an earlier run may be replaced. Inputs never are.

    Raises:
        UserError: An input does not exist or is no image, or a result would replace an input, another result,
            or, without ``overwrite``, an existing file.
    """
    out = Path(out)
    problems: list[str] = []
    jobs = []
    # Every problem is found before anything is said, so that a folder is mended in one go.
    for given in map(Path, inputs):
        try:
            for source, name in _photographs(given, out):
                comparison = out / "compare" / name if compare else None
                jobs.append(Job(source, out / name, comparison))
        except UserError as error:
            problems += error.problems
    problems = problems or _clashes(jobs, overwrite)
    if len(problems) > _LISTED:
        problems = [*problems[:_LISTED], f"... and {len(problems) - _LISTED} more"]
    if problems:
        raise UserError(*problems)
    return jobs


def deblur_photos(
    deblurrer: Deblurrer, jobs: Sequence[Job], progress: Callable[[int, int], None] | None = None
) -> list[str]:
    """Restores what :func:`plan` settled; returns a line for each that could not be: it does not stop the others.

    ``progress`` is told, after each photograph, how many are done and how many there are.
    """
    failures: list[str] = []
    for index, job in enumerate(jobs):
        try:
            blurred = read_image(job.source)
            restored = deblurrer(blurred)
            job.target.parent.mkdir(parents=True, exist_ok=True)
            write_image(job.target, restored)
            if job.comparison is not None:
                job.comparison.parent.mkdir(parents=True, exist_ok=True)
                write_image(job.comparison, beside([blurred, restored], gap_px=8))
        except UserError as error:
            failures += error.problems
        except (OSError, RuntimeError, ValueError, MemoryError) as error:  # what this image alone may exceed
            failures.append(f"{job.source}: {' '.join(str(error).split()) or type(error).__name__}")
        if progress is not None:
            progress(index + 1, len(jobs))
    return failures


def _photographs(given: Path, out: Path) -> Iterator[tuple[Path, Path]]:
    """Yields the photographs that an argument names, each with its result's path below ``out``."""
    if given.is_dir():
        inside = [path for path in sorted(given.rglob("*")) if is_image(path) and path.is_file()]
        # Results of an earlier run are no inputs, unless their folder itself is what was named.
        if given.resolve() != out.resolve():
            inside = [path for path in inside if out.resolve() not in path.resolve().parents]
        if not inside:
            raise UserError(f"{given}: no images in this folder; known kinds: {', '.join(IMAGE_SUFFIXES)}")
        for path in inside:
            yield path, path.relative_to(given)
        return
    if not given.exists():
        raise UserError(f"{given}: there is no such file or folder")
    if given.suffix.lower() in VIDEO_SUFFIXES:
        raise UserError(f"{given}: videos are not supported yet; restore its frames as images")
    if not is_image(given):
        raise UserError(f"{given}: no image by its name; known kinds: {', '.join(IMAGE_SUFFIXES)}")
    yield given, Path(given.name)


def _clashes(jobs: Sequence[Job], overwrite: bool) -> list[str]:
    """Says which results would replace an input, another result or an earlier one."""
    inputs = {_identity(job.source) for job in jobs}
    written: dict[Path, Path] = {}
    problems = []
    for job in jobs:
        for target in (job.target, job.comparison):
            if target is None:
                continue
            place = target.resolve()
            if place in written:
                problems.append(f"{target}: would hold the results of both {written[place]} and {job.source}")
            elif target.exists() and _identity(target) in inputs:
                problems.append(f"{target}: would replace an input; choose another --out")
            elif target.exists() and not overwrite:
                problems.append(f"{target}: exists already; choose another --out or say --overwrite")
            written.setdefault(place, job.source)
    return problems


def _identity(path: Path) -> tuple[int, int]:
    """Returns what tells files apart whatever their names: links and case-insensitive disks included."""
    status = os.stat(path)
    return status.st_dev, status.st_ino
