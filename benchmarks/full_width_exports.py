"""Export every generator at its paper's full width, and compare what comes out with PyTorch.

Each leaves as ONNX in fp32 and in fp16, and as safetensors, with random weights none of which is zero. onnxruntime
restores random images of five sizes (:data:`deblurkit.exporting.agreement.SIZES`), OpenCV's dnn module two of them; the
tensors that are read back are compared bit by bit. Prints a table in Markdown. Takes an hour on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from deblurkit import checkpoint
from deblurkit.engine.build import build_generator
from deblurkit.errors import UserError
from deblurkit.exporting.network import Labels, Network
from deblurkit.exporting.onnx_file import export_onnx
from deblurkit.exporting.runtimes import RUNTIMES
from deblurkit.exporting.tensors import export_safetensors
from deblurkit.inference.forward import restore_whole
from deblurkit.options.load import load_options
from deblurkit.weights import exchange

FILES = (
    *("bag", "crosshatch", "deblurgan", "deblurgan_v2", "deblurgan_v2_densenet", "deblurgan_v2_mobilenet"),
    *("dsc", "madn", "nafnet", "nafnet_w64", "quickstart", "starter", "structure_guided"),
)
"""Option files, one for each generator at each of its published widths."""

TINY = ("quickstart",)
OPENCV_SIZES = ((37, 53), (129, 96))
(OPENCV,) = (runtime for runtime in RUNTIMES if runtime.name == "OpenCV dnn")


def network_of(name: str) -> Network:
    """Build the generator of an option file, with random weights none of which is without effect."""
    options = load_options(name)
    torch.manual_seed(0)
    generator = build_generator(options).eval().requires_grad_(False)
    for weight in generator.parameters():
        if not weight.any():
            nn.init.normal_(weight, 0, 0.02)
    state = {
        "options": {"name": name, "generator": options.generator},
        "generator": generator.state_dict(),
        "ema": None,
        "position": {"iteration": 0},
    }
    return Network(Path(name), state, generator, Labels())


def in_opencv(network: Network, file: Path) -> str:
    """Return the largest difference from PyTorch, or why OpenCV does not run it."""
    largest = 0.0
    try:
        for size in OPENCV_SIZES:
            images = np.random.default_rng(0).random((1, 3, *size), np.float32)
            run = OPENCV.start(file, "fp32", images)
            expected = restore_whole(network.generator, torch.from_numpy(images)).numpy()
            largest = max(largest, float(abs(run(images) - expected).max()))
    except UserError as error:
        return f"no: {error}".replace("|", "/")
    return f"{largest:.1e}"


def row_of(name: str, folder: Path) -> list[str]:
    """Export one generator in all ways, and return its row."""
    network = network_of(name)
    millions = sum(weight.numel() for weight in network.generator.parameters()) / 1e6
    row = [name, type(network.generator).__name__, f"{millions:.2f}"]
    try:
        row.append(f"{export_onnx(network, folder / 'full.onnx')[1].largest:.1e}")
        row.append(in_opencv(network, folder / "full.onnx"))
    except UserError as error:
        row += [f"no: {error}", "-"]
    try:
        row.append(f"{export_onnx(network, folder / 'half.onnx', half=True)[1].psnr:.1f}")
    except UserError as error:
        row.append(f"no: {error}")
    export_safetensors(network, folder / "full.safetensors")
    tensors, _ = exchange.read_tensors(folder / "full.safetensors")
    ours = checkpoint.weights_of(network.state)
    equal = tensors.keys() == ours.keys() and all(torch.equal(tensors[key], ours[key]) for key in ours)
    return [*row, "equal" if equal else "DIFFERENT"]


def main() -> None:
    """Export, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=FILES, help="option files (default: all)")
    parser.add_argument("--tiny", action="store_true", help="one small network")
    arguments = parser.parse_args()
    print("| options | generator | M parameters | ONNX fp32, at most | OpenCV dnn | fp16, dB | safetensors |")
    print("| --- | --- | ---: | ---: | --- | ---: | --- |")
    for name in TINY if arguments.tiny else arguments.names:
        with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
            print(f"| {' | '.join(row_of(name, Path(folder)))} |", flush=True)


if __name__ == "__main__":
    main()
