"""The comments of a YAML text, by the lines that they speak of."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ruamel.yaml import YAML
from ruamel.yaml.events import ScalarEvent

_COMMENT = re.compile(r"(^|\s)#")


@dataclass(frozen=True, slots=True)
class Comments:
    """The comments of one file, without their ``#``: directly above lines and at their ends, by one-based number."""

    header: tuple[str, ...]
    """The comment that the file begins with, which speaks of all of it."""
    above: dict[int, tuple[str, ...]]
    trailing: dict[int, tuple[str, ...]]


def comments_of(text: str) -> Comments:
    """Finds the comments of a YAML text that is known to be sound."""
    header: tuple[str, ...] = ()
    above: dict[int, tuple[str, ...]] = {}
    trailing: dict[int, tuple[str, ...]] = {}
    block: list[str] = []
    for number, (line, code) in enumerate(zip(text.split("\n"), _without_texts(text).split("\n"), strict=True), 1):
        content, comment = code, None
        mark = _COMMENT.search(code)
        if mark is not None:
            content, comment = code[: mark.start()], " ".join(line[mark.end() :].split())
        if comment is not None and not content.strip():  # it may go on, and speaks of what follows
            block.append(comment)
            continue
        if len(block) == number - 1:  # the file has been nothing but this comment so far
            header = tuple(block)
        elif content.strip():
            above[number] = tuple(block)
        if comment is not None:
            trailing[number] = (comment,)
        block = []
    return Comments(header, above, trailing)


def _without_texts(text: str) -> str:
    """Returns the text with every quoted and every block scalar made illegible, as ``#`` is no comment in them."""
    characters = list(text)
    for event in YAML(typ="safe", pure=True).parse(text):
        if isinstance(event, ScalarEvent) and event.style is not None:
            for index in range(event.start_mark.index, event.end_mark.index):
                if characters[index] != "\n":
                    characters[index] = "x"
    return "".join(characters)
