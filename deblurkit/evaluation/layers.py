"""A network taken apart: what each of its modules is, gives out, holds and computes for one image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils.flop_counter import FlopCounterMode

from deblurkit.checkpoint import build_generator
from deblurkit.costs import Layer, LayerTable
from deblurkit.errors import UserError, did_you_mean
from deblurkit.evaluation.cost import in_one_line, input_sizes, parse_size
from deblurkit.inference.forward import restore_whole
from deblurkit.options.schema import Options
from deblurkit.registry import DISCRIMINATORS

ALL = "all"
"""In place of a network's name: the generator and every critic."""

_REWRITTEN = "parametrizations"  # where torch keeps the weights that a spectral norm computes a layer's weight from


@dataclass
class _Record:
    """The calls of one module so far; ``macs`` without those of modules inside it."""

    calls: int = 0
    macs: int = 0
    channels_in: int | None = None
    channels_out: int | None = None
    output: str = ""


def layer_tables(options: Options, file: str, size: str, network: str = "generator") -> list[LayerTable]:
    """Returns the layers of networks that options name, with fresh weights, counted without computing anything.

    Args:
        options: They name the networks.
        file: Where they come from, for messages.
        size: Of the image, ``HxW``; critics are shown it as it is, as they are shown crops of a training.
        network: ``generator``, a critic's name, or ``all``.

    Raises:
        UserError: There is no such network, or it cannot run on an image of this size, or on the meta device.
    """
    known = ["generator", *options.discriminators]
    if network == ALL:
        return [_table(options, file, size, name) for name in known]
    if network not in known:
        hint = did_you_mean(network, known)
        raise UserError(f"{file}: no network is named {network!r}{hint}; it has {', '.join(known)}; or say {ALL}")
    return [_table(options, file, size, network)]


def _table(options: Options, file: str, size: str, name: str) -> LayerTable:
    shape = parse_size(size)
    config = options.discriminators.get(name, options.generator)
    kind = config["type"]
    try:
        # On the meta device shapes and counts are exact and nothing is computed, however large the image.
        with torch.device("meta"), torch.no_grad():
            if name in options.discriminators:
                network = DISCRIMINATORS.build(config).eval()
                run = partial(network, torch.zeros(1, config.get("in_channels", 3), *shape))
            else:
                network = build_generator(options).eval()
                run = partial(restore_whole, network, torch.zeros(1, 3, *shape))
            layers, (height, width) = take_apart(network, run)
    except UserError:
        raise
    except Exception as error:  # a plugin's network may raise anything
        raise UserError(f"{file}: {name}: {kind} cannot be run on {size}: {in_one_line(error)}") from error
    return LayerTable(options.name, name, kind, size, f"{height}x{width}", layers)


def take_apart(network: nn.Module, forward: Callable[[], object]) -> tuple[tuple[Layer, ...], tuple[int, int]]:
    """Returns a network's layers in the order in which they first run, and the size of what it saw.

    Listed is what has weights of its own, what does work of its own, and what has no modules inside it. So the sums of
    parameters and MACs are those of the whole network.

    ``forward`` runs the network once.
    """
    modules = {name: module for name, module in network.named_modules() if _REWRITTEN not in name.split(".")}
    parameters = dict.fromkeys(modules, 0)
    for path, weight in network.named_parameters():
        # A spectral norm moves `layer.weight` to `layer.parametrizations.weight.original`: it still is the layer's.
        owner, moved, _ = path.partition(f".{_REWRITTEN}.")
        parameters[owner if moved else path.rpartition(".")[0]] += weight.numel()
    with input_sizes(network) as sizes, _recorded(modules) as records:
        forward()
    layers = []
    # Modules that never run have no place in the order: they come last, and only because of their weights.
    for name in dict.fromkeys([*records, *modules]):
        module, record = modules[name], records.get(name, _Record())
        ran_alone = record.calls > 0 and next(module.children(), None) is None
        if not (parameters[name] or record.macs or ran_alone):
            continue
        kernel = stride = ""
        if isinstance(module, (_ConvNd, nn.MaxPool2d, nn.AvgPool2d)):
            kernel, stride = _sides(module.kernel_size), _sides(module.stride)
            first, _, second = stride.partition("x")
            if first == second:  # tables of papers write `2` and not `2x2`
                stride = first
        if isinstance(module, _ConvNd) and module.groups > 1:
            kernel += f", {module.groups} groups"
        kind = type(module).__name__.removeprefix("Parametrized")  # torch's name for a layer under spectral norm
        shapes = (record.channels_in, record.channels_out, record.output)
        layers.append(Layer(name, kind, kernel, stride, *shapes, record.calls, parameters[name], record.macs))
    return tuple(layers), sizes[0]


@contextmanager
def _recorded(modules: dict[str, nn.Module]) -> Iterator[dict[str, _Record]]:
    """Records what each module does while the block runs, in the order in which they begin."""
    records: dict[str, _Record] = {}
    open_calls: list[list[int]] = []  # of each running module: the count when it began, and what those inside it spent

    def enter(name: str, module: nn.Module, inputs: tuple[object, ...]) -> None:
        # the record is made here and not at the end, so that a block stands before what is inside it
        records.setdefault(name, _Record())
        open_calls.append([work.get_total_flops(), 0])

    def leave(name: str, module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        begun, inside = open_calls.pop()
        spent = work.get_total_flops() - begun
        if open_calls:
            open_calls[-1][1] += spent
        record = records[name]
        record.calls += 1
        record.macs += (spent - inside) // 2
        record.channels_in = _channels(inputs[0]) if inputs else None
        record.channels_out = _channels(output)
        record.output = "x".join(map(str, output.shape[1:])) if isinstance(output, Tensor) else ""

    with ExitStack() as hooks, FlopCounterMode(display=False) as work:
        for name, module in modules.items():
            hooks.callback(module.register_forward_pre_hook(partial(enter, name)).remove)
            hooks.callback(module.register_forward_hook(partial(leave, name)).remove)
        yield records


def _channels(value: object) -> int | None:
    return value.shape[1] if isinstance(value, Tensor) and value.dim() > 1 else None


def _sides(size: int | tuple[int, ...]) -> str:
    """Writes a kernel or stride: poolings have one number where both sides are the same."""
    return f"{size}x{size}" if isinstance(size, int) else "x".join(map(str, size))
