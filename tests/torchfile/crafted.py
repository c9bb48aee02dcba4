"""Weight files that torch would not write."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path

PROTOCOL, STOP = b"\x80\x02", b"."


def archive(path: Path, pickled: bytes, storages: Mapping[str, bytes] | None = None, method: int = 0) -> Path:
    """Write an archive such as torch's around a pickle."""
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/version", "3\n")
        for key, data in (storages or {}).items():
            file.writestr(f"archive/data/{key}", data)
    return path


def text(value: str) -> bytes:
    """The instruction that pushes a text."""
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + len(data).to_bytes(4, "little") + data


def number(value: int) -> bytes:
    """The instruction that pushes a whole number."""
    data = pickle.encode_long(value)
    return b"\x8a" + bytes([len(data)]) + data


def name(path: str) -> bytes:
    """The instruction that imports ``module.name``."""
    module, _, inner = path.rpartition(".")
    return f"c{module}\n{inner}\n".encode()


def tensor(
    size: list[int], stride: list[int], *, offset: int = 0, count: int = 4, kind: str = "torch.FloatStorage"
) -> bytes:
    """The instructions that make a tensor of the storage ``0`` of ``count`` numbers."""
    storage = b"(" + text("storage") + name(kind) + text("0") + text("cpu") + number(count) + b"tQ"
    shape = b"".join(b"(" + b"".join(map(number, lengths)) + b"t" for lengths in (size, stride))
    hooks = name("collections.OrderedDict") + b")R"
    return name("torch._utils._rebuild_tensor_v2") + b"(" + storage + number(offset) + shape + b"\x89" + hooks + b"tR"


def whole(instructions: bytes) -> bytes:
    """A pickle."""
    return PROTOCOL + instructions + STOP


def older(*pickles: bytes, tail: bytes = b"") -> bytes:
    """A file as torch wrote it before 1.6; ``pickles`` stand behind the writer's machine."""
    stream = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(value, stream, protocol=2)
    return stream.getvalue() + b"".join(pickles) + tail
