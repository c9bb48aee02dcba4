"""The machine: its devices, what they compute in, its memory and its cores.

torch is imported where it is used, so that memory and cores can be asked for without it.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from deblurkit.errors import UserError

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "tf32", "bf16", "fp16"]
"""Of networks: ``tf32`` differs from ``fp32`` on CUDA devices only, half precisions run under autocast."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_SWITCHES = threading.RLock()
_OF_FREE_CUDA = 0.8  # the rest is for the workspaces of kernels and for fragments between tensors

_ALLOCATORS_SAY = (
    "can't allocate memory",  # PyTorch on a CPU
    "not enough memory",  # the same on Windows
    "std::bad_alloc",
    "could not create a primitive",  # oneDNN, whose convolutions allocate for themselves
    "could not create a memory",
    "cudnn_status_alloc_failed",
    "cublas_status_alloc_failed",
)
_PROCESSORS = Path("/proc/cpuinfo")
_SYSTEM = Path("/proc/meminfo")
_GROUPS = Path("/proc/self/cgroup")
_CONTROL = Path("/sys/fs/cgroup")
_VERSION_2 = ("memory.max", "memory.current", "inactive_file")
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def pick_device(device: str | torch.device | None) -> torch.device:
    """Returns ``device``, which must be there; by default CUDA where there is one, else the CPU."""
    import torch

    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # each backend has its own way to be absent
        raise UserError(f"device: {str(device)!r} cannot be used: {str(error).splitlines()[0]}") from None
    return chosen


def check_precision(precision: str) -> None:
    """Raises a ``UserError`` where there is no such precision."""
    if precision not in PRECISIONS:
        raise UserError(f"precision: {precision!r} is unknown; known: {', '.join(PRECISIONS)}")


@contextlib.contextmanager
def computing_in(precision: Precision, device_type: str) -> Iterator[None]:
    """Computes in a precision while active; raises a ``ValueError`` where there is no such precision."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
    # By itself PyTorch lets convolutions use TF32: it is switched off where another precision was asked for.
    switched = tf32(precision == "tf32") if device_type == "cuda" else contextlib.nullcontext()
    with switched, autocast(precision, device_type):
        yield


def autocast(precision: Precision, device_type: str) -> AbstractContextManager[Any]:
    """Returns torch's autocast for a half precision, and for the others a context that changes nothing."""
    import torch

    halves = {"bf16": torch.bfloat16, "fp16": torch.float16}
    if precision not in halves:
        return contextlib.nullcontext()
    return torch.autocast(device_type, halves[precision])


def without_autocast(device_type: str) -> AbstractContextManager[Any]:
    """Returns a context without autocast; where it is off already, or there is none, one that changes nothing."""
    import torch

    if torch.amp.is_autocast_available(device_type) and torch.is_autocast_enabled(device_type):
        return torch.autocast(device_type, enabled=False)
    return contextlib.nullcontext()


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Lets convolutions and matrix products on CUDA devices use TF32 or not, while active.

    PyTorch's switches are the whole process's: where one thread is inside, others wait to enter.
    """
    from torch import backends

    with _SWITCHES:
        before = backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32
        try:
            switch_tf32(allowed)
            yield
        finally:
            backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32 = before


def switch_tf32(allowed: bool) -> None:
    """Lets convolutions and matrix products of this process use TF32 or not, from now on."""
    from torch import backends

    backends.cudnn.allow_tf32 = backends.cuda.matmul.allow_tf32 = allowed


def free_device_memory(device: torch.device) -> int | None:
    """Returns the bytes that may be allocated on a device; ``None`` where the system does not say."""
    import torch

    if device.type == "cpu":
        return free_memory()
    if device.type != "cuda":
        return None
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # PyTorch's, and not in use
    return int(_OF_FREE_CUDA * (torch.cuda.mem_get_info(device)[0] + kept))


def free_memory() -> int | None:
    """Returns the bytes that can still be taken, within a container's limit; ``None`` where the system does not say."""
    return min(_left(), default=None)


def _left() -> Iterator[int]:
    """Yields what is left in the system, and in this process's control group and those around it."""
    for line in _lines(_SYSTEM):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) << 10
    # Control groups of version 2, and of version 1, by what the list of groups calls them.
    versions = {"": (_CONTROL, _VERSION_2), "memory": (_CONTROL / "memory", _VERSION_1)}
    for line in _lines(_GROUPS):
        _, kinds, path = line.split(":", 2)
        if kinds in versions:
            top, names = versions[kinds]
            group = top / path.strip("/")
            for folder in (group, *group.parents):
                if folder.is_relative_to(top):
                    with contextlib.suppress(OSError, ValueError, KeyError):  # not there, or "max": without a limit
                        yield _left_in_group(folder, *names)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:  # this system has no such file
        return []


def _left_in_group(folder: Path, most: str, used: str, droppable: str) -> int:
    counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    # Pages of files that were not used lately the system can drop.
    return int((folder / most).read_text()) - int((folder / used).read_text()) + int(counts[droppable])


def peak_memory() -> int | None:
    """Returns the bytes taken at the most so far: of the GPU's allocator where there is one, else of this process.

    ``None`` where the system does not say.
    """
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform == "darwin":  # it counts bytes, Linux kibibytes
        return peak
    return peak << 10


def is_out_of_memory(error: BaseException) -> bool:
    """Tells whether an exception says that there was not enough memory, on whatever device."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _ALLOCATORS_SAY)


def processor_name() -> str:
    """Returns what the CPU calls itself; where the system does not tell, its architecture."""
    with contextlib.suppress(OSError):  # Linux alone has it, and Python's platform does not read it
        for line in _PROCESSORS.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usable_cores() -> int:
    """Returns the number of cores that the system lets this process run on, where it says, else of all there are."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only some systems have it
        return os.cpu_count() or 1
