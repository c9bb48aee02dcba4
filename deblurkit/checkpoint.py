"""Checkpoints: plain types and tensors, written whole or not at all, read with ``weights_only=True``.

Keys of a checkpoint: ``format``, ``generator``, ``ema`` (or ``None``), ``critics``, ``losses``, ``optimizers``,
``schedulers``, ``scalers``, ``rng``, ``position``, ``best``, ``trained_on``, ``data_notes``, ``options``, ``versions``.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from deblurkit.errors import UserError
from deblurkit.registry import ARCHS, load_plugins

if TYPE_CHECKING:
    from deblurkit.options.schema import Options

FORMAT = 1

_LISTED = 6


class CheckpointError(UserError):
    """A checkpoint file cannot be read or does not hold what is asked of it."""


def save(state: dict[str, Any], path: Path) -> None:
    """Write ``state`` under ``path``: to ``*.tmp``, flushed to the disk, then renamed.

    Raises:
        TypeError: ``state`` holds something else than plain types and tensors.
    """
    _refuse_objects(state, "checkpoint")
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the system can, so that a rename survives a power cut."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_objects(value: Any, place: str) -> None:
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
    """Read a checkpoint onto the CPU. Nothing in the file is ever executed.

    Raises:
        CheckpointError: There is no such file, it is truncated, unsafe, or no deblurkit checkpoint.
    """
    state = read(path)
    if not is_checkpoint(state):
        raise CheckpointError(f"{path}: not a checkpoint of deblurkit (format {FORMAT})")
    checked: dict[str, Any] = state
    return checked


def read(path: Path | str) -> Any:
    """Read what a file of ``torch.save`` holds onto the CPU: plain types and tensors, whoever wrote it.

    Raises:
        CheckpointError: There is no such file, it is truncated or unsafe.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such checkpoint")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: refused, it holds more than plain types and tensors ({_first(error)})"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: not a whole checkpoint ({_first(error)})") from None


def is_checkpoint(content: Any) -> bool:
    """Tell whether what :func:`read` returned is a checkpoint of deblurkit that this version reads."""
    return isinstance(content, dict) and content.get("format") == FORMAT and "generator" in content


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def build_generator(options: Options) -> nn.Module:
    """Build the generator that ``options`` name, with fresh weights; reads no data and no weight file."""
    load_plugins(options.plugins)
    generator: nn.Module = ARCHS.build(options.generator, where="generator")
    return generator


def load_generator(state: dict[str, Any], path: Path | str, plugins: tuple[str, ...] = ()) -> nn.Module:
    """Build the generator that a checkpoint holds, with its EMA weights where it has them, in eval mode.

    Plugins that the checkpoint names are never imported; ``plugins`` are, because the user named them.

    Raises:
        CheckpointError: The generator is not registered, or its weights do not fit.
    """
    load_plugins(plugins)
    cfg = state["options"]["generator"]
    if ARCHS.get(cfg["type"]) is None:
        wanted = state["options"].get("plugins") or []
        hint = f"; it was trained with {', '.join(wanted)}: name them with --plugin" if wanted else ""
        raise CheckpointError(f"{path}: {ARCHS.miss(cfg['type'])}{hint}")
    generator: nn.Module = ARCHS.build(cfg, where=f"{path}: options.generator")
    fill(generator, weights_of(state), f"{path}: its weights do not fit {cfg['type']}")
    return generator.eval()


def weights_of(state: dict[str, Any]) -> dict[str, Tensor]:
    """Return the generator's weights that a checkpoint is used with: the averaged ones where it has them."""
    weights: dict[str, Tensor] = state["ema"] if state["ema"] is not None else state["generator"]
    return weights


def fill(network: nn.Module, weights: Mapping[str, Tensor], complaint: str) -> None:
    """Load weights into a network, all or none.

    Raises:
        CheckpointError: They do not fit; ``complaint``, then how they differ.
    """
    differences = compare(network, weights)
    if differences:
        raise CheckpointError(f"{complaint}:", *(f"  {line}" for line in differences))
    network.load_state_dict(dict(weights))


def compare(network: nn.Module, weights: Mapping[str, Tensor]) -> list[str]:
    """Say how weights differ from what a network needs, grouped by the first part of their names; empty if they fit.

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
    """Return the counts of names by their first part, each with its first one as ``tell`` puts it; empty for none."""
    groups: dict[str, list[str]] = {}
    for key in keys:
        groups.setdefault(key.partition(".")[0], []).append(key)
    told = [f"{len(group)} in {name} ({tell(group[0])})" for name, group in list(groups.items())[:_LISTED]]
    return ", ".join(told) + (f", and {len(groups) - _LISTED} more groups" if len(groups) > _LISTED else "")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"
