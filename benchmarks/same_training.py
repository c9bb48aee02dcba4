"""Whether two trainings went the same way: states bit by bit, and records but for what a clock decides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from deblurkit import checkpoint

CLOCK = {"date", "time", "data_time", "eta", "memory"}
_TOLD = 5  # differences of one file that are told; one wrong random number changes every tensor


def records(work_dir: Path) -> list[dict[str, Any]]:
    """Return the lines of ``scalars.jsonl``, finished ones only."""
    file = work_dir / "scalars.jsonl"
    lines = file.read_text(encoding="utf-8").split("\n")[:-1] if file.is_file() else []
    return [json.loads(line) for line in lines]


def timeless(work_dir: Path) -> list[dict[str, Any]]:
    """Return the records without what a clock decides."""
    return [{key: value for key, value in record.items() if key not in CLOCK} for record in records(work_dir)]


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """Return where two states of plain types and tensors are not bit-identical."""
    if type(one) is not type(other):
        return [f"{place}: {type(one).__name__}, {type(other).__name__}"]
    if isinstance(one, torch.Tensor):
        same = (
            one.dtype == other.dtype and one.shape == other.shape and one.numpy().tobytes() == other.numpy().tobytes()
        )
        return [] if same else [f"{place}: tensors differ"]
    if isinstance(one, dict):
        if list(one) != list(other):
            return [f"{place}: keys {list(one)}, {list(other)}"]
        return [line for key in one for line in differences(one[key], other[key], f"{place}.{key}")]
    if isinstance(one, (list, tuple)):
        if len(one) != len(other):
            return [f"{place}: lengths {len(one)}, {len(other)}"]
        return [
            line for n, pair in enumerate(zip(one, other, strict=True)) for line in differences(*pair, f"{place}[{n}]")
        ]
    return [] if one == other else [f"{place}: {one!r}, {other!r}"]


def compare_runs(broken: Path, whole: Path) -> list[str]:
    """Return how a finished run that was interrupted differs from one that was not; empty if in nothing.

    Compared are the names of all files but TensorBoard's, which have the time in them, every checkpoint with all that
    it holds, and ``scalars.jsonl``.
    """
    found, expected = (_files(folder) for folder in (broken, whole))
    lines = [f"{name}: only in the uninterrupted run" for name in sorted(expected - found)]
    lines += [f"{name}: only in the interrupted run" for name in sorted(found - expected)]
    for name in sorted(file for file in found & expected if file.endswith(".pth")):
        states = [checkpoint.read(folder / name) for folder in (broken, whole)]
        lines += [f"{name}{line}" for line in differences(*states)[:_TOLD]]
    lines += [f"scalars.jsonl{line}" for line in differences(timeless(broken), timeless(whole))[:_TOLD]]
    pointers = [(folder / "checkpoints" / "last").read_text(encoding="utf-8") for folder in (broken, whole)]
    return lines + [f"last{line}" for line in differences(*pointers)]


def _files(folder: Path) -> set[str]:
    files = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return {file.as_posix() for file in files if file.parts[0] != "tensorboard" and not file.name.startswith(".lock")}
