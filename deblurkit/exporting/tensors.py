"""safetensors: the weights, and in the header all that is needed to build their network again."""

from __future__ import annotations

from pathlib import Path

import torch

from deblurkit import checkpoint
from deblurkit.errors import UserError
from deblurkit.exporting.network import Network
from deblurkit.files import saying, write_atomically
from deblurkit.weights import exchange
from deblurkit.weights.description import Description, describe


def export_safetensors(network: Network, out: Path, half: bool = False) -> Description:
    """Writes a network's weights to a safetensors file, which is replaced where it exists.

    Args:
        network: What to export.
        out: The file.
        half: Round the tensors to fp16; without it each bit stays as it is.

    Returns:
        The description in the file.

    Raises:
        UserError: The file cannot be written, the name cannot be used, or a weight is too large for fp16.
    """
    tensors = dict(checkpoint.weights_of(network.state))
    floating = [key for key, value in tensors.items() if half and value.is_floating_point()]
    for key in floating:
        rounded = tensors[key].half()
        if not torch.equal(torch.isfinite(rounded), torch.isfinite(tensors[key])):
            raise UserError(f"{network.file}: {key} holds weights that are too large for fp16: leave --half out")
        tensors[key] = rounded
    content = exchange.pack(tensors, network.describe(half))
    with saying(f"{out}: cannot be written"):
        write_atomically(out, content)
    return describe(content, out)
