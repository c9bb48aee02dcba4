"""The exchange format: a generator's tensors and its description in one safetensors file, which no code can hide in."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from deblurkit import checkpoint_format
from deblurkit.errors import CheckpointError, first_line
from deblurkit.torchfile.pickled import RefusedError
from deblurkit.torchfile.read import tensor_bytes
from deblurkit.weights.description import KEY, Description, find_description, undescribed

SUFFIX = ".safetensors"


def pack(weights: Mapping[str, Tensor], description: Description) -> bytes:
    """Returns the content of a file with these tensors, each bit as it is, and a description with their digest.

    The same tensors and description give the same bytes.
    """
    # Copies: safetensors refuses tensors that share memory, such as one weight under two names.
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}
    signed = dataclasses.replace(description, sha256=_digest(description, tensors))
    return safetensors.torch.save(tensors, {KEY: signed.to_text()})


def read_state(path: Path | str) -> dict[str, Any]:
    """Reads an exported file as if it were a checkpoint: see :func:`state_of`.

    Raises:
        CheckpointError: There is no such file, it is damaged, or its tensors are described by nobody; one line.
    """
    tensors, description = read_tensors(path)
    if description is None:
        raise undescribed(path)
    return state_of(tensors, description, path)


def read_tensors(path: Path | str) -> tuple[dict[str, Tensor], Description | None]:
    """Reads the tensors of a safetensors file, and their description; ``None`` where another program wrote them.

    Raises:
        CheckpointError: There is no such file, or it is damaged; one line.
    """
    if not os.path.isfile(path):
        raise CheckpointError(f"{path}: there is no such checkpoint")
    try:
        content = Path(path).read_bytes()  # once, so that nothing can be put in its place between check and use
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
    description = find_description(content, path)
    try:
        tensors = safetensors.torch.load(content)
    except Exception as error:  # whatever safetensors or torch say of types, shapes and places
        cause = ascii(first_line(error)[:200])[1:-1] or type(error).__name__
        raise CheckpointError(f"{path}: not a whole safetensors file ({cause})") from None
    return tensors, description


def state_of(tensors: Mapping[str, Tensor], description: Description, path: Path | str) -> dict[str, Any]:
    """Returns what an exported file holds as if it were a checkpoint, from which no training can be resumed.

    Half-precision tensors become float32. Beside a checkpoint's keys there are ``recipe``, ``licence`` and ``data``, as
    in :class:`~deblurkit.weights.description.Description`.

    Args:
        tensors: As :func:`read_tensors` returns them.
        description: The same.
        path: Names the file.

    Raises:
        CheckpointError: They are not what the description's digest is of, or it describes no checkpoint; one line.
    """
    if _digest(description, tensors) != description.sha256:
        raise CheckpointError(f"{path}: damaged: its content does not have the SHA-256 digest that it states")
    weights = {}
    for name, value in tensors.items():
        weights[name] = value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
    state: dict[str, Any] = {
        "format": checkpoint_format.FORMAT,
        "generator": weights,
        "ema": weights if description.averaged else None,
        "position": {"iteration": description.iteration},
        "options": {"name": description.name, "generator": description.generator},
        "trained_on": description.trained_on,
        "data_notes": description.data_notes,
        "generator_package": description.generator_package,
        "recipe": description.recipe,
        "licence": description.licence,
        "data": description.data,
    }
    if description.note is not None:
        state["note"] = description.note
    try:
        tensor_bytes(state)  # the texts and lists in the header are anybody's too
    except RefusedError as error:
        raise CheckpointError(f"{path}: refused, it {error}") from None
    return checkpoint_format.checked(state, path, to_resume=False)


def _digest(description: Description, tensors: Mapping[str, Tensor]) -> str:
    """Returns the SHA-256 digest of all tensors and of a description without its own ``sha256``."""
    whole = hashlib.sha256(dataclasses.replace(description, sha256="").to_text().encode())
    for name in sorted(tensors):  # a file need not hold them in any order
        value = tensors[name]
        whole.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        whole.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()
