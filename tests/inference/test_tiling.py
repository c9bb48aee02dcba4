"""Where tiles and crops lie, and that each pixel counts once."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from deblurkit.contracts import SizeRule
from deblurkit.inference import tiling
from deblurkit.inference.forward import pad_to_size
from deblurkit.inference.tiled_forward import fitted
from deblurkit.options.inference import Inference


def random_tiles(seed: int) -> tuple[int, int, int, int]:
    """Return length, size, overlap and unit."""
    draw = torch.Generator().manual_seed(seed)

    def one_of(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=draw))

    unit = (1, 2, 4, 16, 32)[one_of(0, 4)]
    size = one_of(1, 40)
    return one_of(1, 300) * unit, size * unit, one_of(0, size // 2) * unit, unit


@pytest.mark.parametrize("seed", range(60))
def test_tiles(seed: int) -> None:
    length, size, overlap, unit = random_tiles(seed)
    axis = tiling.tiles(length, size, overlap, unit)
    assert axis.starts[0] == 0
    assert axis.starts[-1] + axis.size == axis.length == length
    assert all(start % unit == 0 for start in axis.starts)
    shared = [first + axis.size - second for first, second in itertools.pairwise(axis.starts)]
    assert all(overlap <= found < axis.size for found in shared)
    assert len(axis.starts) == max(1, math.ceil((length - overlap) / (size - overlap)))
    assert _covered(axis) == pytest.approx([1.0] * length, abs=1e-6)
    assert axis.weights.min() >= 0
    blind = tiling.margin(overlap)
    for index, weights in enumerate(axis.weights):
        inner_ends = [weights[:blind]] * (index > 0) + [weights[len(weights) - blind :]] * (index < len(shared))
        assert all(not end.any() for end in inner_ends)


def test_tiles_by_hand() -> None:
    axis = tiling.tiles(length=20, size=12, overlap=4)
    assert axis.starts == (0, 8)
    assert axis.weights[0].tolist() == [1] * 9 + [0.75, 0.25, 0]
    assert axis.weights[1].tolist() == [0, 0.25, 0.75] + [1] * 9


def test_tiles_without_overlap_stand_side_by_side() -> None:
    axis = tiling.tiles(length=24, size=8, overlap=0, unit=8)
    assert axis.starts == (0, 8, 16)
    assert axis.weights.tolist() == [[1] * 8] * 3


@pytest.mark.parametrize(("length", "size"), [*itertools.product((720, 1280, 257, 512, 100), (256, 100, 33)), (6, 1)])
def test_grids_are_those_of_the_public_code(length: int, size: int) -> None:
    axis = tiling.grid(length, size)
    expected = _public_grid(length, size)
    assert axis.starts == tuple(expected)
    times = [sum(start <= pixel < start + axis.size for start in expected) for pixel in range(length)]
    for start, weights in zip(axis.starts, axis.weights, strict=True):
        assert weights.tolist() == pytest.approx([1 / times[start + pixel] for pixel in range(axis.size)])
    assert _covered(axis) == pytest.approx([1.0] * length, abs=1e-6)


def _public_grid(length: int, size: int) -> list[int]:
    """The rule as that code walks it: steps from the left, and the one that would lead out is flush with the end."""
    if length <= size:
        return [0]
    count = (length - 1) // size + 1
    step = math.ceil((length - size) / (count - 1) - 1e-8)
    found = []
    for start in range(0, length, step):
        found.append(min(start, length - size))
        if start + size >= length:
            break
    return found


@pytest.mark.parametrize(("length", "divisor"), [(5, 1), (33, 16), (33, 32), (5, 16), (64, 32), (1, 8), (17, 32)])
def test_lines_are_those_of_the_padded_image(length: int, divisor: int) -> None:
    image = torch.arange(length).float().reshape(1, 1, 1, length)
    padded = pad_to_size(image, SizeRule(divisor))[0, 0, 0].tolist()
    for start, stop in itertools.combinations(range(len(padded) + 1), 2):
        assert image[0, 0, 0][tiling.lines(start, stop, length, len(padded))].tolist() == padded[start:stop]


@pytest.mark.parametrize(
    ("asked", "unit", "least", "done"),
    [
        (Inference("tile", 500, 60), 16, 0, Inference("tile", 512, 64)),
        (Inference("tile", 64, 32), 16, 128, Inference("tile", 128, 32)),
        (Inference("tile", 32, 16), 32, 0, Inference("tile", 64, 32)),
        (Inference("grid", 250, x8=True), 4, 0, Inference("grid", 252, x8=True)),
        (Inference("tile", 512, 64, tlc=256), 16, 0, Inference("tile", 512, 64, tlc=256)),
        (Inference(x8=True), 16, 128, Inference(x8=True)),
    ],
)
def test_sizes_become_what_a_network_takes(asked: Inference, unit: int, least: int, done: Inference) -> None:
    assert fitted(asked, SizeRule(unit, least)) == done


def _covered(axis: tiling.Axis) -> list[float]:
    total = torch.zeros(axis.length)
    for start, weights in zip(axis.starts, axis.weights, strict=True):
        total[start : start + axis.size] += weights
    return total.tolist()
