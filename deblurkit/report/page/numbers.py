"""How the page writes numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from deblurkit.report.model import PageContent
from deblurkit.report.tables import NOTHING, Scale, scale

MINUS, INFINITY = "\N{MINUS SIGN}", "\N{INFINITY}"


def shown(value: float | str | None, metric: str, signed: bool = False) -> str:
    """Writes one score with a minus sign as wide as a plus.

    >>> shown(0.25, "psnr", signed=True), shown("inf", "psnr"), shown(-0.25, "psnr") == MINUS + "0.25"
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


def gain_of(entry: Mapping[str, Any], metric: str) -> float | None:
    """Returns the gain of the means of some images in one metric; ``None`` where there is none or both are infinite.

    That of a whole data set stands in ``metrics.json``.
    """
    before, after = ((entry.get(side) or {}).get(metric) for side in ("blurred", "restored"))
    if before is None or after is None:
        return None
    gain = float(after) - float(before)
    return None if math.isnan(gain) else gain


def scale_of(content: PageContent, metric: str) -> Scale:
    """Returns a metric's unit and direction as the first candidate that has it says."""
    known = (candidate.metrics.get("metrics", {}) for candidate in content.candidates)
    return scale(metric, next((described for described in known if metric in described), {}))


def datasets_of(content: PageContent) -> list[str]:
    """Returns the names of the data sets that all candidates have."""
    return [name for name in content.candidates[0].rows if all(name in own.rows for own in content.candidates)]
