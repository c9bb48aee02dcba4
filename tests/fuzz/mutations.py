"""Changes to bytes, texts and trees of plain values, drawn by hypothesis."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st

ODD_VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2,
    3,
    7,
    10**6,
    10**9,
    2**31,
    2**63,
    -(2**64),
    10**30,
    10**300,
    0.5,
    -0.0,
    1e-300,
    1e308,
    float("inf"),
    float("nan"),
    "",
    " ",
    "x",
    "../../pwned",
    "/pwned",
    "..",
    "con",
    "a\0b",
    "\x1b[2J",
    "a\nb",
    "é" * 200,
    "x" * 5000,
    [],
    {},
    [0],
    [[]],
    [0] * 50,
    [10**6] * 3,
    {"type": "L1Loss"},
    {"type": "NAFNet", "width": 10**6},
    {"type": "os.system", "command": "touch pwned"},
    {"": None},
]


def odd_tensors() -> list[Any]:
    """Tensors that have no place in a small network's state."""
    return [
        torch.zeros(0),
        torch.zeros(1),
        torch.zeros(3, 1, 5, 5),
        torch.full((4,), float("nan")),
        torch.full((4, 12, 3, 3), float("inf")),
        torch.zeros(1).expand(10**6, 10**6),
        torch.zeros(4, dtype=torch.bool),
        torch.zeros(4, dtype=torch.complex64),
        torch.zeros(4, 12, 3, 3, dtype=torch.int64),
        torch.zeros(4, dtype=torch.float8_e4m3fn),
        torch.eye(4).to_sparse(),
        torch.zeros(4, device="meta"),
        torch.zeros([1] * 60),
        torch.zeros(200_000),
        "a\ud800b",
        b"\xff",
        {1, 2},
    ]


@st.composite
def changed_tree(draw: st.DrawFn, tree: Any, odd: list[Any]) -> Any:
    """A tree with one to three places dropped, replaced, renamed, doubled, nested or exchanged."""
    tree = _copied(tree)
    for _ in range(draw(st.integers(1, 3))):
        tree = _change(draw, tree, odd)
    return tree


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, (list, tuple)) else value


def _change(draw: st.DrawFn, tree: Any, odd: list[Any]) -> Any:
    place, key = _place(draw, tree)
    if place is None:
        return _copied(draw(st.sampled_from(odd)))
    action = draw(st.sampled_from(["replace"] * 4 + ["drop", "rename", "nest", "exchange", "double", "deepen"]))
    if action == "replace":
        place[key] = _copied(draw(st.sampled_from(odd)))
    elif action == "drop":
        del place[key]
    elif action == "rename" and isinstance(place, dict):
        place[draw(st.sampled_from(["", "../x", "type", "a\nb", "é", 3, None, "x" * 2000]))] = place.pop(key)
    elif action == "nest":
        place[key] = draw(st.sampled_from([[place[key]], {"a": place[key]}, [place[key]] * 3]))
    elif action == "exchange":
        other, other_key = _place(draw, tree)
        place[key], other[other_key] = _copied(other[other_key]), _copied(place[key])
    elif action == "double" and isinstance(place, dict):
        place[f"{key}2"] = _copied(place[key])
    elif action == "deepen":
        for _ in range(draw(st.sampled_from([5, 100]))):
            place[key] = [place[key]]
    return tree


def _place(draw: st.DrawFn, tree: Any) -> tuple[Any, Any]:
    """Return a container somewhere in the tree, and a key of it; ``None`` where the tree is empty or a leaf."""
    above, key, value = None, None, tree
    while isinstance(value, (dict, list)) and value and (above is None or draw(st.integers(0, 3)) > 0):
        above = value
        key = draw(st.sampled_from(list(value) if isinstance(value, dict) else range(len(value))))
        value = value[key]
    return above, key


@st.composite
def changed_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes flipped, cut, put in, taken out or moved, one to three times."""
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        action = draw(st.sampled_from(["flip"] * 3 + ["cut", "insert", "remove", "zero", "repeat"]))
        length = draw(st.sampled_from([1, 2, 16, 300, 5000]))
        if action == "flip" and content:
            content = content[:place] + bytes([content[place] ^ (1 << draw(st.integers(0, 7)))]) + content[place + 1 :]
        elif action == "cut":
            content = content[:place]
        elif action == "insert":
            content = content[:place] + draw(st.binary(min_size=1, max_size=20)) + content[place:]
        elif action == "remove":
            content = content[:place] + content[place + length :]
        elif action == "zero":
            content = content[:place] + bytes(length) + content[place + length :]
        elif action == "repeat":
            content = content[:place] + content[place : place + length] * 2 + content[place + length :]
    return content
