"""Times networks in PyTorch and in other runtimes, in turn and on the same images, and compares what they return."""

from __future__ import annotations

import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from deblurkit.costs import RuntimeCost
from deblurkit.data.images import read_image, to_tensor
from deblurkit.data.photographs import PHOTOGRAPHS, photograph_file
from deblurkit.device import Precision, free_device_memory
from deblurkit.errors import UserError
from deblurkit.exporting.agreement import decibels
from deblurkit.exporting.network import Labels, Network, read_network
from deblurkit.exporting.onnx_file import export_onnx
from deblurkit.exporting.runtimes import RUNTIMES, Run
from deblurkit.inference.forward import restore_whole
from deblurkit.inference.memory import live_bytes, scratch
from deblurkit.inference.onnx_network import OnnxNetwork
from deblurkit.weights import box, graph
from deblurkit.weights.description import Description

_CPU = torch.device("cpu")
_PAUSE_S = 0.02  # the threads of some runtimes go on spinning for a while after their work


@dataclass
class _Candidate:
    """One file in one runtime."""

    file: str
    network: str
    runtime: str
    precision: Precision
    run: Run
    seconds: list[float] = field(default_factory=list)
    images: list[NDArray[np.float32]] = field(default_factory=list)


class Bench:
    """Candidates of one or more networks, which are timed in turn.

    Use it as a context: graphs that it exports lie in a folder that is deleted at its end.

    Args:
        images: Of one size, each ``(1, 3, h, w)``, RGB in [0, 1].
        precisions: Of PyTorch and of what else can be asked for one; fp32 first, by which the others are judged.

    Attributes:
        notes: Which runtime cannot run which file, and why, one line each.
    """

    def __init__(self, images: Sequence[NDArray[np.float32]], precisions: Sequence[Precision] = ("fp32",)) -> None:
        self.notes: list[str] = []
        self._images = images
        self._precisions = precisions
        self._candidates: list[_Candidate] = []
        self._open = ExitStack()
        self._folder: Path

    def __enter__(self) -> Bench:
        """Makes the folder."""
        self._folder = Path(self._open.enter_context(tempfile.TemporaryDirectory()))
        return self

    def __exit__(self, *raised: object) -> None:
        """Deletes the folder."""
        self._candidates.clear()  # some runtimes keep the file open
        self._open.close()

    def add(self, weights: str, plugins: Sequence[str] = (), key: str | None = None) -> None:
        """Adds a file in all runtimes that take it; a checkpoint in PyTorch, and exported to ONNX in the others.

        Raises:
            CheckpointError: The weights cannot be read, or do not fit their generator.
            UserError: There is no such file, or an image does not fit the memory.
        """
        file = box.find(weights)
        if file.suffix.lower() == graph.SUFFIX:
            described = OnnxNetwork(file, _CPU).graph.description
            self._add_graph(weights, _identity(described), file, ("fp16",) if described.half else self._precisions)
            return
        network = read_network(weights, Labels(), tuple(plugins), key)
        height, width = self._images[0].shape[-2:]
        live = live_bytes(network.generator, height, width)
        _refuse_too_large(f"{weights}: an image", scratch(_CPU) * (live or 0), height, width)
        identity = _identity(network.describe(half=False))
        for precision in self._precisions:
            self._candidates.append(_Candidate(weights, identity, "PyTorch", precision, _in_torch(network, precision)))
        exported = self._folder / f"{len(self._candidates)}{graph.SUFFIX}"
        try:
            export_onnx(network, exported)
        except UserError as error:
            self.notes += error.problems
            return
        self._add_graph(weights, identity, exported, self._precisions)

    def measure(self, rounds: int, progress: Callable[[str, int, int], None]) -> list[RuntimeCost]:
        """Restores each image once without a clock, and then once a round by each candidate in turn.

        Returns:
            The networks in the order in which they were added, the candidates of each the fastest first.

        Raises:
            UserError: No candidate runs.
        """
        if not self._candidates:
            raise UserError(*self.notes)
        for candidate in self._candidates:
            candidate.images = [candidate.run(image) for image in self._images]
        total = rounds * len(self._images)
        for done in range(total):
            image = self._images[done % len(self._images)]
            for candidate in self._candidates:
                time.sleep(_PAUSE_S)
                start = time.perf_counter()
                candidate.run(image)
                candidate.seconds.append(time.perf_counter() - start)
            progress("timing", done + 1, total)
        costs = []
        for network in dict.fromkeys(candidate.network for candidate in self._candidates):
            of_one = [candidate for candidate in self._candidates if candidate.network == network]
            # fp32 before others, PyTorch before them all: as it was trained
            reference = min(of_one, key=lambda each: (each.runtime != "PyTorch", each.precision != "fp32"))
            costs += sorted((_cost(each, reference) for each in of_one), key=lambda cost: cost.median_s)
        return costs

    def _add_graph(self, weights: str, network: str, file: Path, precisions: Sequence[Precision]) -> None:
        for runtime in RUNTIMES:
            for precision in precisions:
                if precision not in runtime.precisions:
                    continue
                try:
                    run = runtime.start(file, precision, self._images[0])
                except UserError as error:
                    self.notes += [f"{weights}: {problem}" for problem in error.problems]
                    break
                self._candidates.append(_Candidate(weights, network, runtime.name, precision, run))


def _refuse_too_large(what: str, needed: float, height: int, width: int) -> None:
    free = free_device_memory(_CPU)
    if free is not None and needed > free:
        raise UserError(
            f"{what} of {height}x{width} would take about {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} are free: "
            "choose a smaller --size"
        )


def images_of(height: int, width: int, files: Sequence[Path] = ()) -> list[NDArray[np.float32]]:
    """Returns photographs, cut to a size or mirrored on to it, each ``(1, 3, height, width)`` in [0, 1].

    Args:
        height: In pixels.
        width: The same.
        files: Images; by default the sample set's three photographs for tests, which scikit-image ships.

    Raises:
        UserError: One cannot be read, scikit-image is not installed, or so much does not fit the memory.
    """
    images: list[NDArray[np.float32]] = []
    chosen = files or [photograph_file(photograph) for photograph in PHOTOGRAPHS if photograph.split == "test"]
    # what each runtime returns is kept too, and more than two or three at once are rare
    _refuse_too_large(f"{len(chosen)} images", 3 * len(chosen) * 12 * height * width, height, width)
    for file in chosen:
        image = read_image(file)[:height, :width]
        missing = height - image.shape[0], width - image.shape[1]
        mirrored = np.pad(image, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")
        images.append(to_tensor(mirrored)[None].numpy())
    return images


def _identity(description: Description) -> str:
    """Returns what a network has in common with its exports."""
    named = (description.recipe, description.iteration, description.averaged, description.generator)
    return json.dumps(named, sort_keys=True)


def _in_torch(network: Network, precision: Precision) -> Run:
    @torch.inference_mode()
    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        return restore_whole(network.generator, torch.from_numpy(images), precision).numpy()

    return run


def _cost(candidate: _Candidate, reference: _Candidate) -> RuntimeCost:
    psnr = math.inf
    for ours, theirs in zip(candidate.images, reference.images, strict=True):
        psnr = min(psnr, decibels(float(np.mean(np.square(ours.astype(np.float64) - theirs)))))
    ratios = [ours / theirs for ours, theirs in zip(candidate.seconds, reference.seconds, strict=True)]
    return RuntimeCost(
        file=candidate.file,
        runtime=candidate.runtime,
        precision=candidate.precision,
        median_s=statistics.median(candidate.seconds),
        least_s=min(candidate.seconds),
        ratio=statistics.median(ratios),
        psnr=None if candidate is reference else psnr,
    )
