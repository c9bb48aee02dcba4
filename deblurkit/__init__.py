"""deblurkit: build, train, compare and use image-deblurring GANs.

The public names load on first use, so that importing the package imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deblurkit.checkpoint import build_generator as build_generator
    from deblurkit.engine.train import train as train
    from deblurkit.evaluation.evaluate import evaluate as evaluate
    from deblurkit.inference.deblurrer import Deblurrer as Deblurrer
    from deblurkit.options.load import load_options as load_options

__version__ = "0.1.0"

_PUBLIC = {
    "load_options": "deblurkit.options.load",
    "build_generator": "deblurkit.checkpoint",
    "train": "deblurkit.engine.train",
    "evaluate": "deblurkit.evaluation.evaluate",
    "Deblurrer": "deblurkit.inference.deblurrer",
}
__all__ = ["Deblurrer", "__version__", "build_generator", "evaluate", "load_options", "train"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        from deblurkit.compat import collector_resting

        with collector_resting():
            return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'deblurkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
