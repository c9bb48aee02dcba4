"""Writing pairs made of averaged frames to disk, once, instead of averaging them again in each epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import deblurkit
from deblurkit.data.blur.averaging import Exposure, Window
from deblurkit.data.blur.frames import Frame, FrameFolder, Video, expose, find_sequences, too_short
from deblurkit.data.blur.pair_folder import Manifest, PairFolder, PairRecord, Show, keep_apart, score
from deblurkit.data.dataset import shorten
from deblurkit.errors import UserError

_MADE_BY = "tools/blur.py frames"


def blur_frames(sources: Sequence[str], out: Path, exposure: Exposure, progress: Show) -> Manifest:
    """Averages the frames of folders and videos and writes the pairs to ``out``.

    Run again with the same settings and frames, it continues where an earlier run stopped, however that ended. Frames
    are told from others by their number and the sum of their files' sizes. The folder ``out`` is new, empty, or left
    by the same call. ``progress`` gets a sequence's name, the frames done and all of them. The manifest's records have
    the ``first`` and the ``last`` frame averaged.

    Raises:
        UserError: There are no frames, they cannot be read, ``out`` holds something else or cannot be written.
    """
    sequences = find_sequences(sources)
    for source in sources:
        keep_apart(source, out)
    identities = [sequence.identity() for sequence in sequences]
    made = {"made_by": _MADE_BY, "version": deblurkit.__version__, **vars(exposure)}
    folder = PairFolder(out, {**made, "response": exposure.response.identity(), "sequences": identities})
    pairs: list[PairRecord] = []
    notes: list[str] = []
    for sequence in sequences:
        pairs_before, promised = len(pairs), sequence.expected()
        for window, frames in windows_of(sequence, exposure):
            key = f"{sequence.name}/{frames[window.truth - window.start].name}"
            pair = folder.pair(key, partial(expose, exposure, frames, window, sequence.name))
            pairs.append(PairRecord(key, {"first": frames[0].name, "last": frames[-1].name}, score(*pair)))
            # A video's header may promise too few frames, or say nothing.
            progress(sequence.name, window.stop, max(promised, window.stop))
        if isinstance(sequence, Video):
            notes += sequence.notes
        if len(pairs) == pairs_before:
            notes.append(too_short(sequence.name, promised))
    if not pairs:
        raise UserError(f"{', '.join(sources)}: no sequence is long enough", *shorten(notes))
    return folder.finish(pairs, notes)


def windows_of(sequence: FrameFolder | Video, exposure: Exposure) -> Iterator[tuple[Window, list[Frame]]]:
    """Yields each window that fits and its frames, reading the sequence once; no more than a window is in memory."""
    windows = exposure.windows(sequence.name)
    window = next(windows)
    held: list[Frame] = []
    for count, frame in enumerate(sequence, start=1):
        # With a stride longer than the windows, frames between them are passed over.
        if count > window.start:
            held.append(frame)
        while window.stop <= count:
            first = count - len(held)
            yield window, held[window.start - first : window.stop - first]
            # Windows may overlap: what the next one shares with this stays.
            window = next(windows)
            del held[: window.start - first]
