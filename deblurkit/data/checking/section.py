"""The ``datasets:`` section of an option file, written for sets that were found in a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from deblurkit.data.checking.results import SetResult

_CROP = 256
_STEP = 16  # pixels: a smaller crop is a multiple of it, as networks want
_LOADER = {"batch_size": 4, "workers": 2}
_HEAD = """# Written by deblurkit check-data. Name this file under _base_, or copy the section into an option file.
# Paths are relative to the folder that you start from. Other crops, augmentations and batch sizes may suit you better.
datasets:
"""


def datasets_section(results: Sequence[SetResult]) -> bytes | None:
    """Returns the section as UTF-8 YAML, which ``load_options`` accepts; ``None`` where there is no set to name.

    Of several training sets the first is named, the others stand beside it as comments. Sets with faults are named all
    the same: they may be mended before the section is used.
    """
    lines: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for result in results:
        component, name, split = result.found.component, result.found.name, result.found.split
        if not component or not result.pairs:
            continue
        if split == "train":
            # Several may be alternatives, such as GoPro's two kinds of blur: which are mixed is the user's to say.
            start = "  # or train" if lines["train"] else "  train"
            lines["train"].append(f"{start}: {_flow({**_for_training(result, component), **_LOADER})}")
        else:
            # from_options joins the names of equal sets: "val.a, test.b".
            own_name = name.split(", ")[0].partition(".")[2] or name
            lines[split].append(f"    {own_name}: {_flow(component)}")
    if not any(lines.values()):
        return None
    for split in ("val", "test"):
        if lines[split]:
            lines[split].insert(0, f"  {split}:")
    text = "\n".join([*lines["train"], *lines["val"], *lines["test"]])
    return f"{_HEAD}{text}\n".encode("utf-8", "backslashreplace")


def _for_training(result: SetResult, component: dict[str, Any]) -> dict[str, Any]:
    """Adds a crop that fits every image, and a flip; batches need images of one size."""
    sizes = list(result.sizes())  # none where no pair could be read
    if "crop" in component or component["type"] != "PairedImages" or not sizes:
        return component
    shortest = min(map(min, sizes))
    crop = _CROP if shortest >= _CROP else max(shortest // _STEP * _STEP, 1)
    return {**component, "crop": crop, "augment": component.get("augment", ["hflip"])}


def _flow(component: dict[str, Any]) -> str:
    """Writes one line of YAML; JSON's values are YAML's."""
    return "{" + ", ".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in component.items()) + "}"
