"""Writing a set that is either whole or not there: resumable at any moment, checked against the disk, in order.

A set OUT grows in the folder ``OUT.partial`` beside a journal (:mod:`deblurkit.data.packing.journal`), in which an
image is recorded only after its pixels have reached the disk. A writer that was killed is started again with the same
command: what is recorded is kept, what lies behind is cut off or written again. At the end the folder is renamed. (It
is no :func:`~deblurkit.files.whole_folder`, which an error removes: a set may have taken hours.)
A lock, ``.OUT.lock``, keeps two writers apart; that empty file stays.

Beside the set's own files lies ``sources.json``: the stamps (:attr:`deblurkit.data.packing.plan.Plan.stamps`) that the
source's images had when they were stored. They tell which images to compare when the same set is asked for again, and
are no part of what two equal sets have in common.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from deblurkit.data.dataset import shorten
from deblurkit.data.packing.journal import JOURNAL, Entry, Image, Journal, differences
from deblurkit.data.packing.packed import INDEX, SIDES, PackedStore
from deblurkit.data.packing.plan import Piece, Plan, in_order
from deblurkit.errors import UserError
from deblurkit.files import Lock, write_atomically

Progress = Callable[[str, int, int], None]

_STAMPS = "sources.json"
_COMMIT_BYTES = 64 * 2**20  # what a crash costs at most, and what an LMDB transaction holds in memory


class Store(Protocol):
    """How one kind of set keeps its images.

    It is opened on a folder that holds the given entries' images, and perhaps others that were added and never
    recorded: those it removes, or replaces when they are added once more.
    """

    kind: ClassVar[str]

    def __init__(self, folder: Path, entries: list[Entry]) -> None:
        """Goes on behind the entries."""

    @staticmethod
    def least_bytes(raw: int, images: int) -> int:
        """Returns how much disk so many images, of so many raw bytes together, need at least."""

    @staticmethod
    def encode(image: np.ndarray) -> Any:
        """Returns the bytes that are stored of an image; called from several threads."""

    def add(self, entry: Entry, data: dict[str, Any]) -> None:
        """Takes one pair's encoded images by side; may add to the entry."""

    def commit(self) -> None:
        """Makes what was added survive a crash of the machine."""

    def finish(self, header: Entry, entries: list[Entry]) -> None:
        """Writes what else the kind's readers need."""

    def close(self) -> None:
        """Lets go of files."""

    @staticmethod
    def component(out: Path) -> dict[str, str]:
        """Returns what an option file writes to read the finished set."""


@dataclass(frozen=True)
class Written:
    """A set that was written, or found.

    Attributes:
        found: It was there already, and nothing was written.
        pairs: How many pairs it holds.
        bytes: Their size on disk, with everything else in the folder.
        notes: What is to be said of it.
        component: What an option file writes to read it.
    """

    found: bool
    pairs: int
    bytes: int
    notes: list[str]
    component: dict[str, str]


def pack(
    dataset: Any,
    out: Path,
    crop: int | None = None,
    step: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Writes a data set as a packed set (:mod:`deblurkit.data.packing.packed`).

    Stored are the images as ``dataset.read`` gives them: its own resize, crop and augmentations are not applied.

    Args:
        dataset: The source; see :class:`deblurkit.data.packing.plan.Plan`.
        out: The folder to write, or a link to it. A set of the same settings is taken up where it was left, or left
            as it is.
        crop: Side of square windows in pixels (:func:`deblurkit.data.packing.crops.windows`), or ``None``: whole.
        step: Pixels from one window to the next; by default half a window.
        workers: Threads that decode; by default one for each core, 8 at most.
        overwrite: Replace a set, also one of other settings. A finished one stays until the new one is whole.
        progress: Called with a name, the number of images done and the number of all.

    Raises:
        UserError: Images cannot be read (all of them are named), settings or source differ from those that the set
            was begun with, images have changed since, the disk is too small or full, or another process is writing
            the set.
    """
    return write_set(Plan(dataset, crop, step), out, PackedStore, workers, overwrite, progress)


def write_set(
    plan: Plan,
    out: Path,
    store_type: type[Store],
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Writes a set of the given kind; the other arguments and the errors are those of :func:`pack`."""
    given, out = out, Path(os.path.realpath(out))
    header = json.loads(json.dumps(plan.header(store_type.kind)))
    partial, replaced = out.with_name(f"{out.name}.partial"), out.with_name(f".{out.name}.replaced")
    if workers is not None and workers < 1:
        raise UserError(f"workers: got {workers}, expected a positive number of threads")
    left = [out / JOURNAL, replaced]  # by a writer that was killed after its last renaming
    found = _is_there(plan, out, header, overwrite)
    if not found or any(path.exists() for path in left):  # else without the lock: the folder may be read only
        with _locked(out):
            found = _is_there(plan, out, header, overwrite)
            if not found:
                writing = _Writing(plan, partial, header, store_type, overwrite)
                writing.run(workers, progress or _show_nothing)
                writing.put_in_place(out, replaced)
            (out / JOURNAL).unlink(missing_ok=True)
            shutil.rmtree(replaced, ignore_errors=True)
    written = json.loads((out / INDEX).read_text(encoding="utf-8"))
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    return Written(found, len(written["items"]), size, written["notes"], store_type.component(given))


class _Writing:
    """One unfinished set, from where its journal ends to its name."""

    def __init__(self, plan: Plan, partial: Path, header: Entry, store_type: type[Store], overwrite: bool) -> None:
        self.plan = plan
        self.partial = partial
        self.kept = 0
        with self._disk_errors():
            partial.mkdir(exist_ok=True)
            self.journal = Journal(partial, header, overwrite)
        self.kept = len(self.journal.images)
        changed = _changed(plan, self.journal.images)
        if changed and not overwrite:
            raise UserError(f"{partial}: {'; '.join(changed)}; --overwrite starts anew")
        with self._disk_errors():
            if changed:
                self.journal.start(header)
                self.kept = 0
            self.store = store_type(partial, self.journal.entries)
        self.batch: list[Image] = []
        self.bytes = 0

    def run(self, workers: int | None, progress: Progress) -> None:
        """Writes what is missing.

        Raises:
            UserError: Images cannot be read, or the disk is too small or full.
        """
        problems: list[str] = []
        total = len(self.plan)
        read = in_order(lambda index: self.plan.pieces(index, self.store.encode), range(self.kept, total), workers)
        with contextlib.closing(self.store), contextlib.closing(read):
            self._check_space()
            for done, pieces in enumerate(read, self.kept + 1):
                if isinstance(pieces, UserError):
                    problems += pieces.problems
                elif not problems:  # nothing is written behind a gap, but all that cannot be read is to be named
                    self._add(pieces)
                progress(self.store.kind, done, total)
            self._commit()
            if problems:
                raise UserError(*shorten(problems))
            self._finish()

    def put_in_place(self, out: Path, replaced: Path) -> None:
        """Renames the finished folder; one that it replaces is moved aside first: neither is ever seen in part."""
        with self._disk_errors():
            if out.exists():
                shutil.rmtree(replaced, ignore_errors=True)
                out.rename(replaced)
            self.partial.rename(out)

    def _check_space(self) -> None:
        if self.kept == len(self.plan):
            return
        need = self.store.least_bytes(*self.plan.raw_bytes(self.kept))
        free = shutil.disk_usage(self.partial).free
        if free < need:
            sizes = f"needs at least {need / 1e9:.3f} GB more; the disk has {free / 1e9:.3f} GB free"
            raise UserError(f"{self.partial}: the set {sizes}")

    def _add(self, pieces: list[Piece]) -> None:
        with self._disk_errors():
            for piece in pieces:
                self.store.add(*piece)
        stamp = self.plan.stamps[self.kept + len(self.batch)]
        self.batch.append(Image(stamp, [piece.entry for piece in pieces]))
        self.bytes += sum(len(data) for piece in pieces for data in piece.data.values())
        if self.bytes >= _COMMIT_BYTES:
            self._commit()

    def _commit(self) -> None:
        with self._disk_errors():
            self.store.commit()
            self.journal.record(self.batch)
        self.kept += len(self.batch)
        self.batch, self.bytes = [], 0

    def _finish(self) -> None:
        header, entries = self.journal.header, self.journal.entries
        with self._disk_errors():
            self.store.finish(header, entries)
            stamps = json.dumps([image.stamp for image in self.journal.images])
            write_atomically(self.partial / _STAMPS, stamps, durable=True)
            write_atomically(self.partial / INDEX, json.dumps({**header, "items": entries}), durable=True)

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kept = f"{self.kept} of {len(self.plan)} images are kept"
            again = "once that is mended, the same command goes on from there"
            raise UserError(f"{self.partial}: cannot be written: {error.strerror or error}; {kept}; {again}") from error


def _is_there(plan: Plan, out: Path, header: Entry, overwrite: bool) -> bool:
    """Tells whether the finished set is there already.

    Raises:
        UserError: Something else is there, or another set and ``overwrite`` is false.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    try:
        there = json.loads((out / INDEX).read_text(encoding="utf-8"))
        differs = differences(there, header)
        entries = iter(there["items"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{out}: in the way, and not a set of this kind: choose another --out") from None
    if overwrite:
        return False
    if not differs:
        pieces = [list(islice(entries, len(plan.names(index)))) for index in range(len(plan))]
        differs = _changed(plan, [Image(*image) for image in zip(_read_stamps(out, len(plan)), pieces, strict=True)])
    if differs:
        raise UserError(f"{out}: holds another set: {'; '.join(differs)}; --overwrite replaces it")
    return True


def _changed(plan: Plan, stored: list[Image]) -> list[str]:
    """Returns in words which of the stored images are not the source's.

    Compared are the first, the last and all that have another stamp than when they were stored: their files may be
    others, or were only copied.

    Raises:
        UserError: Of the source's images that are compared some cannot be read.
    """
    indices = range(len(stored))
    suspects = [i for i in indices if i in (0, len(stored) - 1) or stored[i].stamp != plan.stamps[i]]
    problems: list[str] = []
    changed: list[str] = []
    for index, pieces in zip(suspects, in_order(lambda i: plan.pieces(i, len), suspects), strict=True):
        if isinstance(pieces, UserError):
            problems += pieces.problems
            continue
        now, then = [piece.entry for piece in pieces], stored[index].pieces
        differ = [side for side in SIDES if _pixels(now, side) != _pixels(then, side)]
        changed += [f"its {side} image {plan.keys[index]} is not the source's" for side in differ]
    if problems:
        raise UserError(*shorten(problems))
    return shorten(changed)


def _pixels(entries: list[Entry], side: str) -> list[str | None]:
    """Returns what tells the pixels of one image's pieces from others."""
    return [entry.get(side, {}).get("sha256") for entry in entries]


def _read_stamps(out: Path, images: int) -> list[list[int]]:
    """Returns the stamps of a finished set; none for each image where their file is lost."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        found: list[list[int]] = json.loads((out / _STAMPS).read_text(encoding="utf-8"))
        if len(found) == images:
            return found
    return [[] for _ in range(images)]


def _locked(out: Path) -> Lock:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        return Lock(out.with_name(f".{out.name}.lock"), f"{out}: another process is writing it")
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.filename}: {error.strerror or error}") from error


def _show_nothing(name: str, done: int, total: int) -> None:
    pass
