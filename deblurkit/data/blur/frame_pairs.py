"""Writing pairs made of averaged frames to disk, once, instead of averaging them again in each epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import deblurkit
from deblurkit.data.blur.averaging import Exposure, Window
from deblurkit.data.blur.frames import Frame, FrameFolder, Video, expose, find_sequences, too_short
from deblurkit.data.blur.pair_folder import Manifest, PairFolder, Show, keep_apart, score
from deblurkit.data.dataset import shorten
from deblurkit.errors import UserError

_MADE_BY = "tools/blur.py frames"


def blur_frames(sources: Sequence[str], out: Path, exposure: Exposure, progress: Show) -> Manifest:
    """Averages the frames of folders and videos and writes the pairs to ``out``.

    Started again with the same settings and the same frames it goes on where it was ended, in whatever way. Frames are
    told from others by their number and the sum of their files' sizes.

    Args:
        sources: Folders, globs and video files; see :func:`~deblurkit.data.blur.frames.find_sequences`.
        out: Folder of the results: new, empty, or left by the same call; see
            :mod:`deblurkit.data.blur.pair_folder`.
        exposure: How frames become pairs.
        progress: Called with a sequence's name, the frames done and all of them.

    Returns:
        What ``manifest.json`` holds; a pair's record has ``key``, the ``first`` and the ``last`` frame averaged, and
        ``psnr`` in dB.

    Raises:
        UserError: There are no frames, they cannot be read, ``out`` holds something else or cannot be written.
    """
    sequences = find_sequences(sources)
    for source in sources:
        keep_apart(source, out)
    folder = PairFolder(out, _settings(sequences, exposure))
    pairs, notes = [], []
    for sequence in sequences:
        made = list(_pairs_of(sequence, exposure, folder, progress))
        pairs += made
        notes += sequence.notes if isinstance(sequence, Video) else []
        if not made:
            notes.append(too_short(sequence.name, sequence.expected()))
    if not pairs:
        raise UserError(f"{', '.join(sources)}: no sequence is long enough", *shorten(notes))
    return folder.finish(pairs, notes)


def windows_of(sequence: FrameFolder | Video, exposure: Exposure) -> Iterator[tuple[Window, list[Frame]]]:
    """Yields each window that fits and its frames, reading the sequence once; no more than a window is in memory."""
    windows = exposure.windows(sequence.name)
    window = next(windows)
    held: list[Frame] = []
    for count, frame in enumerate(sequence, start=1):
        if count > window.start:
            held.append(frame)
        while window.stop <= count:
            first = count - len(held)
            yield window, held[window.start - first : window.stop - first]
            window = next(windows)
            del held[: window.start - first]


def _pairs_of(
    sequence: FrameFolder | Video, exposure: Exposure, folder: PairFolder, progress: Show
) -> Iterator[dict[str, Any]]:
    total = sequence.expected()
    for window, frames in windows_of(sequence, exposure):
        key = f"{sequence.name}/{frames[window.truth - window.start].name}"
        pair = folder.pair(key, partial(expose, exposure, frames, window, sequence.name))
        progress(sequence.name, window.stop, max(total, window.stop))
        yield {"key": key, "first": frames[0].name, "last": frames[-1].name, "psnr": score(*pair)}


def _settings(sequences: Sequence[FrameFolder | Video], exposure: Exposure) -> dict[str, Any]:
    values = {field.name: getattr(exposure, field.name) for field in dataclasses.fields(exposure)}
    values["response"] = exposure.response.identity()
    made = {"made_by": _MADE_BY, "version": deblurkit.__version__}
    return {**made, **values, "sequences": [sequence.identity() for sequence in sequences]}
