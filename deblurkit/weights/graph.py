"""Describes an exported ONNX file in its metadata, and seals it with a digest; needs neither torch nor onnx."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from deblurkit.errors import CheckpointError, first_line
from deblurkit.weights.description import KEY, Description

SUFFIX = ".onnx"
DATA_SUFFIX = ".data"
"""Behind the file's own name: the weights of a network that one ONNX file cannot hold."""

_DIGEST_KEY = "deblurkit_sha256"
_FORMAT = 1


@dataclass(frozen=True)
class Graph:
    """Everything about an exported graph but the graph.

    Attributes:
        description: Of the network; its ``sha256`` is empty, as the whole file has one.
        outputs: Names of what the graph returns, the image first.
        opset: Of the operators that it uses.
        size_divisor: Sides that divide by it are not padded inside the graph.
        min_size: Nor are sides from this one on.
        pads_zeros: Whether other sides are padded with zeros, not with the mirrored image.
        receptive_field: How far it looks, in pixels; ``"global"``: everywhere, or nobody knows.
        live_bytes: What PyTorch's tensors took at once for images of 256x256 and 1024x1024; ``None``: not known.
        data_sha256: Of the file beside it that holds the weights; empty where there is none.
        format: Of this text.
    """

    description: Description
    outputs: tuple[str, ...]
    opset: int
    size_divisor: int
    min_size: int
    pads_zeros: bool
    receptive_field: int | Literal["global"]
    live_bytes: tuple[int, int] | None
    data_sha256: str = ""
    format: int = _FORMAT

    def to_text(self) -> str:
        """Returns the JSON that stands in the file's metadata under :data:`~deblurkit.weights.description.KEY`."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


def parse(text: str, where: object) -> Graph:
    """Reads what :meth:`Graph.to_text` wrote.

    Raises:
        CheckpointError: It is damaged, or of another version; one line.
    """
    try:
        said = json.loads(text)
        found = said.get("format") if isinstance(said, dict) else None
        if found != _FORMAT:
            raise CheckpointError(f"{where}: described in format {ascii(found)[:40]}, expected {_FORMAT}")
        return TypeAdapter(Graph).validate_python(said)
    except (ValueError, RecursionError, ValidationError) as error:
        raise CheckpointError(f"{where}: its {KEY} entry is damaged: {ascii(first_line(error)[:200])[1:-1]}") from None


def seal(content: bytes) -> bytes:
    """Returns a serialised ONNX model with the SHA-256 digest of its bytes behind them."""
    return content + _digest_of(content)


def is_sealed(content: bytes) -> bool:
    """Tells whether the digest at the end of a file is that of the bytes before it."""
    length = len(_digest_of(b""))
    return len(content) > length and content[-length:] == _digest_of(content[:-length])


def metadata(key: str, value: str) -> bytes:
    """Returns an entry of an ONNX model's metadata, to stand behind the serialised model.

    Messages of protocol buffers may be joined; the entry is field 14 of the model, ``metadata_props``.
    """
    fields = _text(1, key) + _text(2, value)
    return bytes([14 << 3 | 2]) + _varint(len(fields)) + fields


def _digest_of(content: bytes) -> bytes:
    return metadata(_DIGEST_KEY, hashlib.sha256(content).hexdigest())


def _text(field: int, value: str) -> bytes:
    encoded = value.encode()
    return bytes([field << 3 | 2]) + _varint(len(encoded)) + encoded


def _varint(number: int) -> bytes:
    """Returns a number in groups of seven bits, the lowest first."""
    groups = []
    while number > 127:
        groups.append(number & 127 | 128)
        number >>= 7
    return bytes([*groups, number])
