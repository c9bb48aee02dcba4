"""Operations of a forward pass that look at a whole map: what they are, in which layer, over how many positions."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from deblurkit.contracts import generator_traits
from deblurkit.inference.forward import to_value_range

AVERAGE = "global average pooling"
MAXIMUM = "global max pooling"
STATISTICS = "statistics of the whole map"
ATTENTION = "attention over all positions"

_ALONE = threading.RLock()
"""Held while something is changed that other threads see: a module's hooks and buffers, or how PyTorch compiles."""

Arguments = tuple[Any, ...]
Named = Mapping[str, Any]


class Reduction(NamedTuple):
    """One call that reduces, normalises or weighs over axes of a map.

    Attributes:
        words: What it is.
        layer: Name of the innermost module that makes the call; empty for the network itself.
        extents: Lengths of the axes it goes over.
        pooled: ``map`` where it is a mean as :func:`average_pooled` recognises it, ``vector`` where that drops the two
            axes; else empty.
    """

    words: str
    layer: str
    extents: tuple[int, ...]
    pooled: Literal["", "map", "vector"] = ""


def record(generator: nn.Module, side: int) -> list[Reduction]:
    """Returns the reductions of one forward of a grey image ``(side, side)``, in the order of the calls.

    They include those over channels and over parameters, whose extents do not change with the size.
    """
    running = [""]  # the names of the modules that are running, the innermost last
    ours = threading.get_ident()

    # Another thread may be restoring an image with the same network: it calls the hooks too.
    def enter(name: str, module: nn.Module, inputs: Arguments) -> None:
        if threading.get_ident() == ours:
            running.append(name)

    def leave(module: nn.Module, inputs: Arguments, output: object) -> None:
        if threading.get_ident() == ours:
            running.pop()

    with _ALONE, contextlib.ExitStack() as hooks, _Recorder(running) as recorder:
        for name, module in generator.named_modules():
            hooks.callback(module.register_forward_pre_hook(partial(enter, name)).remove)
            # Called after errors too: a name that stayed would be given to all that runs later.
            hooks.callback(module.register_forward_hook(leave, always_call=True).remove)
        probe(generator, torch.full((1, 3, side, side), 0.5))
    return recorder.found


def larger_side(generator: nn.Module, side: int) -> int:
    """Returns a side at which also the smallest maps, of a 64th of the image, are larger than at ``side``."""
    return generator_traits(generator).size_rule.fit(side + 64)


@torch.no_grad()
def probe(generator: nn.Module, images: Tensor) -> Tensor | dict[str, Any]:
    """Runs the generator and leaves no trace: statistics, random numbers and compiled code stay as they were.

    Args:
        generator: Wherever it is, in whatever mode; it computes in its own precision and returns its own range.
        images: ``(n, 3, h, w)`` in [0, 1], of a size that it takes.
    """
    weight = next((p for p in generator.parameters() if p.is_floating_point()), torch.zeros(()))
    images = to_value_range(images.to(weight), generator_traits(generator).value_range)
    # Copies take the buffers' place, as batch norms in training mode count every image that they see.
    buffers = {name: buffer.clone() for name, buffer in generator.named_buffers()}
    devices = [weight.device] if weight.is_cuda else []
    with _ALONE, torch.random.fork_rng(devices), uncompiled(generator):
        output: Tensor | dict[str, Any] = torch.func.functional_call(generator, buffers, (images,))
    return output


@contextlib.contextmanager
def uncompiled(generator: nn.Module) -> Iterator[None]:
    """Runs as written what was given to ``torch.compile``, so that each call can be seen; one thread at a time."""
    if all(module._compiled_call_impl is None for module in generator.modules()):
        yield
        return
    with _ALONE, torch.compiler.set_stance("force_eager"):
        yield


def average_pooled(name: str, args: Arguments, kwargs: Named) -> tuple[Tensor, bool] | None:
    """Returns the map ``(n, c, h, w)`` that a call averages over all its positions, and whether the axes are kept.

    ``None`` for every other call. Recognised are adaptive pooling to one position (also as a module), pooling whose
    window is the map, and ``mean`` over exactly the last two axes.
    """
    features = _given(args, kwargs, 0, "input", "self")
    if not isinstance(features, Tensor) or features.dim() != 4:
        return None
    kept = True
    if name == "mean":
        pooled = _axes(features, _given(args, kwargs, 1, "dim", "axis")) == {2, 3}
        kept = bool(_given(args, kwargs, 2, "keepdim"))
    elif name == "avg_pool2d":
        pooled = _pair(_given(args, kwargs, 1, "kernel_size")) == tuple(features.shape[2:])
    elif name == "adaptive_avg_pool2d":
        pooled = _pair(_given(args, kwargs, 1, "output_size")) == (1, 1)
    else:
        return None
    return (features, kept) if pooled else None


class _Recorder(TorchFunctionMode):
    def __init__(self, running: list[str]) -> None:
        super().__init__()
        self.found: list[Reduction] = []
        self._running = running

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Arguments = (), kwargs: Named | None = None
    ) -> Any:
        kwargs = kwargs or {}
        layer = self._running[-1]
        if averaged := average_pooled(func.__name__, args, kwargs):
            features, kept = averaged
            self.found.append(Reduction(AVERAGE, layer, tuple(features.shape[2:]), "map" if kept else "vector"))
        elif seen := _seen(func.__name__, args, kwargs):
            words, extents = seen
            self.found.append(Reduction(words, layer, tuple(extents)))
        return func(*args, **kwargs)


def _seen(name: str, args: Arguments, kwargs: Named) -> tuple[str, Sequence[int]] | None:
    """Returns what a call is and the lengths of the axes that it goes over, if it goes over any."""
    features = _given(args, kwargs, 0, "input", "query", "self")
    if not isinstance(features, Tensor):
        return None
    shape = features.shape
    if name in _ALONG_AXES:
        axes = _axes(features, _given(args, kwargs, 1, "dim", "axis"))
        return _ALONG_AXES[name], [shape[axis] for axis in sorted(axes)]
    if name in _NORMS:
        words, switch, default = _NORMS[name]
        if not _given(args, kwargs, 5, switch, default=default):
            return None  # running statistics, which are the same for every image
        return words, shape[2:]
    if name == "group_norm":
        return "group normalisation", shape[2:]
    if name == "layer_norm":
        return STATISTICS, _given(args, kwargs, 1, "normalized_shape")
    if name == "adaptive_max_pool2d" and _pair(_given(args, kwargs, 1, "output_size")) == (1, 1):
        return MAXIMUM, shape[2:]
    if name in _KEYS_LENGTH:
        return ATTENTION, [_given(args, kwargs, 1, "key").shape[_KEYS_LENGTH[name]]]
    if name.startswith("fft_"):
        return "a Fourier transform of the whole map", shape[-2:]
    return None


_KEYS_LENGTH = {"scaled_dot_product_attention": -2, "multi_head_attention_forward": 0}
_ALONG_AXES = {
    "mean": AVERAGE,
    "amax": MAXIMUM,
    "amin": MAXIMUM,
    "softmax": ATTENTION,
    **dict.fromkeys(("sum", "std", "var", "std_mean", "var_mean"), STATISTICS),
}
# What it is, the argument (the sixth) by which it takes the map's own statistics, and that argument's default.
_NORMS = {
    "instance_norm": ("instance normalisation", "use_input_stats", True),
    "batch_norm": ("batch normalisation by the image's own statistics", "training", False),
}


def _given(args: Arguments, kwargs: Named, position: int, *names: str, default: object = None) -> Any:
    """Returns an argument, passed by position or by one of its names: people write calls in both ways."""
    if position < len(args):
        return args[position]
    return next((kwargs[name] for name in names if name in kwargs), default)


def _axes(features: Tensor, dim: object) -> set[int]:
    """Returns axes counted from 0; all of them where no axis was named."""
    axes: Sequence[int] = range(features.dim())
    if isinstance(dim, int):
        axes = [dim]
    elif isinstance(dim, (tuple, list)):
        axes = dim
    return {axis % features.dim() for axis in axes}


def _pair(size: int | Sequence[int]) -> tuple[int, ...]:
    return (size, size) if isinstance(size, int) else tuple(size)
