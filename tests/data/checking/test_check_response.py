from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from deblurkit.data.checking.response import Drift, Verdict, drift, measure_set, verdict
from deblurkit.data.images import read_image
from deblurkit.data.photographs import PHOTOGRAPHS, photograph_file
from deblurkit.errors import UserError


def _pairs(variant: str, how: str, depth: type = np.uint8) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Average photographs over a straight path of 12 pixels, in stored values or in light."""
    highest = np.iinfo(depth).max
    for photograph in PHOTOGRAPHS[:6]:
        image = read_image(photograph_file(photograph)).astype(depth) * (highest // 255)
        frames = np.stack([image[40:200, 40 + step : 240 + step] for step in range(13)]) / highest
        mean = frames.mean(0) if variant == "linear" else np.mean(frames**2.2, 0) ** (1 / 2.2)
        yield np.floor(mean * highest + (0.5 if how == "round" else 0)).astype(depth), image[40:200, 46:246]


def _measured(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Verdict:
    return verdict(drift(blurred, sharp) for blurred, sharp in pairs)


@pytest.mark.parametrize("how", ["round", "truncate"])
@pytest.mark.parametrize("variant", ["linear", "gamma"])
def test_the_variant_is_measured(variant: str, how: str) -> None:
    found = _measured(_pairs(variant, how))
    assert found.variant == variant
    assert found.share > 0.8
    assert found.n >= 5
    assert f"{found.n} pairs" in str(found)


def test_sixteen_bits() -> None:
    assert _measured(_pairs("linear", "round", np.uint16)).variant == "linear"


def test_what_cannot_be_told_is_unclear() -> None:
    pairs = list(_pairs("linear", "round"))
    assert _measured(pairs[:4]).variant == "unclear"
    assert "fewer than 5" in str(_measured(pairs[:4]))
    assert _measured([]).n == 0
    unblurred = _measured((sharp, sharp) for _, sharp in pairs)
    assert (unblurred.variant, unblurred.n) == ("unclear", 0)
    half = [*_pairs("gamma", "round"), *pairs]
    assert _measured(half).variant == "unclear"
    darker = [((blurred * 0.8).astype(np.uint8), sharp) for blurred, sharp in pairs]
    assert _measured(darker).variant == "unclear"


def test_a_drift_is_what_its_definition_says() -> None:
    rng = np.random.default_rng(0)
    blurred, sharp = rng.integers(0, 256, (2, 20, 30, 3), dtype=np.uint8)
    b, s = blurred / 255, sharp / 255
    found = drift(blurred, sharp)
    assert found.stored == pytest.approx(255 * (b.mean() - s.mean()) + 0.25)
    assert found.light == pytest.approx(255 * (b**2.2 - s**2.2).mean() / (2.2 * s.mean() ** 1.2) + 0.25)
    black = np.zeros((4, 4, 3), np.uint8)
    assert drift(black, black).gap == pytest.approx(0)


def test_votes_near_neither_rule_count_against() -> None:
    linear, neither = Drift(0.1, -2.0), Drift(-5.0, -7.0)
    assert (linear.vote, neither.vote) == ("linear", "neither")
    assert verdict([linear] * 8 + [neither] * 2).variant == "linear"
    assert verdict([linear] * 6 + [neither] * 4).variant == "unclear"


class _Repeated:
    """A set of 600 pairs, made of a few; every second one is damaged."""

    def __init__(self, variant: str, sides: tuple[str, ...] = ("blurred", "sharp")) -> None:
        self.pairs = [dict(zip(sides, pair, strict=False)) for pair in _pairs(variant, "round")]
        self.asked: list[int] = []

    def __len__(self) -> int:
        return 600

    def read(self, index: int) -> dict[str, Any]:
        self.asked.append(index)
        if len(self.asked) % 2:
            raise UserError(f"{index}: damaged")
        return {**self.pairs[len(self.asked) // 2 % len(self.pairs)], "key": str(index)}


@pytest.mark.parametrize("variant", ["linear", "gamma"])
def test_a_set_is_measured_on_a_few_pairs_from_all_over_it(variant: str) -> None:
    data = _Repeated(variant)
    assert measure_set(data) == variant
    assert (len(data.asked), data.asked[0], data.asked[-1]) == (12, 0, 599)
    assert measure_set(_Repeated(variant), pairs=4) == "unclear"


def test_nothing_is_measured_without_truth_or_pairs() -> None:
    blind = _Repeated("gamma", ("blurred",))
    assert measure_set(blind) is None
    assert len(blind.asked) == 2

    class Empty:
        def __len__(self) -> int:
            return 0

    assert measure_set(Empty()) is None
