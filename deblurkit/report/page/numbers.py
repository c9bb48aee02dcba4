"""How the page writes numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from deblurkit.report.model import PageContent
from deblurkit.report.tables import Scale, number, scale

MINUS, NOTHING, INFINITY = "\N{MINUS SIGN}", "\N{EN DASH}", "\N{INFINITY}"
_POWER = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def shown(value: float | str | None, metric: str, signed: bool = False) -> str:
    """Write one score with a minus sign as wide as a plus; an en dash where there is none.

    >>> shown(0.25, "psnr", signed=True), shown("inf", "psnr"), shown(-0.25, "psnr") == MINUS + "0.25"
    ('+0.25', '∞', True)
    """
    if value is None:
        return NOTHING
    return number(value, metric, signed).replace("-", MINUS).replace("inf", INFINITY)


def between(ends: Sequence[float] | None, metric: str, signed: bool = False) -> str:
    """Write an interval; nothing where there is none.

    >>> between([26.91, 27.3], "psnr"), between(None, "psnr")
    ('[26.91, 27.30]', '')
    """
    return "" if ends is None else f"[{', '.join(shown(end, metric, signed) for end in ends)}]"


def p_value(value: float | None) -> str:
    """Write a p-value with two significant digits.

    >>> p_value(0.0312), p_value(3.1e-9)[-4:], p_value(1e-200)
    ('0.031', '10⁻⁹', '< 10⁻⁹⁹')
    """
    if value is None:
        return NOTHING
    if value >= 1e-3:
        return f"{value:.2g}"
    if value < 1e-99:
        return "< 10⁻⁹⁹"
    digits, exponent = f"{value:.1e}".split("e")
    return (
        f"{digits}\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}\N{NO-BREAK SPACE}10{str(int(exponent)).translate(_POWER)}"
    )


def minus(first: str, second: str) -> str:
    """Name a difference."""
    return f"{first} {MINUS} {second}"


def gain_of(entry: Mapping[str, Any], metric: str) -> float | None:
    """Return the gain of a data set's mean in one metric; ``None`` where there is none or both are infinite."""
    before, after = ((entry.get(side) or {}).get(metric) for side in ("blurred", "restored"))
    if before is None or after is None:
        return None
    gain = float(after) - float(before)
    return None if math.isnan(gain) else gain


def scale_of(content: PageContent, metric: str) -> Scale:
    """Return a metric's unit and direction as the first candidate that has it says."""
    known = (candidate.metrics.get("metrics", {}) for candidate in content.candidates)
    return scale(metric, next((described for described in known if metric in described), {}))


def datasets_of(content: PageContent) -> list[str]:
    """Return the names of the data sets that all candidates have."""
    return [name for name in content.candidates[0].rows if all(name in own.rows for own in content.candidates)]
