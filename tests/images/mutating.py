"""Decodes mutated files, in a process of its own: ``python mutating.py FOLDER FIRST END`` in an empty folder.

Each case is told before it is tried, so that whoever started the process knows of which it died. A line ``bad`` is told
for each that ends otherwise than as an image or a refusal, and the peak of the memory at the end.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from deblurkit.errors import UserError
from deblurkit.images import reading, writing
from deblurkit.images.formats import AVIF, JPEG, PNG, TIFF, WEBP
from deblurkit.images.image import ImageReadError

SECONDS = 10
_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(seed: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """A file that is changed one to three times; where it is a PNG file its sums may be made right again."""
    changed = bytearray(seed)
    for _ in range(rng.integers(1, 4)):
        # the beginning says what all the rest means
        end = len(changed) if rng.random() < 0.5 else min(len(changed), 400)
        at = int(rng.integers(0, max(1, end)))
        length = int(rng.choice([1, 2, 16, 200, 3000]))
        # most files should be damaged less than beyond hope
        action = max(0, rng.integers(-6, 8))
        if action <= 1 and changed:
            changed[min(at, len(changed) - 1)] ^= 1 << int(rng.integers(0, 8))
        elif action == 2:
            size, order = int(rng.choice([1, 2, 4])), str(rng.choice(["little", "big"]))
            number = int(rng.choice(_EDGES)) % (1 << 8 * size)
            changed[at : at + size] = number.to_bytes(size, order)  # type: ignore[arg-type]
        elif action == 3:
            del changed[at:]
        elif action == 4:
            del changed[at : at + length]
        elif action == 5:
            changed[at:at] = rng.integers(0, 256, length, dtype=np.uint8).tobytes()
        elif action == 6:
            changed[at : at + length] = bytes([int(rng.choice([0, 255]))]) * length
        else:
            start = int(rng.integers(0, len(other)))
            changed[at : at + length] = other[start : start + length]
    if changed[:4] == b"\x89PNG" and rng.random() < 0.7:
        _with_right_sums(changed)
    return bytes(changed)


def _with_right_sums(data: bytearray) -> None:
    at = 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            return
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4


def attempt(path: Path) -> str:
    """Reads a file by its header and as a whole, and writes what it held; tells what became of it."""
    try:
        header = reading.probe(path)
    except ImageReadError:
        header = None
    try:
        image = reading.read(path)
    except ImageReadError as error:
        (problem,) = error.problems
        if "\n" in problem:
            raise ValueError(f"several lines: {problem}") from None
        return "refused"
    assert header is not None, "read, though its header was refused"
    assert (header.height, header.width) == image.pixels.shape[:2], "of another size than its header says"
    for kind in (JPEG, PNG, TIFF, WEBP, AVIF):
        if writing.does_not_fit(image, kind) is None and image.pixels.size < 1_000_000:
            kept, _ = writing.held(image, kind, "deblurkit")
            with contextlib.suppress(UserError):
                reading.decode(writing.encode(kept, kind), "again")
    return "read"


class HangError(BaseException):
    """A case took too long."""


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Interrupts what takes too much of the processor's time, and ends what cannot be interrupted."""

    def ring(*_: object) -> None:
        raise HangError

    signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def main(folder: Path, first: int, end: int) -> None:
    """Tries the cases; the seeds lie in ``folder``."""
    warnings.simplefilter("error")
    seeds = sorted(folder.iterdir())
    slowest = 0.0
    for number in range(first, end):
        rng = np.random.default_rng([16, number])
        seed, other = seeds[number % len(seeds)], seeds[int(rng.integers(0, len(seeds)))]
        path = Path(f"case{seed.suffix}")
        path.write_bytes(mutated(seed.read_bytes(), other.read_bytes(), rng))
        print("case", number, seed.name, flush=True)
        start = time.process_time()
        try:
            with limited():
                print(attempt(path), flush=True)
        except BaseException as error:  # all of them are told
            print("bad", number, seed.name, f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)
        slowest = max(slowest, time.process_time() - start)
        path.unlink()
    print("slowest", round(slowest, 2))
    peaks: Callable[[], list[str]] = lambda: Path("/proc/self/status").read_text().splitlines()  # noqa: E731
    print("peak", *[int(line.split()[1]) // 1024 for line in peaks() if line.startswith("VmHWM:")])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
