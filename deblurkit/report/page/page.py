"""One HTML file that shows a whole report and needs no network and no other file."""

from __future__ import annotations

from pathlib import Path

from deblurkit.report.model import PageContent
from deblurkit.report.page.embedded import image_tables, pictures, thumbnails
from deblurkit.report.page.facts import group_tables, provenance
from deblurkit.report.page.figures import dataset_figures, difference_figures, speed_figures
from deblurkit.report.page.headline import blocks, cards, differences
from deblurkit.report.page.speed import speed_table
from deblurkit.report.plots import ERROR_LEVELS, error_colours
from deblurkit.report.scorings import by_set, scorings_of
from deblurkit.report.tables import ABOUT_INTERVALS, published
from deblurkit.report.templating import html_page

_STYLES = ("theme.css", "layout.css", "viewer.css")
_SCRIPTS = ("data.js", "theme.js", "view.js", "pointers.js", "viewer.js", "table.js")


def page_html(content: PageContent) -> str:
    """Returns the page.

    Whatever comes from data (keys, names, options, notes) is escaped and can start no markup. Nothing is fetched: a
    content security policy forbids all but the page's own script, by its hash, its styles and pictures inside it.

    Args:
        content: What the page shows; scores may be infinite or missing, and there may be no picture.
    """
    modes_of = {}
    for candidate in content.candidates:
        modes = {name: entry.inference or "elsewhere" for name, entry in candidate.datasets.items()}
        modes_of[candidate.name] = by_set(modes)
    small, left_out = thumbnails(content)
    colours = error_colours()
    # The colours of error maps as 16 stops of a CSS gradient.
    gradient = ", ".join("rgb({} {} {})".format(*colours[round(255 * stop / 15)]) for stop in range(16))
    values = {
        "content": content,
        "lead": content.candidates[0],
        "several": content.several,
        "scorings": scorings_of(content.candidates[0]),
        "modes_of": modes_of,
        "notes": _notes(content),
        "intervals_explained": ABOUT_INTERVALS,
        "cards": cards(content),
        "blocks": blocks(content),
        "differences": differences(content),
        "difference_figures": difference_figures(content),
        "figures": dataset_figures(content),
        "groups": group_tables(content),
        "speed": speed_table(content),
        "speed_figures": speed_figures(content),
        "provenance": provenance(content),
        "others": published(content.paper),
        "pictures": pictures(content),
        "images": image_tables(content),
        "thumbnails": small,
        "thumbnails_left_out": left_out,
        "error_levels": ERROR_LEVELS,
        "error_gradient": gradient,
    }
    return html_page([Path(__file__).parent], "page.html.j2", _STYLES, _SCRIPTS, values)


def _notes(content: PageContent) -> list[str]:
    """Returns what a reader must mind, each note once; of several candidates with the name where it is not all's."""
    notes = dict.fromkeys(content.comparison.notes)
    names_of: dict[str, list[str]] = {}
    for candidate in content.candidates:
        for note in dict.fromkeys(candidate.notes):
            names_of.setdefault(note, []).append(candidate.name)
    for note, names in names_of.items():
        notes[note if len(names) == len(content.candidates) else f"{', '.join(names)}: {note}"] = None
    return list(notes)
