"""Photographs and folders of them: all names are settled before any work, and no input is overwritten."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deblurkit import __version__
from deblurkit.allocator import keeping_freed_memory
from deblurkit.data.images import beside
from deblurkit.errors import UserError, one_line
from deblurkit.images import reading, writing
from deblurkit.images.formats import FORMATS, PNG, named
from deblurkit.images.image import Image
from deblurkit.inference.deblurrer import Deblurrer

VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")
_LISTED = 10


@dataclass(frozen=True)
class Job:
    """One photograph to restore: where it is read from, and where its result and comparison are written to."""

    source: Path
    target: Path
    comparison: Path | None


@dataclass(frozen=True)
class Plan:
    """What is to be done: the photographs, and how many files of which kind, in words, are none of them."""

    jobs: list[Job]
    passed_over: Counter[str]


@dataclass(frozen=True)
class Done:
    """What was done.

    Attributes:
        failures: A line for each photograph that could not be restored.
        notes: What was not kept of photographs that were, in words, and of how many.
    """

    failures: list[str]
    notes: Counter[str]


def plan(inputs: Sequence[str | Path], out: str | Path, compare: bool = False, overwrite: bool = False) -> Plan:
    """Settles what is read and written; touches nothing.

    A photograph keeps its name, but for the ending where its format is only read, and one found in a given folder its
    path below that folder. Files below ``out`` are no inputs, so that results inside a folder of photographs are not
    restored again.

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
    passed_over: Counter[str] = Counter()
    # Every problem is found before anything is said, so that a folder is mended in one go.
    for given in map(Path, inputs):
        try:
            for source, name in _photographs(given, out, passed_over):
                comparison = out / "compare" / name if compare else None
                jobs.append(Job(source, out / name, comparison))
        except UserError as error:
            problems += error.problems
    problems = problems or _clashes(jobs, overwrite)
    if len(problems) > _LISTED:
        problems = [*problems[:_LISTED], f"... and {len(problems) - _LISTED} more"]
    if problems:
        raise UserError(*problems)
    return Plan(jobs, passed_over)


def deblur_photos(
    deblurrer: Deblurrer,
    jobs: Sequence[Job],
    progress: Callable[[int, int], None] | None = None,
    quality: int | None = None,
    max_megapixels: float | None = None,
) -> Done:
    """Restores what :func:`plan` settled; a photograph that cannot be restored does not stop the others.

    Args:
        deblurrer: The network.
        jobs: What is read and written.
        progress: Told, after each photograph, how many are done and how many there are; in a thread of its own.
        quality: See :func:`deblurkit.images.writing.encode`.
        max_megapixels: See :func:`deblurkit.images.reading.decode`.
    """
    found = [Done([], Counter()) for _ in jobs]

    def finish(index: int, pair: tuple[Image, Image] | None) -> None:
        job, done = jobs[index], found[index]
        with _noting(job, done.failures):
            if pair is not None:
                blurred, restored = pair
                job.target.parent.mkdir(parents=True, exist_ok=True)
                lost = writing.write(job.target, restored, quality, f"deblurkit {__version__}")
                if job.comparison is not None:
                    lost += _compare(job.comparison, blurred, restored)
                done.notes.update([*blurred.notes, *lost])
        if progress is not None:
            progress(index + 1, len(jobs))

    # While the network restores a photograph, the next one is read and the one before is written: no more are held. The
    # network stays in this thread: memory is kept in the main one alone.
    with keeping_freed_memory(), ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        reads = (reader.submit(reading.read, job.source, max_megapixels) for job in jobs)
        following = next(reads, None)
        written: Future[None] | None = None
        for index, job in enumerate(jobs):
            assert following is not None
            read, following = following, next(reads, None)
            pair = None
            with _noting(job, found[index].failures):
                blurred = read.result()
                pair = blurred, restore_image(deblurrer, blurred)
            if written is not None:
                written.result()
            written = writer.submit(finish, index, pair)
        if written is not None:
            written.result()
    return Done([line for done in found for line in done.failures], sum((done.notes for done in found), Counter()))


@contextmanager
def _noting(job: Job, failures: list[str]) -> Iterator[None]:
    """Notes why one photograph could not be restored, and goes on."""
    try:
        yield
    except UserError as error:
        failures += error.problems
    except (OSError, RuntimeError, ValueError, MemoryError) as error:  # what this image alone may exceed
        failures.append(f"{job.source}: {one_line(error)}")


def restore_image(deblurrer: Deblurrer, blurred: Image) -> Image:
    """Restores an image as it was read.

    Grey is repeated over three channels and the network's three are averaged; alpha passes by; the numbers of a wide
    gamut are restored in their own encoding, as the network knows of none.
    """
    return blurred.with_pixels(deblurrer(blurred.rgb()))


def _compare(path: Path, blurred: Image, restored: Image) -> list[str]:
    """Writes both side by side, as PNG where the format cannot hold their width; says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pair = Image(beside([blurred.rgb(), restored.rgb()], gap_px=8))
    kind = named(path)
    if kind is None or writing.does_not_fit(pair, kind) is None:
        writing.write(path, pair)
        return []
    writing.write(path.with_suffix(PNG.suffixes[0]), pair)
    return [f"the comparison is a PNG file: it is wider than {kind.name} holds"]


def _photographs(given: Path, out: Path, passed_over: Counter[str]) -> Iterator[tuple[Path, Path]]:
    """Yields the photographs that an argument names, each with its result's path below ``out``; counts the rest."""
    known = ", ".join(suffix for kind in FORMATS for suffix in kind.suffixes)
    if given.is_dir():
        inside = [path for path in sorted(given.rglob("*")) if path.is_file()]
        # Results of an earlier run are no inputs, unless their folder itself is what was named.
        if given.resolve() != out.resolve():
            inside = [path for path in inside if out.resolve() not in path.resolve().parents]
        photographs = []
        for path in inside:
            if named(path) is not None and not path.name.startswith("."):
                photographs.append(path)
            else:
                passed_over[_why_not(path)] += 1
        if not photographs:
            raise UserError(f"{given}: no images in this folder; known kinds: {known}")
        for path in photographs:
            yield path, _written_as(path.relative_to(given))
        return
    if not given.exists():
        raise UserError(f"{given}: there is no such file or folder")
    if given.suffix.lower() in VIDEO_SUFFIXES:
        raise UserError(f"{given}: videos are not supported yet; restore its frames as images")
    if named(given) is None:
        raise UserError(f"{given}: no image by its name; known kinds: {known}")
    yield given, _written_as(Path(given.name))


def _why_not(path: Path) -> str:
    """Says of what kind a file is that is no photograph."""
    if path.name.startswith("."):
        return "hidden"
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return f"{path.suffix.lower()}, videos are not supported yet"
    return f"{path.suffix.lower()}, no known kind of image" if path.suffix else "no ending in the name"


def _written_as(path: Path) -> Path:
    """Returns the path with the ending of the format that stands in for one that is only read."""
    kind = named(path)
    return path.with_suffix(kind.written_as) if kind is not None and kind.written_as else path


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
