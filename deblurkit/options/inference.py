"""How an image passes through a generator, in a few words: ``whole``, ``tile:512,64+x8``, ``tlc:256`` ..."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from deblurkit.errors import did_you_mean

_FORMS = {"whole": "whole", "tile": "tile:SIZE,OVERLAP", "grid": "grid:SIZE", "tlc": "tlc:SIZE[,FACTOR]", "x8": "x8"}
_SIZE = r"([1-9]\d{0,5})"
_FACTOR = 1.5
_PATTERNS = {
    "whole": re.compile("whole"),
    "tile": re.compile(rf"tile:{_SIZE},(\d{{1,6}})"),
    "grid": re.compile(rf"grid:{_SIZE}"),
    "tlc": re.compile(rf"tlc:{_SIZE}(?:,(\d{{1,3}}(?:\.\d{{1,3}})?))?"),
    "x8": re.compile("x8"),
}
_SPACES = ("whole", "tile", "grid")


@dataclass(frozen=True)
class Inference:
    """A mode: which parts of an image are passed, and what is done with each pass.

    Attributes:
        space: ``whole``: all of it at once. ``tile``: in tiles that overlap and blend into each other, for the sake of
            memory. ``grid``: in crops of one size whose overlaps are averaged, as networks trained on crops are tested.
        size: Side of a tile or a crop in pixels; 0 for ``whole``.
        overlap: By how much neighbouring tiles overlap at least, in pixels; 0 unless ``space`` is ``tile``.
        tlc: Side of the training crops in pixels whose statistics the network's global averages are to have (test-time
            local conversion); ``None``: its averages stay global.
        tlc_factor: How much larger than at training the windows of those averages are.
        x8: Whether the result is the mean over the eight flips and quarter turns.

    Raises:
        ValueError: The sizes and the space do not go together.
    """

    space: str = "whole"
    size: int = 0
    overlap: int = 0
    tlc: int | None = None
    tlc_factor: float = _FACTOR
    x8: bool = False

    def __post_init__(self) -> None:
        if self.space not in _SPACES:
            raise ValueError(f"space is one of {', '.join(_SPACES)}, not {self.space!r}")
        if (self.space == "whole") != (self.size == 0) or self.size < 0:
            raise ValueError(f"tile and grid have a size above 0 and whole has none, got {self.space} with {self.size}")
        if self.overlap and self.space != "tile":
            raise ValueError(f"only tiles have an overlap that is chosen, got {self.space} with {self.overlap}")
        if not 0 <= 2 * self.overlap <= self.size:
            raise ValueError(
                f"tiles of {self.size} pixels overlap by 0 to {self.size // 2}, got {self.overlap}: "
                f"say tile:{self.size},{min(64, self.size // 2)}, or take larger tiles"
            )
        if (self.tlc is not None and self.tlc < 1) or self.tlc_factor <= 0:
            raise ValueError(f"tlc has a size and a factor above 0, got {self.tlc} and {self.tlc_factor:g}")

    def __str__(self) -> str:
        """Returns the mode as :func:`parse_inference` reads it: each mode has one such text."""
        factor = "" if self.tlc_factor == _FACTOR else f",{self.tlc_factor:.6g}"
        spaces = {"tile": f"tile:{self.size},{self.overlap}", "grid": f"grid:{self.size}"}
        tlc = "" if self.tlc is None else f"tlc:{self.tlc}{factor}"
        return "+".join(filter(None, (tlc, spaces.get(self.space), "x8" if self.x8 else ""))) or "whole"


def parse_inference(text: str) -> Inference:
    """Reads a mode, its parts joined by ``+`` in any order.

    >>> str(parse_inference("x8+tile:512,64+tlc:256,1.5"))
    'tlc:256+tile:512,64+x8'

    Args:
        text: One of ``whole`` (which may go unsaid), ``tile:SIZE,OVERLAP`` and ``grid:SIZE``; ``tlc:SIZE`` or
            ``tlc:SIZE,FACTOR``; ``x8``. Sizes and overlaps are in pixels.

    Raises:
        ValueError: ``text`` is no mode: says what is wrong and what would be right.
    """
    found: dict[str, re.Match[str]] = {}
    for part in text.split("+"):
        kind = part.split(":")[0]
        match = kind in _PATTERNS and _PATTERNS[kind].fullmatch(part)
        if not match:
            raise ValueError(_unknown(part, kind))
        if kind in found:
            raise ValueError(f"{kind} stands twice in {text!r}")
        found[kind] = match
    spaces = [kind for kind in _SPACES if kind in found]
    if len(spaces) > 1:
        raise ValueError(f"{' and '.join(spaces)} exclude each other in {text!r}: an image passes in one way")
    mode = Inference(x8="x8" in found)
    if "tlc" in found:
        size, factor = found["tlc"].groups()
        mode = replace(mode, tlc=int(size), tlc_factor=float(factor or _FACTOR))
    for space in spaces:  # at most one; only tiles have an overlap besides the size
        size, overlap = (*found[space].groups(), 0, 0)[:2]
        mode = replace(mode, space=space, size=int(size), overlap=int(overlap))
    return mode


def _unknown(part: str, kind: str) -> str:
    known = f"known, joined by +: {', '.join(_FORMS.values())}"
    if kind in _FORMS:
        return f"{part!r} is no inference mode: expected {_FORMS[kind]}, in pixels, sizes above 0; {known}"
    if kind == "auto":
        return f"'auto' chooses by the memory that is free, which only photographs can be left to; {known}"
    return f"{part!r} is no inference mode{did_you_mean(kind, _FORMS)}; {known}"
