"""Local means in place of global average pools: an image is judged in windows of about the size that training saw.

A network that is trained on crops learns what means over a crop look like; those over a whole photograph differ (Chu
et al.: Improving Image Restoration by Revisiting Global Information Aggregation, ECCV 2022: "TLC").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from deblurkit.contracts import generator_traits
from deblurkit.errors import UserError
from deblurkit.inference.global_ops import Named, Reduction, average_pooled, larger_side, probe, record, uncompiled

Window = tuple[int, int]


def local_means(generator: nn.Module, size: int, factor: float = 1.5) -> LocalMeans:
    """Returns what to call in place of ``generator``, so that it takes local means and not its global average pools.

    The windows are ``int(size * factor)`` pixels of the image; in a pool's map so much less, rounded down, as its map
    is smaller than the image, which a forward at ``size`` tells: the rule of NAFNet's public code, ``NAFNetLocal``.
    Made once, it serves any number of images, in any number of threads at once.

    Pools are those that :func:`~deblurkit.inference.global_ops.average_pooled` recognises, on maps that grow with the
    image: means of parameters, of channels and of maps of a fixed size stay as they are, and so do other global
    operations (maxima, norms, attention). Nothing in the network changes; it may move to another device later.

    Args:
        generator: Any network whose calls come in the same order for every image.
        size: Side of the crops that it was trained on, in pixels; taken up to the next side that it accepts.
        factor: Of the window to the crop; 1.5 is the published choice.

    Raises:
        UserError: It has no such pool, or one that what follows needs as a vector (``x.mean((2, 3))`` without
            ``keepdim``, ``flatten`` and ``nn.Linear`` behind it).
    """
    base = int(size * factor)
    if size < 1 or base < 1:
        raise UserError(f"tlc: needs a size of at least 1 pixel and a window as large, got {size} and factor {factor}")
    side = generator_traits(generator).size_rule.fit(size)
    pools = _pools(generator, side)
    if not any(pools):
        name = type(generator).__name__
        raise UserError(f"tlc: {name} has no global average pooling, so local means change nothing: leave tlc out")
    _require_maps(generator, pools, side)
    return LocalMeans(generator, _windows(pools, base, side))


class LocalMeans:
    """A generator whose means are local while it is called through this; its own calls stay what they are.

    Args:
        generator: Whose means are replaced.
        windows: For each mean over positions, in the order of the calls: the window's height and width in its map, or
            ``None`` to leave it.
    """

    def __init__(self, generator: nn.Module, windows: Sequence[Window | None]) -> None:
        self.generator = generator
        self.windows = list(windows)

    def __call__(self, images: Tensor) -> Any:
        """Runs the generator, and returns what it returns.

        Raises:
            ValueError: It takes other means than those of ``windows``.
        """
        with uncompiled(self.generator), _LocalForward(self.generator, self.windows) as means:
            output = self.generator(images)
        if means.calls < len(self.windows):
            raise means.other_calls("fewer")
        return output


class _LocalForward(TorchFunctionMode):
    """One forward under local means; a mode is active in its own thread alone."""

    def __init__(self, generator: nn.Module, windows: Sequence[Window | None]) -> None:
        super().__init__()
        self.name = type(generator).__name__
        self.windows = windows
        self.calls = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Named | None = None
    ) -> Any:
        kwargs = kwargs or {}
        pooled = average_pooled(func.__name__, args, kwargs)
        if not pooled:
            return func(*args, **kwargs)
        features, _ = pooled
        # Means are known by their place in the order of the calls alone: a function has no name as a layer has.
        self.calls += 1
        if self.calls > len(self.windows):
            raise self.other_calls("more")
        window = self.windows[self.calls - 1]
        if window is None:
            return func(*args, **kwargs)
        # Where the window covers the map the global mean is taken, bit for bit what the network does without TLC; a
        # graph for images of any size cannot ask.
        covered = not torch.compiler.is_exporting() and all(map(int.__ge__, window, features.shape[2:]))
        return func(*args, **kwargs) if covered else local_mean(features, window)

    def other_calls(self, how_many: str) -> ValueError:
        """Returns the error of a forward that took more or fewer means than there are windows."""
        return ValueError(
            f"tlc: {self.name} takes {how_many} means for this image than the {len(self.windows)} of its calibration: "
            "its calls depend on the image, so its means cannot be told apart"
        )


def local_mean(features: Tensor, window: Window) -> Tensor:
    """Returns the mean around each position, over a window that is moved inward at the border.

    Away from the border it is the mean over ``window``; it exists where the window fits and is repeated outward: above
    and to the left half of what is missing, rounded down. A window longer than a side of the map is cut to it.

    Shape: ``(n, c, h, w)`` to the same, in the precision of ``features``.
    """
    height, width = torch.sym_min(window[0], features.shape[2]), torch.sym_min(window[1], features.shape[3])
    # Running sums of a map around 5 grow to millions, and the difference of two such sums in float32 keeps few digits.
    # So the map's mean is taken off, one axis is summed after the other, and half precisions become float32.
    precise = features.to(torch.promote_types(features.dtype, torch.float32))
    overall = precise.mean((2, 3), keepdim=True)
    windowed = _windowed_for_graphs if torch.compiler.is_exporting() else _windowed
    sums = windowed(windowed(precise - overall, width, 3), height, 2)
    means = sums.div_(height * width).add_(overall)
    # Windows lie inside the map, so there are fewer means than positions: the outermost are repeated outward.
    down, across = features.shape[2] - means.shape[2], features.shape[3] - means.shape[3]
    border = (across // 2, across - across // 2, down // 2, down - down // 2)
    return functional.pad(means, border, mode="replicate").to(features.dtype)


def _windowed(values: Tensor, length: int, axis: int) -> Tensor:
    """Returns the sums over each window of ``length`` along ``axis``, as differences of running sums."""
    running = _running(values, axis)
    inner = running.shape[axis] - length
    return running.narrow(axis, length, inner) - running.narrow(axis, 0, inner)


def _windowed_for_graphs(values: Tensor, length: int, axis: int) -> Tensor:
    """Returns the same sums, already repeated outward: looked up by position, which takes several times as long.

    Of sums that may be one only, where the window is as long as the side, torch.export would settle that they are not,
    and the graph would refuse smaller images than the example.
    """
    running, side = _running(values, axis), values.shape[axis]
    first = torch.arange(side, device=values.device).sub_((length - 1) // 2).clamp_(0, side - length)
    return running.index_select(axis, first + length) - running.index_select(axis, first)


def _running(values: Tensor, axis: int) -> Tensor:
    # A zero comes first, so that the first window is a difference too.
    border = (1, 0) if axis == 3 else (0, 0, 1, 0)
    return functional.pad(values, border).cumsum_(axis)


def _pools(generator: nn.Module, side: int) -> list[Reduction | None]:
    """Returns the means over positions in the order of the calls; ``None`` where a map does not grow with the image."""
    larger = larger_side(generator, side)
    first = [item for item in record(generator, side) if item.pooled]
    second = [item for item in record(generator, larger) if item.pooled]
    if [item.layer for item in first] != [item.layer for item in second]:
        raise UserError(
            f"tlc: {type(generator).__name__} takes other means for {side}x{side} than for {larger}x{larger}: they "
            "cannot be told apart"
        )
    return [None if one.extents == other.extents else one for one, other in zip(first, second, strict=True)]


def _windows(pools: Sequence[Reduction | None], base: int, side: int) -> list[Window | None]:
    """Returns windows as much smaller than ``base`` as each pool's map is than the image of ``side`` pixels."""
    windows: list[Window | None] = [None] * len(pools)
    for index, pool in enumerate(pools):
        if pool is not None:
            height, width = (max(1, extent * base // side) for extent in pool.extents)
            windows[index] = height, width
    return windows


def _require_maps(generator: nn.Module, pools: Sequence[Reduction | None], side: int) -> None:
    """Raises a ``UserError`` where something takes a mean for a vector: tries local means of half the map."""
    name = type(generator).__name__
    advice = "a local mean is a map: take means with keepdim=True, and 1x1 convolutions behind them"
    for pool in pools:
        if pool is not None and pool.pooled == "vector":
            raise UserError(f"tlc: {name}: layer {pool.layer!r} takes its mean as a vector (n, c); {advice}")
    means = _LocalForward(generator, _windows(pools, side // 2, side))
    try:
        with means:
            probe(generator, torch.full((1, 3, side, side), 0.5))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a network raises at a shape that it does not expect
        pool = pools[max(0, means.calls - 1)]
        layer = "" if pool is None else f" behind layer {pool.layer!r}"
        raise UserError(f"tlc: {name}: what stands{layer} does not take a local mean ({error}); {advice}") from error
