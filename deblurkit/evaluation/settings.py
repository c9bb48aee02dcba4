"""How to score, whatever is scored."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from deblurkit.device import Precision

NamedProgress = Callable[[str, int, int], None]
"""Called with the data set's name, the number of its images done and the number of all."""


@dataclass(frozen=True)
class Settings:
    """How to score, whatever is scored.

    Attributes:
        protocol: For the test sets that name none; by default the experiment's ``val.protocol``.
        plugins: Modules or files to import first. Plugins that a checkpoint names are never imported.
        datasets: Names of test sets, all of which must be there; by default all of them, except published ones whose
            folder does not exist: the report says which those are.
        inference: By default ``val.inference``, else what each set's protocol prescribes.
        out: The report's folder.
        save_images: Also write the restored images to ``<out>/images/<data set>/<key>.png``.
        device: By default CUDA where there is one, else the CPU.
        precision: ``fp32``, ``tf32``, ``bf16`` or ``fp16``.
        backbones: Weights of the metrics' networks: network to a file, or to ``random``.
        single: Compute the metrics that can in single precision.
        keys: Which of several state dicts in a published file, ``KEY`` or, of several files, ``NAME=KEY``.
        progress: Told of each image done.
        say: Told, in lines, what became of an interrupted run, which sets are not there or keep their own protocol,
            and where the data sets come from.
    """

    protocol: str | None = None
    plugins: Sequence[str] = ()
    datasets: Sequence[str] | None = None
    inference: str | None = None
    out: str | Path | None = None
    save_images: bool = False
    device: str | torch.device | None = None
    precision: Precision = "fp32"
    backbones: Mapping[str, str] = field(default_factory=dict)
    single: bool = False
    keys: Sequence[str] = ()
    progress: NamedProgress | None = None
    say: Callable[[str], None] = logging.getLogger("deblurkit").warning
