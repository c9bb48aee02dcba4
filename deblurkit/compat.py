"""The few mends this stack needs, each applied only where the plain import fails.

* torchvision's published wheels are CUDA builds: beside a CPU build of torch their operator library does not
  load, and ``import torchvision`` raises ``RuntimeError: operator torchvision::nms does not exist``.
* basicsr 1.4.2 imports ``torchvision.transforms.functional_tensor``, which torchvision removed.

And three that save time at the start: MMEngine without what shards over GPUs and formats Python, torch without its
compiler, and Python's collector at rest.
"""

from __future__ import annotations

import gc
import importlib
import inspect
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from deblurkit.errors import UserError

INSTALL_BASICSR = "pip install --no-build-isolation 'deblurkit[basicsr]'"

_operators: Any = None  # torch.library drops definitions when the Library object is collected


def ensure_torchvision() -> None:
    """Makes ``import torchvision`` work beside a torch build that its binaries do not fit.

    Where the plain import works nothing is touched. Otherwise the two operators that its Python code refers to
    are declared (without an implementation), so models and image functions work and ``torchvision.ops`` does not.
    """
    global _operators
    if "torchvision" in sys.modules:
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        import torch

        _forget("torchvision")
        _operators = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            _operators.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        importlib.import_module("torchvision")


def _forget(package: str) -> None:
    """Drops what a failed import left half done, so that the next one begins anew."""
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        del sys.modules[name]


def import_basicsr() -> types.ModuleType:
    """Imports basicsr, giving it the module that torchvision no longer has.

    Raises:
        UserError: It is not installed.
    """
    ensure_torchvision()
    missing = "torchvision.transforms.functional_tensor"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return importlib.import_module("basicsr")
        except ModuleNotFoundError as error:
            if error.name == "basicsr":
                raise UserError(
                    "basicsr is not installed: it is the extra [basicsr], whose build needs torch to be there first: "
                    f"{INSTALL_BASICSR}"
                ) from error
            if error.name != missing:
                raise
        from torchvision.transforms.functional import rgb_to_grayscale

        module = types.ModuleType(missing)
        module.rgb_to_grayscale = rgb_to_grayscale  # type: ignore[attr-defined]
        sys.modules[missing] = module
        _forget("basicsr")
        return importlib.import_module("basicsr")


def import_mmengine(part: str = "mmengine.runner") -> None:
    """Imports a part of MMEngine, by default all that we use, without its sharding over GPUs and without yapf.

    For the first, torch imports as much as takes most of a second. Nothing here uses FSDP or ZeRO: for the import alone
    they count as not installed, a case that MMEngine provides for. yapf, which lays out a config that is written as
    Python, is imported when one is. Where somebody imported the part before, it stays so.
    """
    if part in sys.modules:
        return
    wrapper = types.ModuleType("mmengine.model.wrappers.fully_sharded_distributed")
    wrapper.MMFullyShardedDataParallel = None  # type: ignore[attr-defined]
    yapf, formatter = types.ModuleType("yapf"), types.ModuleType("yapf.yapflib.yapf_api")
    yapf.__getattr__, formatter.FormatCode = _of_yapf, _format_code  # type: ignore[method-assign, attr-defined]
    # None is an ImportError, as Python documents.
    instead: dict[str, types.ModuleType | None] = {each.__name__: each for each in (wrapper, yapf, formatter)}
    instead |= {"mmengine._strategy.fsdp": None, "torch.distributed.optim": None}
    instead = {name: module for name, module in instead.items() if name not in sys.modules}
    sys.modules.update(instead)  # type: ignore[arg-type]  # typeshed knows no None
    try:
        importlib.import_module(part)
    finally:
        for name in instead:
            del sys.modules[name]


def _of_yapf(name: str) -> Any:
    if name == "__version__":  # all that MMEngine asks for
        from importlib.metadata import version

        return version("yapf")
    raise AttributeError(name)


def _format_code(text: str, **style: Any) -> tuple[str, bool]:
    from yapf.yapflib.yapf_api import FormatCode

    formatted: tuple[str, bool] = FormatCode(text, **style)
    return formatted


@contextmanager
def optimizers_without_compiler() -> Iterator[None]:
    """Lets optimizers be made within the block without ``torch._dynamo``, whose import takes as long as torch's own.

    torch imports it to keep it from compiling the method that takes in the weights, which here nobody compiles.
    """
    import torch

    guarded = torch.optim.Optimizer.add_param_group
    torch.optim.Optimizer.add_param_group = inspect.unwrap(guarded)  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.optim.Optimizer.add_param_group = guarded  # type: ignore[method-assign]


@contextmanager
def collector_resting() -> Iterator[None]:
    """Keeps Python's garbage collector from running within the block: for what takes a second, and leaves no garbage.

    Each of its full passes goes through the half a million objects that come with torch.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
