"""Checks of numbers that options give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import TypeGuard

Range = tuple[float, float]
"""Least and greatest value, between which one is drawn; equal where there is one value."""


def as_range(
    limits: object, name: str, least: float = 0.0, greatest: float = math.inf, positive: bool = False
) -> tuple[float, float]:
    """Returns an option's least and greatest value; ``positive`` refuses 0. Messages name the option.

    Raises:
        ValueError: They are not two finite numbers in order within the bounds.
    """
    # A string is a sequence too, of digits for "12".
    given = list(limits) if isinstance(limits, Sequence) and not isinstance(limits, str) else limits
    if isinstance(given, list) and len(given) == 2:
        low, high = given
        if _is_finite(low) and _is_finite(high) and least <= low <= high <= greatest and not (positive and low == 0):
            return float(low), float(high)
    bounds = f"from {least:g} to {greatest:g}"
    if greatest == math.inf:
        bounds = "above 0" if positive else "not negative"
    raise ValueError(f"{name}: got {given!r}, expected [least, greatest], {bounds}")


def as_positive(number: object, name: str, unit: str) -> float:
    """Returns an option's number; a ValueError, in which ``unit`` says what it counts, if not finite and above 0."""
    if not _is_finite(number) or number <= 0:
        raise ValueError(f"{name}: got {number!r}, expected {unit}, a finite number above 0")
    return float(number)


def as_number_or_range(given: object, name: str, unit: str, positive: bool = False) -> Range:
    """Returns the least and greatest value of an option that is one number or ``[least, greatest]``.

    Raises:
        ValueError: It is neither, or not ``unit``: finite, not negative (``positive``: above 0).
    """
    if isinstance(given, Sequence) and not isinstance(given, str):
        return as_range(given, name, positive=positive)
    if given == 0 and not positive:
        return 0.0, 0.0
    number = as_positive(given, name, unit)
    return number, number


def as_share(given: object, name: str) -> float:
    """Returns an option's share of all cases; a ValueError if it is no number in [0, 1]."""
    if not _is_finite(given) or not 0 <= given <= 1:
        raise ValueError(f"{name}: got {given!r}, expected a share from 0 to 1")
    return float(given)


def _is_finite(number: object) -> TypeGuard[float]:
    return isinstance(number, Real) and math.isfinite(number)
