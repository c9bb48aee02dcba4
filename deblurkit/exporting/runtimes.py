"""Opens exported ONNX files in the runtimes that there are, so that they can be compared."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from deblurkit.device import Precision
from deblurkit.errors import UserError, first_line
from deblurkit.inference.onnx_network import open_session

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Restores images: ``(n, 3, h, w)``, RGB in [0, 1]."""

INPUT, OUTPUT = "blurred", "image"
"""What exported graphs call the images that they take and return."""


@dataclass(frozen=True)
class Runtime:
    """A program that runs ONNX files on a CPU, with as many threads as PyTorch.

    Attributes:
        name: As its users write it.
        open: Takes a file of ``deblurkit export --to onnx`` and a precision. It raises an ``ImportError`` where the
            runtime is not installed, and anything else where it does not take the file.
        precisions: Which it takes: fp16 is that of a file, any other one that it is asked to compute in.
        extra: Of deblurkit, with which it is installed; empty: it is there.
    """

    name: str
    open: Callable[[Path, Precision], Run]
    precisions: tuple[Precision, ...]
    extra: str

    def start(self, file: Path, precision: Precision, example: NDArray[np.float32]) -> Run:
        """Opens a file, and restores an image to see whether that works.

        Raises:
            UserError: The runtime is not installed, or cannot run the file; one line.
        """
        try:
            run = self.open(file, precision)
            run(example)
        except ImportError:
            raise UserError(f"{self.name}: not installed: pip install 'deblurkit[{self.extra}]'") from None
        except UserError as error:
            raise UserError(*(f"{self.name}: {problem}" for problem in error.problems)) from None
        except Exception as error:  # whatever a runtime raises of a graph that it does not know
            raise UserError(f"{self.name}: does not run it: {first_line(error)[:200]}") from None
        return run


def _onnxruntime(file: Path, precision: Precision) -> Run:
    session = open_session(file)
    return lambda images: np.asarray(session.run([OUTPUT], {INPUT: images})[0])


def _openvino(file: Path, precision: Precision) -> Run:
    openvino = _import_openvino()
    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",  # by itself it may choose bf16
    }
    request = openvino.compile_model(file, "CPU", settings).create_infer_request()
    return lambda images: np.array(request.infer({INPUT: images})[OUTPUT])


def _import_openvino() -> ModuleType:
    """Imports OpenVINO without its telemetry, which would send statistics as soon as it is imported."""
    blocked = "openvino_telemetry" not in sys.modules
    if blocked:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # which makes its import fail
    try:
        return importlib.import_module("openvino")
    finally:
        if blocked:
            del sys.modules["openvino_telemetry"]


def _opencv(file: Path, precision: Precision) -> Run:
    network = cv2.dnn.readNetFromONNX(str(file))

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        threads = cv2.getNumThreads()
        cv2.setNumThreads(torch.get_num_threads())
        try:
            network.setInput(images, INPUT)
            return np.array(network.forward(OUTPUT))
        finally:
            cv2.setNumThreads(threads)

    return run


RUNTIMES = (
    Runtime("onnxruntime", _onnxruntime, ("fp32", "fp16"), "onnx"),
    Runtime("OpenVINO", _openvino, ("fp32", "bf16", "fp16"), "openvino"),
    Runtime("OpenCV dnn", _opencv, ("fp32", "fp16"), ""),
)
"""All that ``deblurkit bench`` compares beside PyTorch."""
