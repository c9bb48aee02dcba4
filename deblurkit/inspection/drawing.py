"""Maps as pictures: one colour for each value, a scale below, the photo's size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deblurkit.contracts import generator_traits
from deblurkit.data.images import beside, to_uint8
from deblurkit.inference.forward import from_value_range
from deblurkit.inner_outputs import InnerOutput

Image = NDArray[np.uint8]

_BAR_PX = 20  # height of the colours' bar with its two numbers
_LEAST_BAR_PX = 128  # narrower ones have no room for the numbers
_CELL_PX = 240  # longer side of one channel
_CELLS = 4  # channels in a row
_GAP_PX = 4
_DARKER = 0.45  # of the photo behind a map with holes, so that the map stands out


@dataclass(frozen=True)
class Frame:
    """The photo that maps are drawn for.

    Attributes:
        photo: ``(h, w, 3)`` uint8.
        padded: Height and width that the network saw.
        value_range: What black and white are to the network.
    """

    photo: Image
    padded: tuple[int, int]
    value_range: tuple[float, float]

    @classmethod
    def of(cls, generator: nn.Module, photo: Image) -> Frame:
        """Returns the frame of what a generator makes of a photo."""
        traits = generator_traits(generator)
        height, width = (traits.size_rule.fit(side) for side in photo.shape[:2])
        return cls(photo, (height, width), traits.value_range)


@dataclass(frozen=True)
class Drawn:
    """A map as a picture.

    Attributes:
        picture: ``(h, w, 3)`` uint8, the scale included.
        words: How it was drawn, and from what to what its values go.
    """

    picture: Image
    words: str


def draw_output(output: InnerOutput, values: Tensor, frame: Frame) -> Drawn:
    """Draws the values ``(c, h', w')`` of an inner output.

    A vector, ``(c, 1, 1)``, becomes a grid of one cell a channel, row by row.
    """
    channels, height, width = values.shape
    words = f"{channels} channels of {height}x{width}" if channels > 1 else f"{height}x{width}"
    if output.kind == "image" and channels == 3:
        colours = to_uint8(from_value_range(values.nan_to_num(), frame.value_range))
        return Drawn(_placed(colours, frame), f"{words}, in its colours")
    photo: Image | None = frame.photo
    if height == width == 1:
        side = frame.photo.shape[0]
        plane = cv2.resize(_grid(values.flatten()), (side, side), interpolation=cv2.INTER_NEAREST)
        photo = None  # a grid of channels has no place in the photo
        words += ", one cell a channel, row by row"
    elif output.kind == "weights":
        plane = _placed(values.mean(0).numpy(), frame)
        if channels > 1:
            words += ", mean over the channels"
    else:
        # Features have either sign, and a plain mean would cancel the strongest ones.
        plane = _placed(values.abs().mean(0).numpy(), frame)
        words += ", mean of the absolute values"
    low, high = _ends(plane)
    picture = _with_scale(_heat(plane, low, high, photo), low, high)
    return Drawn(picture, f"{words}, from {low:.3g} to {high:.3g}")


def draw_channels(values: Tensor, frame: Frame, count: int) -> Drawn:
    """Draws the first channels of ``(c, h', w')`` by themselves, all in one scale."""
    planes = [_placed(plane.numpy(), frame) for plane in values[:count]]
    low, high = _ends(np.stack(planes))
    size = shrunk_size(frame.photo, _CELL_PX)
    cells = [cv2.resize(_heat(plane, low, high, None), size, interpolation=cv2.INTER_AREA) for plane in planes]
    rows = [beside(cells[start : start + _CELLS], _GAP_PX) for start in range(0, len(cells), _CELLS)]
    words = f"the first {len(planes)} of {len(values)} channels, from {low:.3g} to {high:.3g}"
    return Drawn(_with_scale(_below(rows), low, high), words)


def _placed(values: NDArray[Any], frame: Frame) -> NDArray[Any]:
    """Returns a map of the padded image as one of the photo, each value a block of equal pixels."""
    height, width = frame.padded
    whole = cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST)
    return whole[: frame.photo.shape[0], : frame.photo.shape[1]]


def _grid(values: Tensor) -> NDArray[np.float32]:
    columns = math.ceil(math.sqrt(len(values)))
    # cells without a channel, at the end of the last row, are NaN and stay grey
    cells = torch.full((math.ceil(len(values) / columns) * columns,), torch.nan)
    cells[: len(values)] = values
    return np.asarray(cells.view(-1, columns).numpy(), np.float32)


def _ends(values: NDArray[Any]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _heat(plane: NDArray[Any], low: float, high: float, photo: Image | None) -> Image:
    """Returns each value's colour, blue the lowest and red the highest; behind holes the photo in grey, or grey."""
    known = np.isfinite(plane)
    share = (np.where(known, plane, low) - low) / (high - low or 1.0)  # a map of one value is blue
    colours = cv2.applyColorMap(np.round(255 * share).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    behind = np.full_like(colours, 128)
    if photo is not None:
        behind[:] = (_DARKER * cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)).astype(np.uint8)[..., None]
    return np.ascontiguousarray(np.where(known[..., None], colours, behind))


def _with_scale(picture: Image, low: float, high: float) -> Image:
    """Puts the colours' bar below a picture, with the values at its ends."""
    width = max(picture.shape[1], _LEAST_BAR_PX)
    levels = np.linspace(0, 255, width).round().astype(np.uint8)
    bar = cv2.applyColorMap(np.repeat(levels[None], _BAR_PX, 0), cv2.COLORMAP_TURBO)[..., ::-1]
    bar = np.ascontiguousarray(bar)  # OpenCV writes text into no view
    highest = f"{high:.3g}"
    right = width - cv2.getTextSize(highest, cv2.FONT_HERSHEY_SIMPLEX, 0.4, 1)[0][0] - 4
    for text, left in ((f"{low:.3g}", 4), (highest, right)):
        cv2.putText(bar, text, (left, _BAR_PX - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return _below([picture, bar])


def _below(pictures: Sequence[NDArray[Any]]) -> Image:
    """Puts pictures below each other."""
    columns = [picture.swapaxes(0, 1) for picture in pictures]  # turned, below is beside
    return np.ascontiguousarray(beside(columns, _GAP_PX).swapaxes(0, 1))


def shrunk_size(picture: Image, longest: int) -> tuple[int, int]:
    """Returns width and height of a picture whose longer side is to be ``longest`` at most, as OpenCV takes them."""
    height, width = picture.shape[:2]
    share = min(1.0, longest / max(height, width))
    return max(1, round(share * width)), max(1, round(share * height))
