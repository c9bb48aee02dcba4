"""``look.html``: a photo and what a network computed inside for it, in one file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deblurkit.report.templating import html_page

_HERE = Path(__file__).parent
_SHARED = _HERE.parent / "page"  # the report's page, whose looks this one has


@dataclass(frozen=True)
class Figure:
    """One picture of the page, a data URI: ``words`` say what it is, ``drawn`` how, and the range of its values."""

    title: str
    words: str
    drawn: str
    source: str


@dataclass(frozen=True)
class InsidePage:
    """The content of the page.

    Attributes:
        network: The generator's class.
        photo: The photo's file name.
        facts: Where weights and photo come from, by what it is.
        notes: What was done otherwise than asked for.
        figures: The photo first.
        command: How to make the page again.
    """

    network: str
    photo: str
    facts: Mapping[str, str]
    notes: Sequence[str]
    figures: Sequence[Figure]
    command: str


def inside_html(page: InsidePage) -> str:
    """Returns the page; names are escaped, and its policy forbids all but the page's own script."""
    styles = ("theme.css", "layout.css", "inside.css")
    return html_page([_HERE, _SHARED], "inside.html.j2", styles, ("data.js", "theme.js"), {"page": page})
