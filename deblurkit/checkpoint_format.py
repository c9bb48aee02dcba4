"""The structure of a checkpoint, checked whole: whoever has read one may rely on what is said here."""

from __future__ import annotations

import random
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from deblurkit import names
from deblurkit.options.document import from_plain
from deblurkit.options.problems import Origin, dotted
from deblurkit.options.schema import Paper, listed_sets
from deblurkit.options.signature import expectation, within
from deblurkit.torchfile.read import CheckpointError

FORMAT = 1

_TO_RESUME = ("critics", "losses", "optimizers", "scalers", "rng", "best", "versions")
"""Parts that a training takes up again; who only restores images needs none of them."""


def _printable(name: str) -> str:
    if not name.isprintable() or len(name) > 1000:
        raise ValueError(f"holds a name that cannot be shown: {name[:40]!a}")
    return name


def _component(component: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(component.get("type"), str):
        raise ValueError(f"names no type: {ascii(component.get('type'))[:80]}")
    return component


def _plain(options: object) -> object:
    try:
        from_plain(options, Origin(""))
    except TypeError as error:
        raise ValueError(f"these are no plain options: {error}") from None
    return options


def _no_nan(value: float) -> float:
    if value != value:
        raise ValueError("should be a number, not nan")
    return value


def _usable_random_state(state: dict[str, Any]) -> dict[str, Any]:
    """Sees that fresh generators take a state: so will the global ones."""
    try:
        version, internal, spare = state["python"]
        random.Random().setstate((version, tuple(internal), spare))
        kind, keys, *rest = state["numpy"]
        np.random.RandomState().set_state((kind, keys.numpy().astype(np.uint32), *rest))
        torch.Generator().set_state(state["torch"])
        usable = [device.dtype == torch.uint8 and device.ndim == 1 for device in state["cuda"]]
    except Exception as error:  # each of the three libraries has its own ways to complain
        lines = str(error).splitlines() or [""]
        raise ValueError(f"is no state of random numbers: {type(error).__name__}: {lines[0][:100]!a}") from None
    if not all(usable) or not (spare is None or isinstance(spare, float)):
        raise ValueError("is no state of random numbers: python or cuda holds something else")
    return state


def _buffers(state: dict[str, Any]) -> dict[str, Any]:
    for name, value in state.items():
        if not isinstance(value, Tensor) and not name.endswith("_extra_state"):  # which is a module's own affair
            raise ValueError(f"{name}: should be a tensor, not {shown(value)}")
    return state


Name = Annotated[str, AfterValidator(_printable)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Weights = dict[Name, Tensor]
Buffers = Annotated[dict[Name, Any], AfterValidator(_buffers)]
Named = dict[Name, dict[Any, Any]]
Component = Annotated[dict[str, Any], AfterValidator(_component)]


class _Part(BaseModel):
    """A part of a checkpoint; further keys, which a later version may add, are let pass."""

    model_config = ConfigDict(strict=True, arbitrary_types_allowed=True)


class _Position(_Part):
    iteration: Count
    epoch: Count = 0
    into_epoch: Count = 0
    epoch_length: Annotated[int, Field(ge=1, lt=2**53)] = 1
    epoch_of: Literal["generator"] | None = None

    @model_validator(mode="after")
    def _whole(self) -> _Position:
        if "into_epoch" in self.model_fields_set and "epoch_length" not in self.model_fields_set:
            raise ValueError("should say epoch_length beside into_epoch")
        return self


class _Best(_Part):
    psnr: Annotated[float, AfterValidator(_no_nan)]
    iteration: Count


class _NoBest(_Part):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Datasets(_Part):
    train: Annotated[list[Component], BeforeValidator(listed_sets)] = []


class _Options(_Part):
    name: Annotated[str, AfterValidator(names.folder_name)]
    generator: Component
    plugins: list[Name] = []
    paper: Paper | None = None
    losses: Named = {}
    datasets: _Datasets = _Datasets()


class _Optimizer(_Part):
    state: dict[int, dict[str, Any]]
    param_groups: list[dict[str, Any]]


class _Checkpoint(_Part):
    generator: Weights
    ema: Weights | None
    position: _Position
    options: Annotated[_Options, BeforeValidator(_plain)]
    critics: dict[Name, Weights] = {}
    losses: dict[Name, Buffers] | list[dict[Name, Buffers]] = {}
    optimizers: dict[Name, _Optimizer] = {}
    schedulers: dict[Name, Any] = {}
    scalers: Named = {}
    rng: list[Annotated[dict[str, Any], AfterValidator(_usable_random_state)]] = []
    best: _Best | _NoBest = _NoBest()
    validation_due: bool = False
    average_began: Count = 0
    validations: list[Annotated[tuple[Count, dict[Name, float]], Field(strict=False)]] = []
    trained_on: dict[Name, str | int] | None = None
    data_notes: list[str] = []
    versions: dict[str, str] = {}
    generator_package: Name | None = None


def is_checkpoint(content: object) -> bool:
    """Tells whether what was read from a file means to be a checkpoint of this version."""
    if not isinstance(content, dict) or "generator" not in content:
        return False
    found = content.get("format")
    return type(found) is int and found == FORMAT


def checked(content: dict[str, Any], where: object, *, to_resume: bool) -> dict[str, Any]:
    """Returns a checkpoint whose every part is what it should be; ``critics`` is there even where the file has none.

    ``where`` names the file. With ``to_resume`` it must have all that a training takes up.

    Raises:
        CheckpointError: A part is not; one line that names the first wrong key.
    """
    try:
        _Checkpoint.model_validate(content)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_context=False)[0]
        path, value = within(detail["loc"], content)
        if detail["type"] == "missing":
            path, text = (*path, str(detail["loc"][-1])), "missing"
        else:
            text = expectation(detail)
            if text.startswith("should be "):
                text += f", not {shown(value)}"
        place = ascii(dotted(path))[1:-1]
        raise CheckpointError(f"{where}: this checkpoint is damaged: {place}: {' '.join(text.split())}") from None
    lacking = [key for key in _TO_RESUME if key not in content] if to_resume else []
    if to_resume and "epoch" not in content["position"]:
        lacking.append("position.epoch")
    if lacking:
        raise CheckpointError(
            f"{where}: this checkpoint cannot be resumed, it lacks {', '.join(lacking)}; take its weights alone with "
            "--init-from"
        )
    return {"critics": {}, **content}


def shown(value: object) -> str:
    """Returns a value as messages show it: short, and on one line."""
    if isinstance(value, Tensor):
        return f"a tensor of {'x'.join(map(str, value.shape)) or 'no dimension'}"
    if value is None or isinstance(value, (str, bool, int, float)):
        return ascii(value)[:80]  # texts are quoted, and a line stays a line
    return f"a {type(value).__name__}"
