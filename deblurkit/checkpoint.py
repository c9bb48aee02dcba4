"""Checkpoints: plain types and tensors, written whole or not at all, read with ``weights_only=True``.

What keys a checkpoint has is said in :mod:`deblurkit.checkpoint_format`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

import torch
from torch import Tensor, nn

from deblurkit.bounded import Bounds, TooLargeError, bounded, check_arguments
from deblurkit.checkpoint_format import FORMAT, checked, is_checkpoint
from deblurkit.contracts import built_from_weights
from deblurkit.errors import UserError, first_line
from deblurkit.files import sync_folder, write_atomically
from deblurkit.plugins import load_plugins
from deblurkit.registry import ARCHS
from deblurkit.torchfile.read import CheckpointError, digest, read

if TYPE_CHECKING:
    from deblurkit.options.schema import Options

__all__ = ["FORMAT", "CheckpointError", "checked", "digest", "is_checkpoint", "load", "read", "save"]

_LISTED = 6  # groups of names in a message
_SPARE_WEIGHTS, _SPARE_PARTS = 8_000_000, 5_000  # what constructors may build and throw away


def save(state: dict[str, Any], path: Path) -> None:
    """Writes ``state`` under ``path``: to ``*.tmp``, flushed to the disk, then renamed.

    Raises:
        TypeError: ``state`` holds something else than plain types and tensors.
        OSError: The disk is full, or the file cannot be written for another reason; an older one stays as it was.
    """
    _refuse_objects(state, "checkpoint")

    def write(file: BinaryIO) -> None:
        watched = _Watched(file)
        try:
            torch.save(state, cast(IO[bytes], watched))
        except RuntimeError as error:  # torch's own words for a full disk are "unexpected pos"
            raise watched.failure or error from None

    write_atomically(path, write, durable=True)
    sync_folder(path.parent)


class _Watched:
    """A file that remembers why it could not be written to."""

    def __init__(self, file: BinaryIO) -> None:
        self.failure: OSError | None = None
        self._file = file

    def write(self, data: bytes) -> int:
        """Writes to the file."""
        try:
            return self._file.write(data)
        except OSError as error:
            self.failure = error
            raise

    def flush(self) -> None:
        """Does nothing: the file is flushed when all is written."""


def _refuse_objects(value: object, place: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_objects(key, f"{place} key")
            _refuse_objects(item, f"{place}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _refuse_objects(item, f"{place}[{index}]")
    elif value is not None and type(value) not in (bool, int, float, str, bytes, torch.Tensor):
        raise TypeError(f"{place} is a {type(value).__name__}: checkpoints hold plain types and tensors only")


def load(path: Path | str) -> dict[str, Any]:
    """Reads a checkpoint that a training takes up, onto the CPU. Nothing in the file is ever executed.

    Raises:
        CheckpointError: There is no such file, it is damaged, unsafe, no checkpoint of deblurkit, or not a whole one.
    """
    content = read(path)
    if not is_checkpoint(content):
        raise CheckpointError(f"{path}: not a checkpoint of deblurkit (format {FORMAT})")
    return checked(content, path, to_resume=True)


def build_generator(options: Options) -> nn.Module:
    """Builds the generator that ``options`` name, with fresh weights; reads no data and no weight file."""
    load_plugins(options.plugins)
    return ARCHS.build(options.generator, where="generator")


def load_generator(state: dict[str, Any], path: Path | str, plugins: tuple[str, ...] = ()) -> nn.Module:
    """Builds the generator that a checkpoint holds, with its EMA weights where it has them, in eval mode.

    Plugins that the checkpoint names are never imported; ``plugins`` are, because the user named them. No random stream
    is touched, and no memory is taken for weights before it is known that they fit.

    Raises:
        CheckpointError: The generator is not registered, or its weights do not fit.
    """
    load_plugins(plugins)
    component = state["options"]["generator"]
    kind = component["type"]
    if ARCHS.get(kind) is None:
        raise CheckpointError(f"{path}: {ARCHS.miss(kind)}{_where_from(state)}")
    weights, where = weights_of(state), f"{path}: options.generator"
    complaint = f"{path}: its weights do not fit {kind}"
    if (from_weights := built_from_weights(ARCHS.get(kind))) is not None:
        built = from_weights(weights)
        fill(built, weights, complaint)
        return built.eval()
    # A sketch on the meta device first: weights that do not fit are refused before memory is taken for any.
    sketch = sketch_generator(component, weights, where)
    if sketch is not None:
        refuse_differences(compare(sketch, weights), complaint)
    try:
        with bounded(bounds_of(weights)):
            generator: nn.Module = ARCHS.build(component, where=where)
    except UserError as error:
        raise CheckpointError(" ".join(str(error).split())[:1000]) from error
    except Exception as error:  # a constructor given arguments that nobody has checked
        raise CheckpointError(f"{where}: {kind} cannot be built: {_short(error)}") from error
    fill(generator, weights, complaint)
    return generator.eval()


def _where_from(state: dict[str, Any]) -> str:
    """Returns what a checkpoint says of the plugins that its generator needs."""
    package, files = state.get("generator_package"), state["options"].get("plugins")
    if package is not None:
        return f"; it comes from the plugin package {package}: install that where you run this"
    return f"; it was trained with {', '.join(files)}: name them with --plugin" if files else ""


def sketch_generator(component: dict[str, Any], weights: Mapping[str, Tensor], where: str) -> nn.Module | None:
    """Builds a generator without memory for its weights; ``None`` where it cannot live on the meta device.

    Raises:
        CheckpointError: It would have far more weights or parts than ``weights``.
    """
    try:
        check_arguments(component)
        with bounded(bounds_of(weights)), torch.device("meta"):
            sketch: nn.Module = ARCHS.build(component, where=where)
    except Exception as error:
        cause = error.__cause__ if isinstance(error, UserError) else error
        if isinstance(cause, TooLargeError):
            raise CheckpointError(f"{where}: {component['type']} does not fit its weights: {cause}") from None
        return None
    return sketch


def bounds_of(weights: Mapping[str, Tensor]) -> Bounds:
    """Returns what a network with these weights may have while it is built: some are cut out of larger ones."""
    numbers = sum(value.numel() for value in weights.values())
    return Bounds(weights=2 * numbers + _SPARE_WEIGHTS, parts=20 * len(weights) + _SPARE_PARTS)


def _short(error: Exception) -> str:
    said = first_line(error)
    return f"{type(error).__name__}: {said[:300]}" if said else type(error).__name__


def weights_of(state: dict[str, Any]) -> dict[str, Tensor]:
    """Returns the generator's weights that a checkpoint is used with: the averaged ones where it has them."""
    return state["ema"] if state["ema"] is not None else state["generator"]


def describe_weights(state: dict[str, Any], weights: str | Path) -> dict[str, Any]:
    """Returns ``file``, ``iteration``, ``ema`` (whether averaged weights are used), and foreign ones' ``note``."""
    described = {"file": str(weights), "iteration": state["position"]["iteration"], "ema": state["ema"] is not None}
    if "note" in state:
        described["note"] = state["note"]
    return described


def fill(network: nn.Module, weights: Mapping[str, Tensor], complaint: str) -> None:
    """Loads weights into a network, all or none.

    Raises:
        CheckpointError: They do not fit; ``complaint``, then how they differ.
    """
    refuse_differences(compare(network, weights), complaint)
    try:
        network.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise CheckpointError(f"{complaint}: {_short(error)}") from None


def refuse_differences(differences: Sequence[str], complaint: str) -> None:
    """Refuses weights that :func:`compare` finds to differ.

    Raises:
        CheckpointError: There are differences; ``complaint``, then a line for each.
    """
    if differences:
        raise CheckpointError(f"{complaint}:", *(f"  {line}" for line in differences))


def compare(network: nn.Module, weights: Mapping[str, Tensor]) -> list[str]:
    """Says how weights differ from what a network needs, grouped by the first part of their names; empty if they fit.

    Counters of batches, which old files lack, may be missing.
    """
    wanted = network.state_dict()
    missing = [key for key in wanted if key not in weights and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in weights if key not in wanted]
    wrong = [key for key in wanted if key in weights and weights[key].shape != wanted[key].shape]

    def shapes(key: str) -> str:
        return f"{key} is {_shape(weights[key])}, not {_shape(wanted[key])}"

    found = {"missing": _grouped(missing), "unexpected": _grouped(unexpected), "wrong shape": _grouped(wrong, shapes)}
    return [f"{kind}: {told}" for kind, told in found.items() if told]


def _grouped(keys: Sequence[str], tell: Callable[[str], str] = str) -> str:
    """Returns the counts of names by their first part, each with its first one as ``tell`` puts it; empty for none."""
    groups: dict[str, list[str]] = {}
    for key in keys:
        groups.setdefault(key.partition(".")[0], []).append(key)
    told = [f"{len(group)} in {name} ({tell(group[0])})" for name, group in list(groups.items())[:_LISTED]]
    return ", ".join(told) + (f", and {len(groups) - _LISTED} more groups" if len(groups) > _LISTED else "")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"
