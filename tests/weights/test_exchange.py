"""Exported files hold every bit, and tell one that changed."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from deblurkit.errors import CheckpointError
from deblurkit.interop.foreign import read_weights
from deblurkit.weights.description import KEY, MAX_HEADER, Description
from deblurkit.weights.exchange import pack, read_state

DESCRIPTION = Description(
    name="small",
    generator={"type": "FilterBankUNet", "channels": [4, 4], "slope": 0.1},
    recipe="quickstart",
    iteration=7,
    averaged=True,
    licence="Apache-2.0",
    data="photographs, CC0",
    trained_on={"set": "SamplePairs", "version": 1},
)


def bits(weights: dict[str, Tensor]) -> dict[str, tuple[Any, ...]]:
    """Types, shapes and bytes, so that NaN is equal to itself and -0.0 is not 0.0."""
    return {name: (v.dtype, v.shape, v.contiguous().numpy().tobytes()) for name, v in weights.items()}


def every_kind() -> dict[str, Tensor]:
    torch.manual_seed(0)
    shared = torch.randn(3, 4)
    return {
        "conv.weight": torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last),
        "conv.bias": torch.tensor([float("nan"), float("-inf"), -0.0, 1e-45]),
        "one.name": shared,
        "another.name": shared,
        "view": torch.randn(6, 6)[::2, 1:4],
        "norm.num_batches_tracked": torch.tensor(3),
        "mask": torch.tensor([True, False]),
        "double": torch.randn(2, dtype=torch.float64),
        "nothing": torch.empty(0, 3),
    }


def test_every_bit_comes_back(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(pack(every_kind(), DESCRIPTION))
    state = read_weights(tmp_path / "a.safetensors")
    assert bits(state["generator"]) == bits(every_kind())
    assert bits(state["ema"]) == bits(every_kind())
    assert state["options"] == {"name": "small", "generator": DESCRIPTION.generator}
    assert state["position"] == {"iteration": 7}
    assert (state["licence"], state["data"], state["recipe"]) == ("Apache-2.0", "photographs, CC0", "quickstart")
    assert state["trained_on"] == {"set": "SamplePairs", "version": 1}


def test_the_same_weights_make_the_same_file() -> None:
    assert len({pack(every_kind(), DESCRIPTION) for _ in range(8)}) == 1


def test_half_precision_is_computed_with_in_full(tmp_path: Path) -> None:
    halves = {"fp16": torch.tensor([0.1, 2.0]).half(), "bf16": torch.tensor([0.1]).bfloat16(), "count": torch.tensor(3)}
    (tmp_path / "a.safetensors").write_bytes(pack(halves, DESCRIPTION))
    found = read_state(tmp_path / "a.safetensors")["generator"]
    assert [found[name].dtype for name in halves] == [torch.float32, torch.float32, torch.int64]
    assert torch.equal(found["fp16"], halves["fp16"].float())


def state_or_refusal(file: Path) -> dict[str, Any] | CheckpointError:
    try:
        return read_state(file)
    except CheckpointError as error:
        return error


def test_a_flipped_bit_anywhere_is_found(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    content = pack({"weight": torch.arange(4.0), "bias": torch.ones(2)}, DESCRIPTION)
    file.write_bytes(content)
    original = read_state(file)
    weights = bits(original.pop("generator")), bits(original.pop("ema"))
    refused = 0
    for place in range(len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        found = state_or_refusal(file)
        if isinstance(found, CheckpointError):
            assert len(found.problems) == 1
            assert str(found).startswith(f"{file}: ")
            assert str(found).isprintable()
            refused += 1
        else:  # such as one more name for what is not there anyway
            assert (bits(found.pop("generator")), bits(found.pop("ema"))) == weights
            assert found == original
    assert refused > 0.9 * len(content)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    content = pack({"weight": torch.arange(4.0)}, DESCRIPTION)
    for length in range(len(content)):
        file.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match="not a whole safetensors file"):
            read_state(file)


def with_header(header: str, tensors: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header.encode())) + header.encode() + tensors


def described(text: str) -> bytes:
    return with_header(json.dumps({"__metadata__": {KEY: text}}))


WRONG = {
    "a header longer than the file": (struct.pack("<Q", 2**40) + b"{}", r"its header should have 1099511627776 bytes"),
    "a header that is too long": (with_header(" " * (MAX_HEADER + 1)), "at most 8388608 are read"),
    "no JSON": (with_header("{no"), r"its header is damaged \(Expecting"),
    "no UTF-8": (struct.pack("<Q", 2) + b"\xff\xfe", "its header is damaged"),
    "deeply nested": (with_header("[" * 200_000), "its header is damaged"),
    "nested inside": (described("[" * 200_000), "its header is damaged"),
    "a list": (with_header("[]"), "its header is damaged"),
    "metadata that are no table": (with_header('{"__metadata__": 3}'), "its header is damaged"),
    "another program's": (safetensors.torch.save({"w": torch.ones(1)}), "expected one that `deblurkit export` wrote"),
    "a later version's": (described('{"format": 2}'), "described in format 2, expected 1"),
    "no table": (described("3"), "described in format None, expected 1"),
    "half a description": (described('{"format": 1, "name": "a"}'), "its description is damaged: generator: Field req"),
    "another type": (described('{"format": 1, "name": []}'), "its description is damaged: name: "),
}


@pytest.mark.parametrize("what", WRONG)
def test_other_content_is_refused_in_one_line(tmp_path: Path, what: str) -> None:
    content, message = WRONG[what]
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_state(tmp_path / "a.safetensors")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "../up"}, r"this checkpoint is damaged: options.name"),
        ({"name": "line\nbreak"}, r"this checkpoint is damaged: options.name"),
        ({"iteration": -1}, r"this checkpoint is damaged: position.iteration"),
        ({"generator": {"channels": 3}}, r"this checkpoint is damaged: options.generator: names no type"),
        ({"data": "\ud800"}, "holds a text that is no Unicode"),
        ({"generator": {"type": "NAFNet", "width": json.loads("[" * 60 + "]" * 60)}}, "nested deeper than 32 levels"),
    ],
)
def test_a_description_that_nobody_should_trust(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    """Its digest is right: whoever wrote it meant it."""
    given = {name: getattr(DESCRIPTION, name) for name in ("generator", "recipe", "iteration", "averaged", "name")}
    (tmp_path / "a.safetensors").write_bytes(pack({"w": torch.ones(1)}, Description(**{**given, **changed})))
    with pytest.raises(CheckpointError, match=message) as caught:
        read_state(tmp_path / "a.safetensors")
    assert str(caught.value).isprintable()


def test_no_file(tmp_path: Path) -> None:
    for nothing in (tmp_path, tmp_path / "none.safetensors"):
        with pytest.raises(CheckpointError, match="there is no such checkpoint"):
            read_state(nothing)
