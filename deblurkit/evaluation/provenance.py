"""Says where scores come from, on what they were computed, and what to mind."""

from __future__ import annotations

import datetime
import platform
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch

import deblurkit
from deblurkit.contracts import Dataset, dataset_traits
from deblurkit.data.checking.response import AVERAGED
from deblurkit.data.loader import FirstImages, describe
from deblurkit.data.training_sets import described_sets
from deblurkit.device import processor_name
from deblurkit.evaluation.sets import ScoredSet


def environment(device: torch.device, precision: str) -> dict[str, Any]:
    """Returns when, with which software and on which device something is computed."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
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


def weights_notes(state: Mapping[str, Any]) -> list[str]:
    """Says where weights come from, if not from here, and whether a part of their objective was not what it says."""
    found = [state["note"]] if "note" in state else []
    for name, term in state["options"].get("losses", {}).items():
        if term.get("weights") == "random":
            found.append(f"the loss {name!r} was trained with random instead of pretrained weights (weights: random)")
    return found


def set_notes(sets: Mapping[str, ScoredSet]) -> list[str]:
    """Says which data sets are scored in part, and which are not what their protocol is for."""
    found = []
    for name, test in sets.items():
        dataset, scored = test.dataset, len(test.indices)
        if isinstance(dataset, FirstImages):
            found.append(f"{name}: limited to {len(dataset)} of {len(dataset.dataset)} images")
        if scored < len(dataset):
            found.append(f"{name}: protocol {test.protocol.id} scores {scored} of {len(dataset)} images")
        for deviation in test.protocol.deviations(describe(dataset)):
            found.append(f"{name}: {deviation}")
    return found


def trained_on(state: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the training set's description of itself, ``None`` where it is not known.

    Checkpoints without ``trained_on`` name the set in their options: its name and the texts it was built from.
    """
    if state.get("trained_on") is not None:
        return dict(state["trained_on"])
    component = state["options"].get("datasets", {}).get("train")
    if not isinstance(component, dict):  # files that hold several sets have `trained_on`
        return None
    texts = {key: value for key, value in component.items() if key != "type" and isinstance(value, str)}
    return {"set": component["type"], **texts}


def data_notes(state: Mapping[str, Any] | None, sets: Mapping[str, Dataset]) -> list[str]:
    """Says what was found wrong with the data, in training and now, and where the two are not of one kind.

    Args:
        state: The checkpoint; ``None`` where nothing is known of the training.
        sets: The test sets by name, their files looked at.
    """
    found = [f"training data: {note}" for note in (state or {}).get("data_notes", [])]
    for name, dataset in sets.items():
        found += [f"{name}: {note}" for note in dataset_traits(dataset).notes]
    trained = described_sets((trained_on(state) if state is not None else None) or {})
    for name, dataset in sets.items():
        tested = describe(dataset)
        before, now = [_averaged(facts) for facts in trained], _averaged(tested)
        # Of several training sets one of the same kind is enough, and one of which nothing is known may be that.
        if now is not None and None not in before and now not in before:
            seen = " and in ".join(AVERAGED[kind] for kind in dict.fromkeys(before) if kind is not None)
            found.append(f"{name}: tested on blur averaged in {AVERAGED[now]}, but trained on blur averaged in {seen}")
        # Variants are compared within one set only; two that name a way of averaging were compared above, as measured.
        variants = [facts.get("variant") for facts in trained if facts.get("set") == tested.get("set")]
        variant = tested.get("variant")
        named = {*variants, variant}
        if variants and None not in named and variant not in variants and not named <= set(AVERAGED):
            seen = " and ".join(map(str, variants))
            found.append(f"{name}: tested on variant {variant}, but trained on variant {seen}")
    return found


def _averaged(facts: Mapping[str, Any]) -> str | None:
    """Returns what a set's blur was averaged in: as measured, else as it says itself."""
    for key in ("measured", "variant"):
        if facts.get(key) in AVERAGED:
            return str(facts[key])
    return None


def command(name: str, flags: Mapping[str, str | Sequence[str] | bool | None]) -> str:
    """Returns a command line.

    Args:
        name: Of the command of ``deblurkit``.
        flags: Values by flag: one, several, or whether it is given; what has none is left out.
    """
    words = ["deblurkit", name]
    for flag, value in flags.items():
        if value:
            words.append(flag)
        if isinstance(value, str) and value:
            words.append(value)
        elif value and value is not True:
            words += value
    return shlex.join(words)
