"""Option files with their bases merged, as text that still says where each value comes from and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from deblurkit.options.comments import Comments, comments_of
from deblurkit.options.document import Composer, Node, to_plain
from deblurkit.options.dump import OneLine, yaml_text
from deblurkit.options.problems import OptionsError, Origin, finished
from deblurkit.options.read import Reader
from deblurkit.options.shipped import OptionFile


@dataclass(slots=True)
class _Note:
    """One line that is written: where its values were read, and the base that it and all below come from, if news."""

    origins: list[Origin] = field(default_factory=list)
    base: str = ""


def expanded(file: OptionFile) -> str:
    """Returns the option file with its bases merged, as YAML that loads to the same options.

    The comments of the lines that its values come from stay with them; a value from a base bears the base's name.

    Raises:
        OptionsError: A file cannot be read or merged; names and arguments are not looked at.
    """
    reader = Reader()
    root = reader.read(file)
    assert isinstance(root.value, dict)
    text = yaml_text({key: _layout(value) for key, value in root.value.items()})
    problems = reader.finished()
    # The text is read again, to know on which of its lines each value stands.
    written = Composer(text, Origin(f"{file.shown}, expanded", 1), problems).compose()
    if written is None or problems:
        raise OptionsError(*finished(problems))
    notes: dict[int, _Note] = defaultdict(_Note)
    for node, place in _children(root, written):
        _take_notes(node, place, file.shown, notes)
    comments = {read.shown: comments_of(content) for read, content in reader.texts.items()}
    return "\n".join([*_heading(file, comments), *_lines(text, notes, comments), ""])


def _layout(node: Node) -> Any:
    """Returns plain values of which those written on one line stay on one line."""
    if not isinstance(node.value, dict | list):
        return node.value
    if len(_lines_of(node)) == 1:
        return OneLine(to_plain(node))
    if isinstance(node.value, dict):
        return {key: _layout(item) for key, item in node.value.items()}
    return [_layout(item) for item in node.value]


def _lines_of(node: Node) -> set[Origin]:
    return set(node.places).union(*(_lines_of(child) for child, _ in _children(node, node)))


def _children(node: Node, alike: Node) -> Iterator[tuple[Node, Node]]:
    """Yields what a dict or list holds, each with its counterpart in a tree of the same shape."""
    if isinstance(node.value, dict) and isinstance(alike.value, dict):
        yield from zip(node.value.values(), alike.value.values(), strict=True)
    elif isinstance(node.value, list) and isinstance(alike.value, list):
        yield from zip(node.value, alike.value, strict=True)


def _sources(node: Node) -> set[str]:
    """Returns the files that the values below a node come from, not those that only name its key."""
    inner = [_sources(child) for child, _ in _children(node, node)]
    return set().union(*inner) or {node.origin.source}


def _take_notes(node: Node, place: Node, source: str, notes: dict[int, _Note]) -> None:
    """Notes by line where the value ``node``, written at ``place``, comes from.

    By the lines above a reader takes it to come from the file ``source``.
    """
    assert place.origin.line is not None
    note = notes[place.origin.line]
    note.origins += node.places
    sources = _sources(node)
    if len(sources) == 1 and source not in sources:  # told once, for all that is below
        note.base = source = sources.pop()
    for child, place_of_child in _children(node, place):
        _take_notes(child, place_of_child, source, notes)


def _heading(file: OptionFile, comments: dict[str, Comments]) -> Iterator[str]:
    own, *bases = comments
    marks = '; "from" names the base that a line, with all below it, comes from' if bases else ""
    yield f"# {_printable(file.shown)}, expanded{marks}."
    yield from (f"# {line}".rstrip() for line in comments[own].header)
    for base in bases:
        yield f"# Base {_printable(base)}: {' '.join(comments[base].header[:1])}".rstrip(": ")


def _lines(text: str, notes: dict[int, _Note], comments: dict[str, Comments]) -> Iterator[str]:
    """Yields the lines of the text with the comments that belong to them, each told once."""
    told: set[Origin] = set()
    for number, line in enumerate(text.splitlines(), 1):
        note = notes.get(number, _Note())
        above: list[str] = []
        trailing: list[str] = []
        for origin in dict.fromkeys(note.origins):
            if origin not in told:
                told.add(origin)
                above += comments[origin.source].above.get(origin.line or 0, ())
                trailing += comments[origin.source].trailing.get(origin.line or 0, ())
        if len(trailing) > 1:  # of several lines that have become this one
            above, trailing = above + trailing, []
        if note.base:
            trailing = [f"from {_printable(note.base)}", *trailing]
        indent = line[: len(line) - len(line.lstrip())]
        for said in above:
            yield f"{indent}# {said}".rstrip()
        yield " # ".join(filter(None, (line, ": ".join(trailing))))


def _printable(text: str) -> str:
    return text if text.isprintable() else ascii(text)
