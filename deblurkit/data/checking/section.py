"""The ``datasets:`` section of an option file, written for sets that were found in a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

_CROP = 256
_STEP = 16  # pixels: a smaller crop is a multiple of it, as networks want
_LOADER = {"batch_size": 4, "workers": 2}
_HEAD = """# Written by deblurkit check-data. Name this file under _base_, or copy the section into an option file.
# Paths are relative to the folder that you start from. Other crops, augmentations and batch sizes may suit you better.
datasets:
"""


def datasets_section(sets: Sequence[dict[str, Any]]) -> bytes | None:
    """Returns the section as UTF-8 YAML, which ``load_options`` accepts; ``None`` where there is no set to name.

    Of several training sets the first is named, the others stand beside it as comments.

    Args:
        sets: What :func:`~deblurkit.data.checking.sets.assess` returned; those with faults are named all the same.
    """
    usable = [figures for figures in sets if figures["component"] and figures["pairs"]]
    groups = {split: [figures for figures in usable if figures["split"] == split] for split in ("train", "val", "test")}
    if not usable:
        return None
    lines = [
        f"  {'# or ' if number else ''}train: {_flow({**_for_training(figures), **_LOADER})}"
        for number, figures in enumerate(groups["train"])
    ]
    for split in ("val", "test"):
        if groups[split]:
            lines.append(f"  {split}:")
        for figures in groups[split]:
            name = figures["name"].split(", ")[0].partition(".")[2] or figures["name"]
            lines.append(f"    {name}: {_flow(figures['component'])}")
    return (_HEAD + "\n".join(lines) + "\n").encode("utf-8", "backslashreplace")


def _for_training(figures: dict[str, Any]) -> dict[str, Any]:
    component = figures["component"]
    if "crop" in component or component["type"] != "PairedImages":
        return dict(component)
    shortest = min(int(side) for size in figures["sizes"] for side in size.split(" x "))
    crop = _CROP if shortest >= _CROP else max(shortest // _STEP * _STEP, 1)
    return {**component, "crop": crop, "augment": component.get("augment", ["hflip"])}


def _flow(component: dict[str, Any]) -> str:
    """Writes one line of YAML; JSON's values are YAML's."""
    return "{" + ", ".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in component.items()) + "}"
