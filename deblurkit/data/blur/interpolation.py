"""Frames between two frames, by optical flow: without them the mean of a slow video shows separate ghosts.

Flow is computed both ways (dense inverse search, Kroeger et al., ECCV 2016, as OpenCV has it). A pixel is taken to move
along a straight line at even speed. What is uncovered or hidden between two frames is not modelled: there, and where
the flow is wrong, the result is the blend of the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deblurkit.errors import UserError

Array = NDArray[Any]

_SMALLEST = 12  # what OpenCV's search takes


def with_frames_between(frames: Iterable[Array], count: int) -> Iterator[Array]:
    """Yields the frames, ``uint8`` or ``uint16`` ``(h, w, 3)``, all alike, and ``count`` others between each two."""
    previous: Array | None = None
    for frame in frames:
        if previous is not None and count:
            yield from frames_between(previous, frame, count)
        yield frame
        previous = frame


def frames_between(first: Array, second: Array, count: int) -> list[Array]:
    """Returns what lies at even steps of time between two frames.

    The flow from an instant ``t`` in (0, 1) back to the first frame and on to the second is put together from the flow
    between the two, as Jiang et al. (Super SloMo, CVPR 2018) do before their networks:

        to_first  = -t (1 - t) forward + t^2 backward
        to_second = (1 - t)^2 forward - t (1 - t) backward

    Takes ``uint8`` or ``uint16`` ``(h, w, 3)`` of one size and type, at least 12 pixels high and wide; returns
    ``count`` frames like them, at ``t = 1 / (count + 1), 2 / (count + 1), ...``.

    Raises:
        UserError: The frames are too small for optical flow.
    """
    if min(first.shape[:2]) < _SMALLEST:
        raise UserError(f"frames of {first.shape[0]} x {first.shape[1]} pixels (h x w) are too small for optical flow")
    forward, backward = _flow(first, second), _flow(second, first)
    between = []
    # The flows are known at the pixels of the two frames, not at those between: a pixel at t takes that of its place.
    for t in np.arange(1, count + 1, dtype=np.float32) / np.float32(count + 1):
        from_first = _warp(first, t * t * backward - t * (1 - t) * forward)
        from_second = _warp(second, (1 - t) ** 2 * forward - t * (1 - t) * backward)
        blend = (1 - t) * from_first + t * from_second
        between.append(np.floor(np.clip(blend, 0, np.iinfo(first.dtype).max) + 0.5).astype(first.dtype))
    return between


def _flow(first: Array, second: Array) -> Array:
    """Returns how far each pixel of ``first`` moves to ``second``: float32 ``(h, w, 2)``, right and down in pixels."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    start: Any = None  # from no flow at all, which the stub does not know
    return np.asarray(search.calc(_grey(first), _grey(second), start))


def _grey(image: Array) -> Array:
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    # OpenCV's search takes 8 bits only; the frames themselves are warped with all they have.
    return np.right_shift(grey, 8).astype(np.uint8) if grey.dtype == np.uint16 else grey


def _warp(image: Array, flow: Array) -> Array:
    """Fetches each pixel from where the flow points: float32 ``(h, w, 3)``."""
    height, width = image.shape[:2]
    x = np.arange(width, dtype=np.float32) + flow[:, :, 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[:, :, 1]
    fetched = cv2.remap(image.astype(np.float32), x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(fetched)
