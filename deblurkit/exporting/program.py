"""Programs of ``torch.export``: a network's operations and weights, for PyTorch without deblurkit."""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path

import torch

from deblurkit.contracts import generator_traits
from deblurkit.exporting.agreement import SIZES, Agreement, compare
from deblurkit.exporting.network import Network
from deblurkit.exporting.trace import traced
from deblurkit.files import saying
from deblurkit.weights.description import KEY


def export_program(network: Network, out: Path, half: bool = False, tlc: int | None = None) -> Agreement:
    """Writes a network as a program of ``torch.export``, which ``torch.export.load`` reads.

    It takes images with sides from :func:`least_side` on. Arguments and errors are those of :func:`export_onnx`.
    """
    description = network.describe(half)
    with saying(f"{out}: cannot be written"):
        out.parent.stat()  # now, not after minutes
    program = traced(network, half, tlc, smallest=False)
    module = program.module()
    sizes = [size for size in SIZES if min(size[1:]) >= least_side(network)]
    agreement = compare(network, lambda images: module(images)[0], "torch.export", sizes, half, tlc)
    with saying(f"{out}: cannot be written"), tempfile.TemporaryDirectory(prefix=".", dir=out.parent) as folder:
        made = Path(folder, out.name)
        torch.export.save(program, made, extra_files={KEY: description.to_text()})
        os.replace(made, out)
    return agreement


def least_side(network: Network) -> int:
    """Returns the least side of images for a program of ``torch.export``.

    It has more than one cell of the coarsest map, and is not padded beyond the next multiple.
    """
    rule = generator_traits(network.generator).size_rule
    return (max(2, math.ceil(rule.minimum / rule.multiple_of)) - 1) * rule.multiple_of + 1
