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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from deblurkit.contracts import Dataset
from deblurkit.data.dataset import shorten
from deblurkit.data.packing.journal import JOURNAL, Image, Journal
from deblurkit.data.packing.packed import PackedStore
from deblurkit.data.packing.plan import Encoded, Piece, Plan, in_order
from deblurkit.data.packing.records import SIDES, Header, Index, Item
from deblurkit.errors import UserError
from deblurkit.files import Lock, write_atomically

Progress = Callable[[str, int, int], None]

_STAMPS = "sources.json"
_COMMIT_BYTES = 64 * 2**20  # what a crash costs at most, and what an LMDB transaction holds in memory


class Store(Protocol):
    """How one kind of set keeps its images.

    It is opened on a folder that holds the given items' images, and perhaps others that were added and never recorded:
    those it removes, or replaces when they are added once more.
    """

    kind: ClassVar[str]

    def __init__(self, folder: Path, items: list[Item]) -> None:
        """Goes on behind the items."""

    @staticmethod
    def least_bytes(raw: int, images: int) -> int:
        """Returns how much disk so many images, of so many raw bytes together, need at least."""

    @staticmethod
    def encode(image: np.ndarray) -> Encoded:
        """Returns the bytes that are stored of an image; called from several threads."""

    def add(self, item: Item, data: Mapping[str, Encoded]) -> None:
        """Takes one pair's encoded images by side; may add to the item."""

    def commit(self) -> None:
        """Makes what was added survive a crash of the machine."""

    def finish(self, header: Header, items: list[Item]) -> None:
        """Writes what else the kind's readers need."""

    def close(self) -> None:
        """Lets go of files."""

    @staticmethod
    def component(out: Path) -> dict[str, str]:
        """Returns what an option file writes to read the finished set."""


@dataclass(frozen=True)
class Written:
    """A set that was written, or found to be there already."""

    found: bool
    pairs: int
    bytes: int  # its size on disk, with everything else in the folder
    notes: list[str]
    component: dict[str, str]  # as an option file writes it, to read the set


def pack(
    dataset: Dataset,
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
        dataset: The source, which has ``keys()`` and ``read(index)``.
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
    if workers is not None and workers < 1:
        raise UserError(f"workers: got {workers}, expected a positive number of threads")
    given, out = out, Path(os.path.realpath(out))
    header = plan.header(store_type.kind)
    replaced = out.with_name(f".{out.name}.replaced")
    left = [out / JOURNAL, replaced]  # by a writer that was killed after its last renaming
    found = _is_there(plan, out, header, overwrite)
    if not found or any(path.exists() for path in left):  # else without the lock: the folder may be read only
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            lock = Lock(out.with_name(f".{out.name}.lock"), f"{out}: another process is writing it")
        except OSError as error:
            raise UserError(f"{out}: cannot be written: {error.filename}: {error.strerror or error}") from error
        with lock:
            # Once more: another process may have written it while this one waited.
            found = _is_there(plan, out, header, overwrite)
            if not found:
                writing = _Writing(plan, out.with_name(f"{out.name}.partial"), header, store_type, overwrite)
                writing.run(workers, progress)
                writing.put_in_place(out, replaced)
            (out / JOURNAL).unlink(missing_ok=True)
            shutil.rmtree(replaced, ignore_errors=True)
    written = Index.read(out)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    return Written(found, len(written.items), size, written.header.notes, store_type.component(given))


class _Writing:
    """One unfinished set, from where its journal ends to its name."""

    def __init__(self, plan: Plan, partial: Path, header: Header, store_type: type[Store], overwrite: bool) -> None:
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
            self.store = store_type(partial, self.journal.items)
        self.batch: list[Image] = []
        self.bytes = 0

    def run(self, workers: int | None, progress: Progress | None) -> None:
        """Writes what is missing; a UserError where images cannot be read, or the disk is too small or full."""
        problems: list[str] = []
        total = len(self.plan)
        read = in_order(lambda index: self.plan.pieces(index, self.store.encode), range(self.kept, total), workers)
        with contextlib.closing(self.store), contextlib.closing(read):
            need = self.store.least_bytes(*self.plan.raw_bytes(self.kept)) if self.kept < total else 0
            free = shutil.disk_usage(self.partial).free
            if free < need:
                sizes = f"needs at least {need / 1e9:.3f} GB more; the disk has {free / 1e9:.3f} GB free"
                raise UserError(f"{self.partial}: the set {sizes}")
            for done, pieces in enumerate(read, self.kept + 1):
                if isinstance(pieces, UserError):
                    problems += pieces.problems
                elif not problems:  # nothing is written behind a gap, but all that cannot be read is to be named
                    self._add(pieces)
                if progress:
                    progress(self.store.kind, done, total)
            self._commit()  # also before an error: what could be read need not be read again
            if problems:
                raise UserError(*shorten(problems))
            header, items = self.journal.header, self.journal.items
            with self._disk_errors():
                self.store.finish(header, items)
                stamps = json.dumps([image.stamp for image in self.journal.images])
                write_atomically(self.partial / _STAMPS, stamps, durable=True)
                Index(header, items).write(self.partial)

    def put_in_place(self, out: Path, replaced: Path) -> None:
        """Renames the finished folder; one that it replaces is moved aside first: neither is ever seen in part."""
        with self._disk_errors():
            if out.exists():
                shutil.rmtree(replaced, ignore_errors=True)
                out.rename(replaced)
            self.partial.rename(out)

    def _add(self, pieces: list[Piece]) -> None:
        with self._disk_errors():
            for item, data in pieces:
                self.store.add(item, data)
                self.bytes += sum(len(encoded) for encoded in data.values())
        stamp = self.plan.stamps[self.kept + len(self.batch)]
        self.batch.append(Image(stamp, [piece.item for piece in pieces]))
        if self.bytes >= _COMMIT_BYTES:
            self._commit()

    def _commit(self) -> None:
        """Makes the batch last, then records it: never the other way round."""
        with self._disk_errors():
            self.store.commit()
            self.journal.record(self.batch)
        self.kept += len(self.batch)
        self.batch, self.bytes = [], 0

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kept = f"{self.kept} of {len(self.plan)} images are kept"
            again = "once that is mended, the same command goes on from there"
            raise UserError(f"{self.partial}: cannot be written: {error.strerror or error}; {kept}; {again}") from error


def _is_there(plan: Plan, out: Path, header: Header, overwrite: bool) -> bool:
    """Tells whether the set is there already; a UserError where something else is, or another set and no overwrite."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    try:
        there = Index.read(out)
        differs = there.header.differences(header)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{out}: in the way, and not a set of this kind: choose another --out") from None
    if overwrite:
        return False
    if not differs:
        stamps: list[list[int]] = [[]] * len(plan)
        # Without the stamps, or with others than ours, every image is compared.
        with contextlib.suppress(OSError, ValueError, TypeError):
            found = json.loads((out / _STAMPS).read_text(encoding="utf-8"))
            stamps = found if len(found) == len(plan) else stamps
        items = iter(there.items)
        stored = [Image(stamp, list(islice(items, len(plan.names(i))))) for i, stamp in enumerate(stamps)]
        differs = _changed(plan, stored)
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
    suspects = []
    for index, image in enumerate(stored):
        if index in (0, len(stored) - 1) or image.stamp != plan.stamps[index]:
            suspects.append(index)
    problems: list[str] = []
    changed: list[str] = []
    # The hashes are what counts here: nothing is encoded.
    read = in_order(lambda index: plan.pieces(index, lambda image: b""), suspects)
    for index, pieces in zip(suspects, read, strict=True):
        if isinstance(pieces, UserError):
            problems += pieces.problems
            continue
        for side in SIDES:
            now = [_sha256(piece.item, side) for piece in pieces]
            then = [_sha256(item, side) for item in stored[index].items]
            if now != then:
                changed.append(f"its {side} image {plan.keys[index]} is not the source's")
    if problems:
        raise UserError(*shorten(problems))
    return shorten(changed)


def _sha256(item: Item, side: str) -> str | None:
    return item.images[side].sha256 if side in item.images else None
