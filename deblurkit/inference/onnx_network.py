"""Exported ONNX files as networks: onnxruntime computes, everything else is as for a network in PyTorch."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from deblurkit.contracts import ReceptiveField, SizePadding
from deblurkit.errors import CheckpointError, UserError, first_line
from deblurkit.weights import graph
from deblurkit.weights.description import KEY
from deblurkit.weights.graph import DATA_SUFFIX, Graph

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_SMALL, _LARGE = 256**2, 1024**2  # pixels of the images that an export takes the memory of


class OnnxNetwork(nn.Module):
    """A generator that onnxruntime computes.

    Args:
        path: A file of ``deblurkit export --to onnx``.
        device: ``cpu``, or ``cuda`` with an onnxruntime that has it.

    Attributes:
        graph: What the file says of itself.

    Shape:
        ``(n, 3, h, w)`` float32 in [0, 1] to the same, of any size.

    Raises:
        CheckpointError: There is no such file, it is damaged, or ``deblurkit export`` did not write it.
        UserError: onnxruntime is not installed, or cannot use the device.
    """

    size_padding: SizePadding

    def __init__(self, path: Path, device: torch.device) -> None:
        super().__init__()
        self._session = open_session(path, device)
        self.graph = graph.parse(self._session.get_modelmeta().custom_metadata_map.get(KEY, ""), path)
        _check_data(path, self.graph)
        self._input = self._session.get_inputs()[0].name
        # Sides that the graph would pad are padded before it, where tiles are cut as for the network itself.
        self.size_divisor = self.graph.size_divisor
        self.min_size = self.graph.min_size
        self.size_padding = "zeros" if self.graph.pads_zeros else "reflect"
        self.receptive_field: ReceptiveField = self.graph.receptive_field

    def forward(self, blurred: Tensor) -> Tensor:
        """Restores a batch."""
        (image,) = self._session.run([self.graph.outputs[0]], {self._input: blurred.cpu().numpy()})
        return torch.from_numpy(image)

    def live_bytes(self, height: int, width: int) -> int | None:
        """Returns what the network's tensors took in PyTorch, from two sizes: exact where it grows as the pixels do."""
        if self.graph.live_bytes is None:
            return None
        small, large = self.graph.live_bytes
        # a * pixels + b * pixels^2, which attention over the whole map needs
        square = max(0.0, (large / _LARGE - small / _SMALL) / (_LARGE - _SMALL))
        pixels = height * width
        return int((small / _SMALL - square * _SMALL) * pixels + square * pixels**2)


def open_session(path: Path, device: torch.device | None = None) -> InferenceSession:
    """Opens an exported file in onnxruntime, with as many threads as PyTorch uses.

    Raises:
        CheckpointError: There is no such file, it is damaged, or ``deblurkit export`` did not write it.
        UserError: onnxruntime is not installed, or cannot use the device.
    """
    try:
        import onnxruntime
    except ImportError:
        raise UserError(f"{path}: an ONNX file needs onnxruntime: pip install 'deblurkit[onnx]'") from None
    provider = _PROVIDERS.get("cpu" if device is None else device.type)
    if provider not in onnxruntime.get_available_providers():
        raise UserError(f"device: the onnxruntime that is installed cannot use {str(device)!r}")
    if not os.path.isfile(path):
        raise CheckpointError(f"{path}: there is no such checkpoint")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
    if not graph.is_sealed(content):
        expected = "expected one that `deblurkit export --to onnx` wrote"
        raise CheckpointError(f"{path}: damaged, or not written by deblurkit: {expected}")
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    settings.enable_cpu_mem_arena = False  # which would keep the most that any image has taken
    settings.log_severity_level = 3
    if path.with_name(path.name + DATA_SUFFIX).exists():
        settings.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", os.path.abspath(path.parent)
        )
    try:
        return onnxruntime.InferenceSession(content, settings, providers=[provider])
    except Exception as error:  # whatever onnxruntime says of a graph
        raise CheckpointError(f"{path}: onnxruntime does not take it: {first_line(error)[:200]}") from None


def _check_data(path: Path, described: Graph) -> None:
    if not described.data_sha256:
        return
    data = path.with_name(path.name + DATA_SUFFIX)
    with open(data, "rb") as opened:
        if hashlib.file_digest(opened, "sha256").hexdigest() != described.data_sha256:
            raise CheckpointError(f"{data}: damaged: it does not have the SHA-256 digest that {path.name} states")
