"""ONNX files: a network as a graph that onnxruntime and others run."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import os
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from deblurkit.contracts import generator_traits
from deblurkit.errors import UserError
from deblurkit.exporting.agreement import SIZES, Agreement, compare
from deblurkit.exporting.network import Network
from deblurkit.exporting.trace import naming_what_fails, traced
from deblurkit.files import saying
from deblurkit.inference.memory import live_bytes
from deblurkit.inference.onnx_network import open_session
from deblurkit.inference.receptive_field import receptive_field
from deblurkit.weights.description import KEY
from deblurkit.weights.graph import DATA_SUFFIX, Graph, metadata, seal

if TYPE_CHECKING:
    from torch.onnx import ONNXProgram


def export_onnx(network: Network, out: Path, half: bool = False, tlc: int | None = None) -> tuple[Graph, Agreement]:
    """Writes a network as an ONNX file, and beside it ``OUT.data`` where its weights take over 2 GB.

    Args:
        network: What to export.
        out: The file, which is replaced where it exists.
        half: Compute in fp16; images go in and come out as float32 all the same.
        tlc: Take local means in place of global ones, for a network trained on crops of this many pixels: see
            :func:`deblurkit.inference.tlc.local_means`.

    Returns:
        What the file says of itself, and how near it comes to PyTorch.

    Raises:
        UserError: The extra ``onnx`` is not installed; the network uses an operation that cannot be exported; the
            result is further from PyTorch than :data:`~deblurkit.exporting.agreement.TOLERANCE`, or under
            :data:`~deblurkit.exporting.agreement.LEAST_PSNR` in fp16; or the file cannot be written.
    """
    for module in ("onnxscript", "onnxruntime"):
        if importlib.util.find_spec(module) is None:
            raise UserError(f"--to onnx needs {module}: pip install 'deblurkit[onnx]'")
    network.describe(half)  # what is wrong with its name, or with the folder, is said now, not after minutes
    with saying(f"{out}: cannot be written"):
        out.parent.stat()
    program = traced(network, half, tlc)
    with naming_what_fails(network, "ONNX"):
        exported = torch.onnx.export(program, dynamo=True, external_data=False, verbose=False)
    assert exported is not None  # it is written to a file only where one is named
    names = _output_names(network)
    for value, name in zip(exported.model.graph.outputs, names, strict=True):
        value.name = name
    shape = exported.model.graph.inputs[0].shape or ()
    exported.rename_axes({str(shape[axis]): name for axis, name in ((0, "batch"), (2, "height"), (3, "width"))})
    graph = _describe(network, names, exported.model.opset_imports[""], half, tlc)
    with saying(f"{out}: cannot be written"), tempfile.TemporaryDirectory(prefix=".", dir=out.parent) as folder:
        # Under its own name, by which it refers to the file with its weights.
        made = Path(folder, out.name)
        graph = _write(exported, graph, made)
        agreement = _check(network, made, names[0], half, tlc)
        data = made.with_name(made.name + DATA_SUFFIX)
        if data.exists():
            os.replace(data, out.with_name(data.name))
        os.replace(made, out)
    return graph, agreement


def _describe(network: Network, names: tuple[str, ...], opset: int, half: bool, tlc: int | None) -> Graph:
    traits = generator_traits(network.generator)
    reach = None if tlc is not None else receptive_field(network.generator)
    sides = [traits.size_rule.fit(side) for side in (256, 1024)]
    taken = [live_bytes(network.generator, side, side) for side in sides]
    return Graph(
        description=network.describe(half),
        outputs=names,
        opset=opset,
        size_divisor=traits.size_rule.multiple_of,
        min_size=traits.size_rule.minimum,
        pads_zeros=traits.size_rule.fill is not None,
        receptive_field="global" if reach is None else reach,
        live_bytes=None if taken[0] is None or taken[1] is None else (taken[0], taken[1]),
    )


def _write(exported: ONNXProgram, graph: Graph, file: Path) -> Graph:
    """Writes the file, sealed, and returns what it says of itself, the digest of weights beside it included."""
    exported.save(file)  # weights of over 2 GB to a file beside it
    data = file.with_name(file.name + DATA_SUFFIX)
    if data.exists():
        with open(data, "rb") as opened:
            graph = dataclasses.replace(graph, data_sha256=hashlib.file_digest(opened, "sha256").hexdigest())
    file.write_bytes(seal(file.read_bytes() + metadata(KEY, graph.to_text())))
    return graph


def _check(network: Network, file: Path, image: str, half: bool, tlc: int | None) -> Agreement:
    session = open_session(file)
    taken = session.get_inputs()[0].name

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run([image], {taken: images.numpy()})[0])

    return compare(network, run, f"onnxruntime {version('onnxruntime')}", SIZES, half, tlc)


def _output_names(network: Network) -> tuple[str, ...]:
    """Returns the names of what a generator returns, the image first."""
    side = generator_traits(network.generator).size_rule.fit(64)
    with torch.no_grad():
        outputs = network.generator(torch.zeros(1, 3, side, side))
    if isinstance(outputs, Tensor):
        return ("image",)
    return ("image", *(key for key, value in outputs.items() if key != "image" and isinstance(value, Tensor)))
