"""The mode for an image where the memory does not suffice for what was asked: tiles, as large as fit."""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import nn

from deblurkit.contracts import generator_traits
from deblurkit.device import free_device_memory
from deblurkit.errors import UserError
from deblurkit.inference.memory import live_bytes, scratch
from deblurkit.inference.receptive_field import receptive_field
from deblurkit.inference.tiled_forward import fitted, layout
from deblurkit.inference.tlc import LocalMeans
from deblurkit.options.inference import Inference

_AUTO_BYTES_ON_CPU = 3 << 29  # 1.5 GiB: with a photograph of 24 megapixels and its result still below 2
_SIZES = (128, 192, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536, 2048)
_OVERLAP = 128
_BAND_BYTES = 4 * 3 * 4  # a pixel of a row of tiles: RGB float32; the row, its part carried on, and what it becomes
_VIEWS_BYTES = 2 * 3 * 4  # a pixel under x8: the sum of the views, and one of them flipped


@dataclass(eq=False)
class Fallback:
    """Finds the mode in which images fit the memory; for images of one size always the same.

    What may be used is settled at the first image, so that images of a set do not differ by what else the machine does.

    Args:
        generator: In the mode (train or eval) and on the ``device`` in which it is to run.
        mode: What was asked for, from :func:`deblurkit.inference.tiled_forward.fitted`.
        means: The local means that ``mode`` asks for; ``None`` where it asks for none.
        auto: Whether ``whole`` is a wish only, so that on a CPU the memory is used sparingly.
        memory_bytes: What one image may take above the weights; by default what is free, and with ``auto`` on a CPU
            1.5 GiB of it at most.
    """

    generator: nn.Module
    mode: Inference
    means: LocalMeans | None
    device: torch.device
    auto: bool
    memory_bytes: int | None
    _lacking: int = field(default=0, init=False)  # the most that an image would have taken that did not fit
    _estimates: dict[tuple[int, int], int | None] = field(default_factory=dict, init=False)
    _chosen: dict[tuple[int, int], tuple[Inference, str]] = field(default_factory=dict, init=False)

    def first(self, height: int, width: int) -> tuple[Inference, str]:
        """Returns the mode to try first for an image, and why it is not the one asked for (``""`` where it is).

        Where memory or its need is unknown, that is what was asked for; tiles and grids are never replaced here.

        Raises:
            UserError: ``memory_bytes`` was given, and the smallest tiles take more.
        """
        if self.mode.space != "whole":
            return self.mode, ""
        if (height, width) not in self._chosen:
            self._chosen[height, width] = self._choose(height, width)
        return self._chosen[height, width]

    def shortage(self) -> str:
        """Returns what images that did not fit would have taken, and what may be used; ``""`` where all did."""
        if not self._lacking or self._allowed is None:
            return ""
        asked = dataclasses.replace(self.mode, tlc=None, x8=False)
        return f"{asked}, an image would take up to {_gib(self._lacking)} GiB; {_gib(self._allowed)} GiB may be used"

    def smaller(self, mode: Inference, height: int, width: int) -> Inference | None:
        """Returns what to try when ``mode`` ran out of memory; ``None`` for a grid, and for the smallest tiles."""
        if mode.space == "grid":
            return None
        side = min(mode.size or max(height, width), max(height, width))
        smaller = self._tiles(max(_SIZES[0], side // 2))
        if smaller.size < side:
            return smaller
        return None  # the network's own least size is no smaller

    def needed(self, mode: Inference, height: int, width: int) -> int | None:
        """Returns about how many bytes an image takes above the weights; ``None`` where that cannot be told."""
        in_one_pass = min(mode.size or height, height), min(mode.size or width, width)
        live = self.estimate(*in_one_pass)
        if live is None:
            return None
        # The tensors of one pass, and what is gathered around it: a row of tiles, the sum of the eight views.
        needed = int(scratch(self.device) * live)
        if mode.size:
            needed += _BAND_BYTES * in_one_pass[0] * width
        if mode.x8:
            needed += _VIEWS_BYTES * height * width
        return needed

    def estimate(self, height: int, width: int) -> int | None:
        """Returns the bytes of live tensors while one crop is restored: see :func:`live_bytes`."""
        if (height, width) not in self._estimates:
            self._estimates[height, width] = live_bytes(self.generator, height, width, self.means)
        return self._estimates[height, width]

    @cached_property
    def reach(self) -> int | None:
        """How far the network looks: see :func:`deblurkit.inference.receptive_field.receptive_field`."""
        return receptive_field(self.generator)

    @cached_property
    def _allowed(self) -> int | None:
        if self.memory_bytes is not None:
            return self.memory_bytes
        free = free_device_memory(self.device)
        if not self.auto or self.device.type != "cpu":
            return free
        return _AUTO_BYTES_ON_CPU if free is None else min(free, _AUTO_BYTES_ON_CPU)

    def _choose(self, height: int, width: int) -> tuple[Inference, str]:
        needed = self.needed(self.mode, height, width)
        if self._allowed is None or needed is None or needed <= self._allowed:
            return self.mode, ""
        self._lacking = max(self._lacking, needed)
        # The need grows with the size of tiles, so halving the list finds the largest that fit in four counts.
        fitting = bisect_right(
            _SIZES, self._allowed, key=lambda size: self.needed(self._tiles(size), height, width) or 0
        )
        tiles = self._least_work([self._tiles(size) for size in _SIZES[: max(1, fitting)]], height, width)
        # Why it is not done as asked is said in the same words for every image, so that they can be counted.
        if fitting:
            return tiles, "whole does not fit the memory"
        # A bound that somebody gave is kept; free memory is an estimate, and what it says may be wrong.
        if self.memory_bytes is not None:
            least = self.needed(tiles, height, width) or 0
            raise UserError(
                f"memory: {type(self.generator).__name__}: an image of {height}x{width} takes {_gib(least)} GiB at "
                f"least, in {tiles}, and {_gib(self.memory_bytes)} GiB may be used: allow more"
            )
        return tiles, "neither whole nor these tiles, the smallest, fit the memory"

    def _least_work(self, ascending: list[Inference], height: int, width: int) -> Inference:
        """Returns the tiles that pass the fewest pixels in all, of those that overlap as the largest do.

        They are spread over the image from edge to edge: the largest may overlap by far more than they have to.
        """
        rule = generator_traits(self.generator).size_rule
        best, least = ascending[-1], math.inf
        for tiles in reversed(ascending):
            rows, columns = layout(height, width, tiles, rule)
            passed = len(rows.starts) * rows.size * len(columns.starts) * columns.size
            if tiles.overlap == best.overlap and passed < least:
                best, least = tiles, passed
        return best

    def _tiles(self, size: int) -> Inference:
        """Returns tiles of a size, which equal the whole image where an overlap of half of it suffices for that."""
        if self.mode.space == "tile":
            overlap = min(self.mode.overlap, size // 2)
        elif self.reach is not None and 8 * self.reach <= size:
            overlap = 4 * self.reach  # the least whose margin is what the network looks at
        else:
            overlap = min(_OVERLAP, size // 4)
        mode = dataclasses.replace(self.mode, space="tile", size=size, overlap=overlap)
        return fitted(mode, generator_traits(self.generator).size_rule)


def _gib(number: int) -> str:
    """Returns bytes in GiB, rounded up, so that what is named suffices."""
    return f"{math.ceil(1000 * number / 2**30) / 1000:.3f}"
