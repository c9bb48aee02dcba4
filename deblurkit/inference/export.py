"""Networks written in the formats in which they leave deblurkit."""

from __future__ import annotations

from pathlib import Path

import torch

from deblurkit import checkpoint
from deblurkit.errors import UserError
from deblurkit.files import saying, write_atomically
from deblurkit.interop.foreign import read_weights
from deblurkit.names import folder_name
from deblurkit.weights import box, exchange
from deblurkit.weights.description import Description, describe


def export_safetensors(
    weights: str | Path,
    out: Path,
    *,
    half: bool = False,
    name: str = "",
    licence: str = "",
    data: str = "",
    plugins: tuple[str, ...] = (),
    key: str | None = None,
) -> Description:
    """Writes a checkpoint's generator, with its averaged weights where it has them, to a safetensors file.

    Args:
        weights: What :class:`~deblurkit.inference.deblurrer.Deblurrer` takes.
        out: The file; it ends in ``.safetensors``, and is replaced where it exists.
        half: Round the tensors to fp16; without it each bit stays as it is.
        name: What reports call the network; by default the experiment's name.
        licence: Of the weights; by default what the weights say themselves, if anything.
        data: What they were trained on, and under which licences; by default the same.
        plugins: What to import first, where the generator comes from a plugin.
        key: Which of several state dicts in a published file; by default the averaged one.

    Returns:
        The description in the file.

    Raises:
        CheckpointError: The weights cannot be read, or do not fit their generator.
        UserError: The file has another suffix or cannot be written, the name cannot be used, or a weight is too large
            for fp16.
    """
    if out.suffix.lower() != exchange.SUFFIX:
        raise UserError(f"{out}: expected a name that ends in {exchange.SUFFIX}, by which it is known again")
    file = box.find(weights)
    state = read_weights(file, key)
    try:
        name = folder_name(name or state["options"]["name"])
    except ValueError as error:
        raise UserError(f"name {name[:100]!a}: it {error}") from None
    checkpoint.load_generator(state, file, plugins)  # what fits no network is not passed on
    tensors = dict(checkpoint.weights_of(state))
    floating = [key for key, value in tensors.items() if half and value.is_floating_point()]
    for key in floating:
        rounded = tensors[key].half()
        if not torch.equal(torch.isfinite(rounded), torch.isfinite(tensors[key])):
            raise UserError(f"{file}: {key} holds weights that are too large for fp16: leave --half out")
        tensors[key] = rounded
    content = exchange.pack(
        tensors,
        Description(
            name=name,
            generator=state["options"]["generator"],
            recipe=state.get("recipe", state["options"]["name"]),
            iteration=state["position"]["iteration"],
            averaged=state["ema"] is not None,
            half=half,
            licence=licence or state.get("licence", ""),
            data=data or state.get("data", ""),
            trained_on=state.get("trained_on"),
            data_notes=state.get("data_notes", []),
            note=state.get("note"),
            generator_package=state.get("generator_package"),
        ),
    )
    with saying(f"{out}: cannot be written"):
        write_atomically(out, content)
    return describe(content, out)
