"""The description of exported weights, which stands in the header of their safetensors; read without torch."""

from __future__ import annotations

import dataclasses
import json
import struct
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from deblurkit import __version__
from deblurkit.errors import CheckpointError, first_line

KEY = "deblurkit"
"""The one key of the header's metadata: safetensors writes several in no fixed order, and files would differ."""

FORMAT = 1
MAX_HEADER = 8 << 20
"""The most bytes of a header that are read: some sixty thousand tensors."""

_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class Description:
    """Everything about exported weights but the tensors.

    Attributes:
        name: What the network is called in reports.
        generator: The generator's options, ``{type: ..., ...}``.
        recipe: The experiment that trained it, named as its option file.
        iteration: After how many iterations.
        averaged: Whether these are the averaged weights (EMA).
        half: Whether the tensors were rounded to fp16.
        licence: Of the weights; empty where nobody said.
        data: The source and licences of the training data, in words; empty where nobody said.
        trained_on: What the training set said of itself; ``None`` where it is not known.
        data_notes: What was found wrong with that set.
        note: Whose weights they are, where they were not trained by deblurkit.
        generator_package: The plugin package that the generator comes from, if any.
        deblurkit: The version that wrote the file.
        format: Of this description.
        sha256: Of all the rest here and of the tensors.
    """

    name: str
    generator: dict[str, Any]
    recipe: str
    iteration: int
    averaged: bool
    half: bool = False
    licence: str = ""
    data: str = ""
    trained_on: dict[str, str | int] | None = None
    data_notes: list[str] = field(default_factory=list)
    note: str | None = None
    generator_package: str | None = None
    deblurkit: str = __version__
    format: int = FORMAT
    sha256: str = ""

    def to_text(self) -> str:
        """Returns the JSON that stands in the header; equal descriptions have equal texts."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    def source(self, weights: object) -> dict[str, Any]:
        """Returns what reports say of the weights, which the user named so: see ``Deblurrer.source``."""
        said = {"name": self.name, "file": str(weights), "iteration": self.iteration, "ema": self.averaged}
        return said if self.note is None else {**said, "note": self.note}


def describe(content: bytes, where: object) -> Description:
    """Reads the description of a safetensors file; ``where`` names the file.

    Raises:
        CheckpointError: The header is damaged, too long, or that of another program; one line.
    """
    description = find_description(content, where)
    if description is None:
        raise undescribed(where)
    return description


def undescribed(where: object) -> CheckpointError:
    """Returns the error about a file that another program wrote."""
    expected = "expected one that `deblurkit export` wrote"
    return CheckpointError(f"{where}: these tensors do not say which network they are of: {expected}")


def find_description(content: bytes, where: object) -> Description | None:
    """Reads the description of a safetensors file; ``None`` where another program wrote it.

    Raises:
        CheckpointError: The header is damaged or too long; one line.
    """
    damaged = f"{where}: not a whole safetensors file"
    if len(content) < _LENGTH.size:
        raise CheckpointError(f"{damaged} ({len(content)} bytes)")
    # The length stands in front of the header, and would be believed by whoever takes memory for it.
    (length,) = _LENGTH.unpack_from(content)
    if length > min(MAX_HEADER, len(content) - _LENGTH.size):
        held = f"the file has {len(content)}, and at most {MAX_HEADER} are read"
        raise CheckpointError(f"{damaged}: its header should have {length} bytes, {held}")
    try:
        header = json.loads(content[_LENGTH.size : _LENGTH.size + length].decode("utf-8"))
        text = (header.get("__metadata__") or {}).get(KEY)
        said = None if text is None else json.loads(text)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{damaged}: its header is damaged ({ascii(first_line(error)[:200])[1:-1]})") from None
    if said is None:
        return None
    # The format comes first: a later one may have other keys, which would pass for damage.
    found = said.get("format") if isinstance(said, dict) else None
    if found != FORMAT:
        raise CheckpointError(f"{where}: described in format {ascii(found)[:40]}, expected {FORMAT}")
    try:
        return TypeAdapter(Description).validate_python(said)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ascii(".".join(map(str, detail["loc"])))[1:-1][:100]
        raise CheckpointError(f"{where}: its description is damaged: {place}: {detail['msg']}") from None
