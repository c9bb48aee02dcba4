"""Weight files of unknown origin: checkpoints of ours, published ones as if they were ours, and guesses at the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from deblurkit import checkpoint
from deblurkit.checkpoint import CheckpointError
from deblurkit.checkpoint_format import shown
from deblurkit.interop.layouts import LAYOUTS, Adopted
from deblurkit.names import folder_name_from
from deblurkit.options.schema import Options
from deblurkit.weights import exchange

_WRAPPERS = ("model", "state_dict", "params_ema", "params")
"""Keys under which a file may hold its state dict."""

_KNOWN = (
    ("DeblurGAN's or DeblurGAN-v2's discriminator", ("model.0.weight", "model.2.weight")),
    ("DeblurGAN-v2's Inception or MobileNet network", ("fpn.lateral4.weight", "head1.block0.weight")),
    ("NAFNet", ("intro.weight", "ending.weight")),
    ("VGG-19 weights", ("features.0.weight", "features.34.weight")),
    ("the ImageNet weights of MobileNetV2", ("features.0.0.weight", "features.18.0.weight")),
    ("the ImageNet weights of DenseNet", ("features.conv0.weight", "features.norm5.weight")),
    ("the ImageNet weights of Inception-ResNet-v2", ("conv2d_1a.conv.weight", "mixed_7a.branch0.0.conv.weight")),
    ("a U-Net of DeblurGAN's public code", ("model.model.0.weight",)),
)
"""Guesses at a state dict, by names that it holds."""


def read_weights(path: Path | str) -> dict[str, Any]:
    """Reads a checkpoint of ours, or an exported or published weight file as if it were one.

    For an exported file see :func:`deblurkit.weights.exchange.read_state`. A published file, in one of the known
    layouts, becomes a state of iteration 0 with ``options`` that name its generator and nothing else, and with
    two further keys: ``layout``, which network it is, and ``note``, a line that says so and what of it was left out.

    Raises:
        CheckpointError: The file cannot be read, or is neither; says what it probably is.
    """
    if Path(path).suffix.lower() == exchange.SUFFIX:
        return exchange.read_state(path)
    content = checkpoint.read(path)
    if checkpoint.is_checkpoint(content):
        return checkpoint.checked(content, path, to_resume=False)
    weights = _unwrapped(content)
    layout = next((layout for layout in LAYOUTS if layout.fits(weights)), None)
    if layout is None:
        raise CheckpointError(
            f"{path}: neither a checkpoint of deblurkit (format {checkpoint.FORMAT}) nor weights in a layout that it "
            f"knows (DeblurGAN, DeblurGAN-v2): this looks like {_guess(content, weights)}"
        )
    adopted = layout.adopt(weights)

    # A sketch without memory tells whether they fit before anything of their size is built.
    complaint = f"{path}: this looks like {adopted.layout}, but does not fit it"
    sketch = checkpoint.sketch_generator(adopted.generator, adopted.weights, complaint)
    if sketch is None:
        raise CheckpointError(f"{complaint}: no such network can be built ({adopted.generator})")
    checkpoint.refuse_differences(checkpoint.compare(sketch, adopted.weights), complaint)
    return _state(adopted, path)


def _unwrapped(content: object) -> dict[str, Tensor]:
    """Returns the tensors of a state dict, without what data-parallel training puts before their names."""
    # one after the other, as some files wrap twice: {"model": {"state_dict": ...}}
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        return {}
    weights: dict[str, Tensor] = {}
    for key, value in content.items():
        # names go into messages, so that those which a terminal would act on are passed over
        if isinstance(key, str) and key.isprintable() and isinstance(value, Tensor):
            weights[re.sub(r"^(module\.)+", "", key)] = value
    return weights


def _state(adopted: Adopted, path: Path | str) -> dict[str, Any]:
    note = f"{path}: weights of {adopted.layout}, trained elsewhere"
    if adopted.left_out:
        note += f"; left out: {', '.join(adopted.left_out)}"
    name = folder_name_from(Path(path).stem, "published")
    return {
        "format": checkpoint.FORMAT,
        "generator": adopted.weights,
        "ema": None,
        "critics": {},
        "position": {"iteration": 0},
        "options": Options(name=name, generator=adopted.generator).to_dict(),
        "layout": adopted.layout,
        "note": note,
    }


def _guess(content: object, weights: Mapping[str, Tensor]) -> str:
    """Says what a file probably is."""
    if isinstance(content, Mapping) and "format" in content and "generator" in content:
        return f"a checkpoint of another version of deblurkit (format {shown(content['format'])})"
    if isinstance(content, Mapping) and {"state", "param_groups"} <= set(content):
        return "an optimizer's state"
    for what, names in _KNOWN:
        if all(name in weights for name in names):
            return what
    if weights:
        return f"the weights of another network ({len(weights)} tensors, such as {next(iter(weights))[:80]})"
    return f"a {type(content).__name__} without weights"
