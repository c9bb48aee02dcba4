"""A look inside a network at work on one photograph: its pictures and one page."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from deblurkit.contracts import generator_traits
from deblurkit.data.images import encode_image, read_image, to_tensor, to_uint8, write_image
from deblurkit.device import is_out_of_memory
from deblurkit.errors import UserError
from deblurkit.files import saying, write_atomically
from deblurkit.inference.deblurrer import Deblurrer
from deblurkit.inference.fallback import Fallback
from deblurkit.inference.forward import NonFiniteOutputError, non_finite
from deblurkit.inner_outputs import InnerOutput, Pixel, default_outputs, find_outputs
from deblurkit.inspection.drawing import Drawn, Frame, Image, draw_channels, draw_output, shrunk_size
from deblurkit.inspection.looking import SMALL, look_inside, seen_inside
from deblurkit.losses.views import sobel
from deblurkit.options.inference import parse_inference
from deblurkit.report.inside.page import Figure, InsidePage, inside_html
from deblurkit.report.tables import Table
from deblurkit.report.templating import data_uri

PAGE = "look.html"
"""The page's name in the folder."""

_PAGE_PX = 720  # longer side of a picture on the page; the files beside it are whole


@dataclass(frozen=True)
class Settings:
    """How to look.

    Attributes:
        outputs: Names of inner outputs; none: what the network declares.
        pixel: Row and column in the photo, for outputs of one pixel; ``None``: the middle.
        crop: Top, left, height and width of the part to look at; ``None``: all, or what fits the memory around the
            pixel.
        channels: How many channels are also drawn by themselves.
        memory: GiB that the pass may take; by default what is free, on a CPU 1.5 of it at most.
        overwrite: Whether the pictures of an earlier look may be replaced.
    """

    outputs: Sequence[str] = ()
    pixel: tuple[int, int] | None = None
    crop: tuple[int, int, int, int] | None = None
    channels: int = 8
    memory: float | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class _Part:
    """The part of a photo that is looked at: its place, the chosen pixel inside it, and why it is not all."""

    top: int
    left: int
    height: int
    width: int
    row: int
    column: int
    why: str = ""


def look(deblurrer: Deblurrer, photo: Path, out: Path, settings: Settings, command: str) -> list[str]:
    """Writes pictures of a network's inner outputs for one photo, and a page that shows them all.

    16 bits are shown as 8. The folder ``out`` is made where it is missing; ``command`` makes the page again.

    Returns:
        Lines to say: the page, and what had to be done otherwise than asked for.

    Raises:
        UserError: The photo cannot be read, a name is unknown, a place is outside, or a file stands in the way.
    """
    generator = deblurrer.generator
    image = read_image(photo)
    seen = seen_inside(generator)
    if settings.outputs:
        outputs = find_outputs(generator, list(dict.fromkeys(settings.outputs)), seen, "--outputs")
    else:
        outputs = default_outputs(generator, seen)
    part = _part(deblurrer, image.shape[0], image.shape[1], settings, photo)
    image = image[part.top : part.top + part.height, part.left : part.left + part.width]
    shown = _look(deblurrer, image, outputs, part, settings.channels)
    pictures: dict[Path, Image] = {}
    figures = []
    for number, (output, drawn) in enumerate(shown):
        name = re.sub(r"[^\w.-]+", "_", output.name)[:80]  # it may be a module's, with `:` in it
        pictures[out / f"{number:02}_{name}.png"] = drawn.picture
        figures.append(Figure(output.name, output.words, drawn.words, _embedded(drawn.picture)))
    # Before anything is written: a refusal leaves an earlier look whole.
    for file in (*pictures, out / PAGE):
        if file.exists() and file.samefile(photo):
            raise UserError(f"{file}: would replace the photo; choose another --out")
        if file.exists() and not settings.overwrite:
            raise UserError(f"{file}: exists already; choose another --out or say --overwrite")
    notes = [part.why] if part.why else []
    page = InsidePage(type(generator).__name__, photo.name, _facts(deblurrer, part), notes, figures, command)
    text = inside_html(page)
    with saying(f"{out}: it cannot be written"):
        out.mkdir(parents=True, exist_ok=True)
        for file, picture in pictures.items():
            write_image(file, picture)
        write_atomically(out / PAGE, text)
    return [*notes, f"{len(pictures)} pictures and the page {out / PAGE}"]


def listing(generator: nn.Module) -> Table:
    """Returns all that can be looked at, with the shapes for an image of the smallest side from 64 on."""
    seen = seen_inside(generator)
    recorded: set[str] = set()
    for one in seen:
        recorded.update(map(str, one.refs()))
    rows = []
    for output in default_outputs(generator, seen):
        if output.name not in recorded:  # declared, and made of several tensors or renamed
            rows.append([output.name, f"{output.words}; from {', '.join(map(str, output.of))}", "", ""])
    for one in seen:
        shape = "x".join(map(str, one.shape[1:]))
        rows.append([str(one.ref), one.kind, shape, str(one.calls) if one.calls > 1 else ""])
    side = generator_traits(generator).size_rule.fit(SMALL)
    title = f"{type(generator).__name__}: what can be looked at; shapes for an image of {side}x{side}"
    return Table(title, ["name", "what it is", "shape", "calls (NAME@1 is the first)"], rows, texts=3)


def _part(deblurrer: Deblurrer, height: int, width: int, settings: Settings, photo: Path) -> _Part:
    """Returns the part to look at.

    Raises:
        UserError: A place is outside the photo, or the memory does not suffice for any part.
    """
    row, column = settings.pixel or (height // 2, width // 2)
    if not (0 <= row < height and 0 <= column < width):
        raise UserError(f"--pixel {row},{column}: outside of {photo}, which has {height} rows and {width} columns")
    if settings.crop is not None:
        top, left, high, wide = settings.crop
        crop = f"--crop {top},{left},{high},{wide}"
        if not (0 <= top <= height - high and 0 <= left <= width - wide and high > 0 and wide > 0):
            raise UserError(f"{crop}: TOP,LEFT,HEIGHT,WIDTH outside of {photo}, which has {height}x{width}")
        if settings.pixel is None:
            row, column = top + high // 2, left + wide // 2
        if not (top <= row < top + high and left <= column < left + wide):
            raise UserError(f"--pixel {row},{column}: outside of {crop}")
        return _Part(top, left, high, wide, row - top, column - left)
    whole = parse_inference("whole")
    memory = None if settings.memory is None else int(settings.memory * 2**30)
    fallback = Fallback(deblurrer.generator, whole, None, deblurrer.device, True, memory)
    mode, why = fallback.first(height, width)
    if not why:
        return _Part(0, 0, height, width, row, column)
    # The part has the chosen pixel in its middle, unless that is too near to an edge of the photo.
    high, wide = min(mode.size, height), min(mode.size, width)
    top = max(0, min(row - high // 2, height - high))
    left = max(0, min(column - wide // 2, width - wide))
    shown = f"shown are {high}x{wide} pixels from row {top}, column {left}; --crop and --memory choose others"
    why = f"{height}x{width} is too large for the memory: {shown}"
    return _Part(top, left, high, wide, row - top, column - left, why)


def _look(
    deblurrer: Deblurrer, image: Image, outputs: Sequence[InnerOutput], part: _Part, channels: int
) -> list[tuple[InnerOutput, Drawn]]:
    """Runs the network and draws the photo, the restored image, the edges of both, and the inner outputs."""
    generator, precision = deblurrer.generator, deblurrer.session.precision
    blurred = to_tensor(image)
    frame = Frame.of(generator, to_uint8(blurred))
    # As shares of the padded image, whose maps have sizes of their own.
    pixel = Pixel(part.row / frame.padded[0], part.column / frame.padded[1])
    try:
        inside = look_inside(generator, blurred.to(deblurrer.device), outputs, pixel, precision)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        tried = f"{type(generator).__name__} ran out of memory with {part.height}x{part.width}"
        raise UserError(f"{tried}: look at less, with --crop") from None
    restored = inside.restored.cpu()
    if not torch.isfinite(restored).all():
        raise NonFiniteOutputError(non_finite(generator, precision))
    made = Drawn(to_uint8(restored), f"{part.height}x{part.width}")
    shown = [
        (InnerOutput("photo", "what the network was given; the cross marks the chosen pixel", ()), _photo(frame, part)),
        (InnerOutput("restored", "what it made of it", ()), made),
    ]
    # Edges are found in images without padding, so that nothing is drawn at the border that is not there.
    plain = Frame(frame.photo, (part.height, part.width), frame.value_range)
    for title, seen in (("photo", blurred), ("restored", restored)):
        edges = InnerOutput(f"edges of {title}", f"Sobel magnitude of {title}", ())
        shown.append((edges, draw_output(edges, sobel(seen[None])[0], plain)))
    for output, values in zip(outputs, inside.outputs, strict=True):
        shown.append((output, draw_output(output, values, frame)))
        if channels and output.kind == "features" and values.shape[0] > 1 and min(values.shape[1:]) > 1:
            several = dataclasses.replace(output, name=f"{output.name}, channels")
            shown.append((several, draw_channels(values, frame, channels)))
    return shown


def _photo(frame: Frame, part: _Part) -> Drawn:
    marked = frame.photo.copy()
    arm = max(4, min(marked.shape[:2]) // 40)
    place, thick = (part.column, part.row), max(1, arm // 5)
    for colour, more in (((255, 255, 255), 2), ((220, 0, 0), 0)):  # red with a white border is seen on anything
        cv2.drawMarker(marked, place, colour, cv2.MARKER_CROSS, 2 * arm + more, thick + more)
    return Drawn(marked, f"{part.height}x{part.width}")


def _facts(deblurrer: Deblurrer, part: _Part) -> dict[str, str]:
    source = deblurrer.source
    weights = source["note"] if "note" in source else f"{source['file']}, iteration {source['iteration']}"
    if source["ema"]:
        weights += ", averaged"
    return {
        "experiment": source["name"],
        "weights": weights,
        "part of the photo": f"{part.height}x{part.width} from row {part.top}, column {part.left}",
        "chosen pixel": f"row {part.top + part.row}, column {part.left + part.column}",
        "precision": deblurrer.session.precision,
    }


def _embedded(picture: Image) -> str:
    size = shrunk_size(picture, _PAGE_PX)
    if size != picture.shape[1::-1]:
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    return data_uri(encode_image(picture, ".jpg", quality=90))
