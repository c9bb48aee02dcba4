"""How the page writes numbers."""

from __future__ import annotations

from collections.abc import Sequence

from deblurkit.report.model import PageContent
from deblurkit.report.tables import NOTHING, Scale, scale

MINUS, INFINITY = "\N{MINUS SIGN}", "\N{INFINITY}"


def shown(value: float | None, metric: str, signed: bool = False) -> str:
    """Writes one score with a minus sign as wide as a plus.

    >>> shown(0.25, "psnr", signed=True), shown(float("inf"), "psnr"), shown(-0.25, "psnr") == MINUS + "0.25"
    ('+0.25', '∞', True)
    """
    if value is None:
        return NOTHING
    return Scale(metric).write(value, signed).replace("-", MINUS).replace("inf", INFINITY)


def between(ends: Sequence[float] | None, metric: str, signed: bool = False) -> str:
    """Writes an interval; nothing where there is none.

    >>> between([26.91, 27.3], "psnr"), between(None, "psnr")
    ('[26.91, 27.30]', '')
    """
    return "" if ends is None else f"[{', '.join(shown(end, metric, signed) for end in ends)}]"


def minus(first: str, second: str) -> str:
    """Names a difference."""
    return f"{first} {MINUS} {second}"


def scale_of(content: PageContent, metric: str) -> Scale:
    """Returns a metric's unit and direction as the first candidate that has it says."""
    for candidate in content.candidates:
        if metric in candidate.metrics:
            return scale(metric, candidate.metrics)
    return Scale(metric)
