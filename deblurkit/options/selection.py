"""Selections of what a loss term compares: an output of the generator or of the batch, seen through views."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SELECTION = re.compile(r"(?P<open>(?:[A-Za-z_]\w*\s*\(\s*)*)(?P<name>[A-Za-z_]\w*)(?P<close>(?:\s*\))*)")


@dataclass(frozen=True, slots=True)
class Selection:
    """A named tensor (or list of tensors) and the views applied to it."""

    name: str
    """An output of the generator, ``blurred`` or ``sharp``."""
    views: tuple[str, ...] = ()
    """Names of views, in the order in which they are applied: the innermost of the text first."""

    def __str__(self) -> str:
        text = self.name
        for view in self.views:
            text = f"{view}({text})"
        return text


def parse_selection(text: str) -> Selection:
    """Reads ``name`` or ``view(...(name))``.

    >>> parse_selection("sobel(pyramid(image))")
    Selection(name='image', views=('pyramid', 'sobel'))

    Raises:
        ValueError: It is neither; says what is wrong.
    """
    match = _SELECTION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is neither a name nor view(name)")
    # The pattern takes any number of parentheses on both sides; whether they agree no regular expression can tell.
    views = [view.strip() for view in match["open"].split("(")[:-1]]
    closed = match["close"].count(")")
    if closed != len(views):
        raise ValueError(f"{text!r} opens {len(views)} parentheses and closes {closed}")
    return Selection(match["name"], tuple(reversed(views)))
