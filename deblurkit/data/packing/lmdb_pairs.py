"""Pairs in LMDB files as basicsr lays them out: reading ours and basicsr's own, and writing what basicsr reads.

``blurred.lmdb`` and ``sharp.lmdb`` are folders with ``data.mdb``, which maps a key to the bytes of a PNG file, and
``meta_info.txt`` with a line ``KEY.png (h,w,c) COMPRESSION`` for each. basicsr takes the part before the first dot
for the key, and only ASCII; so ours have every dot and other doubtful character written as in an address (``%2E``),
and ``source.json`` beside tells that, and what the stored data set said of itself.

Source: basicsr 1.4.2, ``utils/lmdb_util.py``, ``data/data_util.py`` and ``utils/file_client.py``.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote, unquote

import numpy as np

from deblurkit.contracts import Dataset
from deblurkit.data.dataset import Pairs, shorten, stamp_of
from deblurkit.data.images import ImageReadError, decode_image, encode_image
from deblurkit.data.packing.packed import stored_facts
from deblurkit.data.packing.plan import Encoded, Plan
from deblurkit.data.packing.records import SIDES, Header, Item
from deblurkit.data.packing.writer import Progress, Written, write_set
from deblurkit.data.transforms import Augment, Size
from deblurkit.errors import UserError
from deblurkit.files import write_atomically
from deblurkit.registry import DATASETS

if TYPE_CHECKING:
    import lmdb

_DATA, _META, _SOURCE = "data.mdb", "meta_info.txt", "source.json"
_LINE = re.compile(r"(.+)\.\w+ \((\d+),(\d+),\d+\) \d+")
_COMPRESSION = 1  # zlib's, as basicsr's: higher ones take far longer and save little
_LONGEST_KEY = 511  # bytes, LMDB's limit
_FIRST_MAP = 2**26  # bytes; doubled whenever it is too small

_environments: dict[Path, tuple[int, int, lmdb.Environment]] = {}  # with the process and the inode that it opened
_opening = threading.Lock()


@DATASETS.register_module()
class LMDBPairs(Pairs):
    """Pairs in two LMDB folders that ``deblurkit prepare-data lmdb``, or basicsr, wrote.

    Each process opens them when it first needs them, read only and without a lock. A process that reads them cannot
    also have them opened by basicsr.

    Args:
        blurred: Folder of the blurred images.
        sharp: Folder of the sharp images; none where no truth is known.

    Raises:
        UserError: A folder is no such LMDB, or the two hold different keys.
    """

    def __init__(
        self,
        blurred: str,
        sharp: str | None = None,
        resize: Size | None = None,
        crop: Size | None = None,
        augment: Augment = (),
    ) -> None:
        super().__init__(resize, crop, augment)
        self._given = {"blurred": blurred} if sharp is None else {"blurred": blurred, "sharp": sharp}
        self.folders = {side: Path(os.path.abspath(Path(folder).expanduser())) for side, folder in self._given.items()}
        self.header = _read_header(self.folders["blurred"])
        listed = {side: _read_meta(folder) for side, folder in self.folders.items()}
        with _opening:  # let go of files that this process has open and that were written anew since
            for folder in self.folders.values():
                _, inode, environment = _environments.get(folder, (0, 0, None))
                if environment is not None and inode != (folder / _DATA).stat().st_ino:
                    environment.close()
                    del _environments[folder]
        if sharp is not None:
            orphans: list[str] = []
            for side, other in (("blurred", "sharp"), ("sharp", "blurred")):
                lonely = sorted(listed[side].keys() - listed[other].keys())
                orphans += shorten(f"{side}: {self.folders[side]}: {name!r} has no {other} image" for name in lonely)
            if orphans:
                raise UserError(*orphans)
        # Arrays: lists of strings and tuples would be copied into every worker, as it counts references to them.
        self._names = np.array(sorted(listed["blurred"]))
        self._sizes: dict[str, np.ndarray] = {}
        for side, sizes in listed.items():
            self._sizes[side] = np.array([sizes[name] for name in self._names])

    def __len__(self) -> int:
        """Returns the number of pairs."""
        return len(self._names)

    def keys(self) -> list[str]:
        """Returns each sample's key, by index."""
        names: list[str] = self._names.tolist()
        return [unquote(name) for name in names] if self.header else names  # basicsr's own are not escaped

    def load(self, index: int) -> dict[str, Any]:
        """Decodes the pair."""
        import lmdb

        self.size(index)  # raises where the two differ
        name = str(self._names[index])
        pair: dict[str, Any] = {"key": unquote(name) if self.header else name}
        for side, folder in self.folders.items():
            try:
                with _environment(folder).begin() as transaction:
                    stored = transaction.get(name.encode())
            except lmdb.Error as error:
                raise ImageReadError(f"{folder}: {name}: it cannot be read: {error}") from error
            if stored is None:
                raise ImageReadError(f"{folder}: {name}: {_META} lists it, {_DATA} does not hold it")
            pair[side] = decode_image(stored, f"{folder}: {name}")
        return pair

    def size(self, index: int) -> tuple[int, int]:
        """Returns ``(h, w)`` from the lists of images."""
        found = {side: (int(sizes[index, 0]), int(sizes[index, 1])) for side, sizes in self._sizes.items()}
        if len(set(found.values())) > 1:
            sizes = " and ".join(f"{side} {height} x {width}" for side, (height, width) in found.items())
            raise UserError(f"{self.place(index)}: images of different sizes (h x w): {sizes}")
        return found["blurred"]

    def stamp(self, index: int) -> list[int]:
        """Returns what changes when the files do: their sizes in bytes and times of change in nanoseconds."""
        return stamp_of(folder / _DATA for folder in self.folders.values())

    def place(self, index: int) -> str:
        """Returns the blurred images' folder and the pair's key."""
        return f"{self.folders['blurred']}: {self._names[index]}"

    def describe(self) -> dict[str, str | int]:
        """Returns what the stored data set said of itself; of basicsr's own files this class and the two folders."""
        return {**super().describe(), **(stored_facts(self.header) if self.header else self._given)}

    def verify(self) -> None:
        """Opens the files, which may be cut short, and compares sizes with each other and with the crop."""
        for folder in self.folders.values():
            _environment(folder)
        self.notes = list(self.header.notes) if self.header else []
        super().verify()


def write_lmdb(
    dataset: Dataset,
    out: Path,
    crop: int | None = None,
    step: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Written:
    """Writes a data set as ``out/blurred.lmdb`` and, where it has a truth, ``out/sharp.lmdb``.

    Images are stored without loss as PNG; of 16-bit ones basicsr reads the upper 8. Everything else is as in
    :func:`deblurkit.data.packing.writer.pack`.

    Raises:
        UserError: As there; and where keys are longer than LMDB takes.
    """
    plan = Plan(dataset, crop, step)
    long = []
    for index in range(len(plan)):
        for name in plan.names(index):
            length = len(_escaped(name))
            if length > _LONGEST_KEY:
                long.append(f"key {name!r}: {length} bytes as an LMDB key")
    if long:
        advice = f"LMDB takes keys of up to {_LONGEST_KEY} bytes: shorten names, or use a packed set"
        raise UserError(*shorten(long), advice)
    return write_set(plan, out, _LMDBStore, workers, overwrite, progress)


class _LMDBStore:
    """The LMDB files while they are being written (see :func:`deblurkit.data.packing.writer.write_set`).

    What was added and not recorded stays under its key until it is added once more. The items are not needed to go on:
    LMDB keeps what was committed, and nothing else.
    """

    kind: ClassVar[str] = "lmdb"

    def __init__(self, folder: Path, items: list[Item]) -> None:
        self._folder = folder
        self._open: dict[str, lmdb.Environment] = {}
        self._added: dict[str, list[tuple[bytes, Encoded]]] = {}

    @staticmethod
    def least_bytes(raw: int, images: int) -> int:
        """Returns an eighth: no photograph's PNG is smaller, most take a third to a half."""
        return raw // 8

    @staticmethod
    def encode(image: np.ndarray) -> bytes:
        return encode_image(image, ".png", level=_COMPRESSION)

    def add(self, item: Item, data: Mapping[str, Encoded]) -> None:
        for side, encoded in data.items():
            self._added.setdefault(side, []).append((_escaped(item.key).encode(), encoded))

    def commit(self) -> None:
        """Writes what was added; raises an OSError where the disk is full, or otherwise refuses."""
        import lmdb

        for side, images in self._added.items():
            try:
                self._put(side, images)
            except lmdb.Error as error:
                # Of a full disk LMDB says "Input/output error" where a part could still be written.
                full = shutil.disk_usage(self._folder).free < sum(len(encoded) for _, encoded in images)
                reason = os.strerror(errno.ENOSPC) if full else str(error)
                raise OSError(errno.EIO, reason) from error
        self._added = {}

    def finish(self, header: Header, items: list[Item]) -> None:
        """Writes the lists that basicsr reads, and what the data set says of itself."""
        for side in SIDES:
            lines = []
            for item in items:
                if side in item.images:
                    lines.append(f"{_escaped(item.key)}.png ({item.h},{item.w},3) {_COMPRESSION}\n")
            if lines:
                folder = self._folder / f"{side}.lmdb"
                write_atomically(folder / _META, "".join(lines), durable=True)
                write_atomically(folder / _SOURCE, json.dumps(asdict(header), indent=2), durable=True)

    def close(self) -> None:
        for environment in self._open.values():
            environment.close()

    @staticmethod
    def component(out: Path) -> dict[str, str]:
        folders = {side: str(out / f"{side}.lmdb") for side in SIDES if (out / f"{side}.lmdb").is_dir()}
        return {"type": "LMDBPairs", **folders}

    def _put(self, side: str, images: list[tuple[bytes, Encoded]]) -> None:
        import lmdb

        if side not in self._open:
            folder = str(self._folder / f"{side}.lmdb")
            self._open[side] = lmdb.open(folder, map_size=_FIRST_MAP, lock=False)  # the set's own lock does that
        environment = self._open[side]
        while True:
            try:
                with environment.begin(write=True) as transaction:
                    for key, encoded in images:
                        transaction.put(key, encoded)
                return
            except lmdb.MapFullError:  # the transaction is gone; once more, with room for twice as much
                environment.set_mapsize(2 * environment.info()["map_size"])


def _escaped(key: str) -> str:
    return quote(key, safe="/ ").replace(".", "%2E")


def _read_header(folder: Path) -> Header | None:
    """Returns what the writer of ours left beside the images; nothing for basicsr's own."""
    file = folder / _SOURCE
    if not file.exists():
        return None
    try:
        header = Header.from_json(json.loads(file.read_text(encoding="utf-8")))
        stored_facts(header)  # raises where it is damaged, as the list of notes does
        list(header.notes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file}: damaged: {error!r}; write the set anew") from None
    return header


def _read_meta(folder: Path) -> dict[str, tuple[int, int]]:
    """Returns ``(h, w)`` by name."""
    file = folder / _META
    if not file.is_file() or not (folder / _DATA).is_file():
        raise UserError(f"{folder}: no LMDB of images: expected a folder with {_DATA} and {_META}")
    sizes: dict[str, tuple[int, int]] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise UserError(f"{file}:{number}: got {line!r}, expected KEY.png (h,w,c) COMPRESSION")
        sizes[match[1]] = int(match[2]), int(match[3])
    if not sizes:
        raise UserError(f"{file}: it lists no images")
    return sizes


def _environment(folder: Path) -> lmdb.Environment:
    """Returns this process's only handle on the folder: LMDB allows one, and none that a parent opened."""
    import lmdb

    with _opening:
        pid, _, environment = _environments.get(folder, (0, 0, None))
        if environment is not None and pid == os.getpid():
            return environment
        if environment is not None:
            environment.close()
        try:
            environment = lmdb.open(str(folder), readonly=True, lock=False, readahead=False, meminit=False)
        except lmdb.Error as error:
            raise UserError(f"{folder}: it cannot be opened: {error}") from None
        needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
        file = (folder / _DATA).stat()
        if file.st_size < needed:  # else reading behind the end would kill the process
            environment.close()
            raise UserError(f"{folder}/{_DATA}: {file.st_size} bytes of {needed}: damaged or not copied whole")
        _environments[folder] = os.getpid(), file.st_ino, environment
        return environment
