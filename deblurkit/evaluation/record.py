"""What a report says besides the scores: where they come from, on what they were computed, what to mind."""

from __future__ import annotations

import datetime
import hashlib
import platform
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

import deblurkit
from deblurkit.data.checking.response import AVERAGED
from deblurkit.data.loader import describe
from deblurkit.evaluation.protocols import Protocol
from deblurkit.inference.deblurrer import describe_weights


def weights_record(state: dict[str, Any], file: Path) -> dict[str, Any]:
    """Return ``file``, ``sha256``, ``iteration`` and ``ema`` of a checkpoint, and the ``note`` of foreign weights."""
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    described = describe_weights(state, file)
    return {"file": described.pop("file"), "sha256": digest.hexdigest(), **described}


def environment(device: torch.device, precision: str) -> dict[str, Any]:
    """Return when, with which software and on which device something is computed."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "deblurkit": deblurkit.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "platform": platform.platform(),
        "device": f"{device.type} ({name})",
        "threads": torch.get_num_threads(),
        "precision": precision,
    }


def notes(state: dict[str, Any], protocol: Protocol, mode: str, limits: Mapping[str, tuple[int, int]]) -> list[str]:
    """Say what a reader of the numbers must know.

    Args:
        state: The checkpoint.
        protocol: How the images were scored.
        mode: The inference mode.
        limits: Data sets of which only a part was used: how many images, of how many.
    """
    found = [state["note"]] if "note" in state else []
    found += [f"{name}: limited to {used} of {total} images" for name, (used, total) in limits.items()]
    if mode != protocol.inference:
        found.append(f"inference {mode} deviates from the protocol's own, {protocol.inference}")
    found += [
        f"the loss {name!r} was trained with random instead of pretrained weights (weights: random)"
        for name, term in state["options"]["losses"].items()
        if term.get("weights") == "random"
    ]
    return found


def trained_on(state: dict[str, Any]) -> dict[str, Any] | None:
    """Return the training set's description of itself, ``None`` where it is not known.

    Checkpoints without ``trained_on`` name the set in their options: its name and the texts it was built from.
    """
    if "trained_on" in state:
        return dict(state["trained_on"])
    component = state["options"].get("datasets", {}).get("train")
    if component is None:
        return None
    texts = {key: value for key, value in component.items() if key != "type" and isinstance(value, str)}
    return {"set": component["type"], **texts}


def data_notes(state: dict[str, Any], sets: Mapping[str, Any]) -> list[str]:
    """Say what was found wrong with the data, in training and now, and where the two are not of one kind.

    Args:
        state: The checkpoint.
        sets: The test sets by name, their files looked at.
    """
    found = [f"training data: {note}" for note in state.get("data_notes", [])]
    found += [f"{name}: {note}" for name, dataset in sets.items() for note in getattr(dataset, "notes", [])]
    trained = trained_on(state) or {}
    for name, dataset in sets.items():
        found += [f"{name}: {difference}" for difference in _differences(trained, describe(dataset))]
    return found


def _differences(trained: dict[str, Any], tested: dict[str, Any]) -> Iterator[str]:
    before, now = (_averaged(facts) for facts in (trained, tested))
    if before and now and before != now:
        yield f"tested on blur averaged in {AVERAGED[now]}, but trained on blur averaged in {AVERAGED[before]}"
    variants = [facts.get("variant") for facts in (trained, tested)]
    if tested.get("set") != trained.get("set") or None in variants or set(variants) <= set(AVERAGED):
        return
    if variants[0] != variants[1]:
        yield f"tested on variant {variants[1]}, but trained on variant {variants[0]}"


def _averaged(facts: dict[str, Any]) -> str | None:
    """Return what a set's blur was averaged in: as measured, else as it says itself."""
    return next((facts[key] for key in ("measured", "variant") if facts.get(key) in AVERAGED), None)


def command(
    weights: Path,
    protocol: Protocol,
    plugins: Sequence[str],
    datasets: Sequence[str] | None,
    precision: str,
    inference: str,
    options: Path | None = None,
) -> str:
    """Return the command line that computes the same scores, from the checkpoint alone unless ``options`` is a file."""
    words = ["python", "tools/test.py", *(["-opt", str(options)] if options is not None else [])]
    words += ["--weights", str(weights), "--protocol", protocol.id]
    for flag, values in (("--plugin", plugins), ("--dataset", datasets or ())):
        for value in values:
            words += [flag, value]
    return shlex.join([*words, "--precision", precision, "--inference", inference])
