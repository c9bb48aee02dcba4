"""Checks of numbers that options give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any


def as_range(
    limits: Any, name: str, least: float = 0.0, greatest: float = math.inf, positive: bool = False
) -> tuple[float, float]:
    """Returns an option's least and greatest value.

    Args:
        limits: What the option gave.
        name: The option, for messages.
        least: The smallest value allowed.
        greatest: The largest value allowed.
        positive: Whether 0 is refused.

    Raises:
        ValueError: They are not two finite numbers in order within the bounds.
    """
    pair = list(limits) if isinstance(limits, Sequence) and not isinstance(limits, str) else []
    numbers = len(pair) == 2 and all(_is_finite(limit) for limit in pair)
    if not numbers or not least <= pair[0] <= pair[1] <= greatest or (positive and pair[0] == 0):
        bounds = "above 0" if positive else "not negative"
        bounds = bounds if greatest == math.inf else f"from {least:g} to {greatest:g}"
        came = limits if isinstance(limits, str) or not isinstance(limits, Sequence) else list(limits)
        raise ValueError(f"{name}: came {came!r}, expected [least, greatest], {bounds}")
    return float(pair[0]), float(pair[1])


def as_positive(number: Any, name: str, unit: str) -> float:
    """Returns an option's number.

    Args:
        number: What the option gave.
        name: The option, for messages.
        unit: What it counts.

    Raises:
        ValueError: It is not a finite number above 0.
    """
    if not _is_finite(number) or number <= 0:
        raise ValueError(f"{name}: came {number!r}, expected {unit}, a finite number above 0")
    return float(number)


def _is_finite(number: Any) -> bool:
    return isinstance(number, Real) and math.isfinite(number)
