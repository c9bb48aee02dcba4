"""Looks at this machine and installation as deblurkit sees them: one line for each thing that matters."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import shutil
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import deblurkit
from deblurkit.compat import INSTALL_BASICSR, ensure_torchvision
from deblurkit.device import free_memory, usable_cores
from deblurkit.errors import MissingSetError, UserError

State = Literal["ok", "note", "problem"]
"""``note``: something can be had that is not there; ``problem``: something will fail."""

_PACKAGES = ("torch", "torchvision", "mmengine", "numpy", "opencv-python", "pillow", "lpips", "tensorboard")
_SETS = (
    {"type": "GoPro", "split": "test", "variant": "linear"},
    {"type": "HIDE", "split": "test"},
    {"type": "RealBlur", "split": "test", "kind": "J"},
    {"type": "Kohler"},
    {"type": "Lai", "part": "real"},
    {"type": "REDS", "split": "val", "variant": "blur"},
)
_NETWORKS = {"vgg19": "perceptual losses", "alexnet": "LPIPS", "vgg16": "LPIPS (vgg) and DISTS"}
_LEAST_MEMORY, _LEAST_DISK = 2.0, 1.0  # GiB: below it, common trainings and reports fail
_GIB = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was found, and what to do about it, if anything."""

    subject: str
    name: str
    state: State
    value: str
    advice: str = ""


def examine() -> Iterator[Finding]:
    """Yields what is found, in the order of reading; imports torch, touches no network and writes nothing."""
    yield from _versions()
    yield _basicsr()
    torch = _imports("torch", "pip install torch")
    if torch.state == "problem":
        yield torch
        return  # nothing below can be asked without it
    yield _imports("torchvision", "reinstall torch and torchvision, as two versions that fit")
    yield _imports("torch.utils.tensorboard", "pip install --force-reinstall tensorboard")
    yield from _devices()
    yield from _resources()
    yield from _data()
    yield from _weights()


def _versions() -> Iterator[Finding]:
    yield Finding("version", "deblurkit", "ok", f"{deblurkit.__version__} in {Path(deblurkit.__file__).parent}")
    yield Finding("version", "python", "ok", f"{platform.python_version()} on {platform.platform()}, {sys.executable}")
    for package in _PACKAGES:
        try:
            yield Finding("version", package, "ok", importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield Finding("version", package, "problem", "missing", f"pip install {package}")


def _imports(module: str, advice: str) -> Finding:
    """Imports a module that is known to break where versions do not fit."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if module != "torch":
                ensure_torchvision()
            importlib.import_module(module)
    except Exception as error:  # whatever it is, it is what the user must know
        return Finding("version", module, "problem", f"cannot be imported: {type(error).__name__}: {error}", advice)
    return Finding("version", module, "ok", "can be imported")


def _basicsr() -> Finding:
    """Looks for the one extra that users may want."""
    try:
        return Finding("extra", "basicsr", "ok", importlib.metadata.version("basicsr"))
    except importlib.metadata.PackageNotFoundError:
        old = sys.version_info < (3, 13)
        advice = INSTALL_BASICSR if old else "needs Python 3.12 or older: its setup.py fails on newer ones"
        return Finding("extra", "basicsr", "note", "absent; it is for comparing scores and speed with basicsr", advice)


def _devices() -> Iterator[Finding]:
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    fast = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    bf16 = "bf16 fast" if fast else "bf16 works, but is emulated and slow"
    cores = f"{usable_cores()} cores, {torch.get_num_threads()} threads, {capability}; fp32; {bf16}"
    yield Finding("device", "cpu", "ok", cores)
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        modern = (card.major, card.minor) >= (8, 0)
        precisions = "fp32, tf32, bf16, fp16" if modern else "fp32, fp16; bf16 and tf32 need a newer card"
        value = f"{card.name}, {card.total_memory / _GIB:.0f} GiB, {precisions}"
        yield Finding("device", f"cuda:{index}", "ok", value)
    if not torch.cuda.is_available():
        why, advice = "a CPU build of torch", "install a CUDA build of torch, if this machine has such a card"
        if torch.version.cuda:
            why = f"torch {torch.__version__} is built for CUDA {torch.version.cuda} and sees none"
            advice = "look at `nvidia-smi`"
        yield Finding("device", "cuda", "note", f"none: {why}", advice)


def _resources() -> Iterator[Finding]:
    from deblurkit.data.sample import default_root

    free = free_memory()
    if free is None:
        yield Finding("memory", "available", "note", "the system does not say")
    else:
        advice = "close other programs; take smaller crops or tiles"
        yield _amount("memory", "available", free / _GIB, _LEAST_MEMORY, advice)
    for name, folder in (("free here", Path.cwd()), ("free for samples", default_root())):
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        advice = "make room: checkpoints and reports go here"
        yield _amount("disk", f"{name} ({there})", shutil.disk_usage(there).free / _GIB, _LEAST_DISK, advice)


def _amount(subject: str, name: str, gib: float, least: float, advice: str) -> Finding:
    if gib < least:
        return Finding(subject, name, "problem", f"{gib:.1f} GiB, {least:g} are the least", advice)
    return Finding(subject, name, "ok", f"{gib:.1f} GiB")


def _data() -> Iterator[Finding]:
    from deblurkit.data.sample import default_root
    from deblurkit.registry import DATASETS

    if default_root().is_dir():  # it gets its name only once it is whole
        yield Finding("data", "sample set", "ok", f"in {default_root()}")
    else:
        yield Finding("data", "sample set", "ok", "not made yet", "`deblurkit quickstart` makes it in seconds")
    for component in _SETS:
        name = component["type"]
        try:
            dataset = DATASETS.build(component)
            yield Finding("data", name, "ok", f"{len(dataset)} test images in {dataset.root}")
        except MissingSetError as error:
            where, _, advice = error.brief.partition("; ")
            yield Finding("data", name, "note", where, advice)
        except UserError as error:
            yield Finding("data", name, "problem", error.problems[0], " ".join(error.problems[1:]))


def _weights() -> Iterator[Finding]:
    from deblurkit.pretrained import PUBLISHED, place_in_cache

    for network, purpose in _NETWORKS.items():
        published = PUBLISHED[network]
        file = place_in_cache(published.file)
        if file.is_file():
            yield Finding("weights", published.title, "ok", str(file))
        else:
            advice = f"put {published.file} from {published.url} there, or allow `download: true` in the option file"
            yield Finding("weights", published.title, "note", f"not at {file}; they are for {purpose}", advice)
