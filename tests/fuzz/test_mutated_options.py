"""Two thousand damaged and malicious option files: each is read or refused in words."""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import Tally, fuzz, untouched
from mutations import ODD_VALUES, changed_tree

from deblurkit import checkpoint
from deblurkit.bounded import Bounds, bounded
from deblurkit.options.load import load_options
from deblurkit.plugins import load_plugins

OPTIONS = Path(__file__).parents[2] / "options"
FILES = sorted(file.relative_to(OPTIONS) for file in OPTIONS.rglob("*.yml") if file.parent.name != "_base_")
CASES = int(os.environ.get("DEBLURKIT_CASES", "1000"))  # of each of the two kinds
BUILT = Bounds(weights=20_000_000, parts=10_000)

YAML = [
    *(
        ": ",
        "- ",
        "\n",
        "  ",
        "\t",
        "#",
        "'",
        '"',
        "[",
        "]",
        "{",
        "}",
        ",",
        "|",
        ">",
        "%",
        "@",
        "`",
        "\0",
        "\x85",
        "\ufeff",
    ),
    *(
        "&a ",
        "*a",
        "<<: *a",
        "!!python/object/apply:os.system [touch pwned]",
        "!x",
        "---\n",
        "...\n",
        "? ",
        "~",
        "null",
    ),
    *(
        "1" * 400,
        "1e999",
        "-.inf",
        ".nan",
        "0x" + "f" * 500,
        "0o777",
        "10000000000",
        "1_000",
        "true",
        "yes",
        "2026-01-01",
    ),
    *("[" * 200, "{a: " * 200, "[" * 10_000, "../../pwned", "_base_: ../deblurgan.yml", "_base_: [x]", "é" * 300),
    *(
        "type: os.system",
        "plugins: [nowhere]",
        "plugins: [/nowhere.py]",
        "engine: {work_dir: /pwned}",
        "name: ../pwned",
    ),
]
BOMBS = [
    "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    ),
    "name: x\ngenerator: " + "[" * 10_000 + "]" * 10_000,
    "name: x\ngenerator: " + "{a: " * 10_000 + "}" * 10_000,
    "name: x\n" + "a" * 1_000_000 + ": 1\n",
    "name: x\ngenerator: {type: NAFNet, width: " + "9" * 1_000_000 + "}\n",
    "name: x\n" + "".join(f"k{number}: {number}\n" for number in range(20_000)),
    "? " * 5_000,
    "- " * 5_000,
    "&a " * 5_000,
]


class Room:
    """A copy of the option files, in which nothing may change but the case.

    Attributes:
        tally: What became of all.
        built: The same of the generators that were built.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tally, self.built = Tally(), Tally()

    def attempt(self, file: Path, content: bytes) -> None:
        """Read an option file beside the one that it was made of, and build its generator."""
        case = self.root / "options" / file.parent / "case.yml"
        case.write_bytes(content)
        with untouched(self.root):
            options = self.tally.attempt(lambda: load_options(case))
            if options is not None:
                self.built.attempt(lambda: self._build(options))
        case.unlink()

    def _build(self, options: Any) -> None:
        load_plugins(options.plugins)
        with bounded(BUILT):
            checkpoint.build_generator(options)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """Where the cases lie: the current directory and the home folder."""
    root = tmp_path_factory.mktemp("fuzz")
    shutil.copytree(OPTIONS, root / "options")
    (root / "home").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("HOME", str(root / "home"))
        made = Room(root)
        yield made
        print(f"\noption files: {made.tally}\ngenerators: {made.built}")


FUZZ = fuzz(CASES)


@st.composite
def changed_texts(draw: st.DrawFn) -> tuple[Path, bytes]:
    """An option file with one to four places changed."""
    file = draw(st.sampled_from(FILES))
    text = (OPTIONS / file).read_text(encoding="utf-8")
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(text)))
        action = draw(
            st.sampled_from(["insert", "insert", "cut", "remove", "line", "indent", "value", "value", "value"])
        )
        lines = text.split("\n")
        line = draw(st.integers(0, len(lines) - 1))
        if action == "insert":
            text = text[:place] + draw(st.sampled_from(YAML)) + text[place:]
        elif action == "cut":
            text = text[:place]
        elif action == "remove":
            text = text[:place] + text[place + draw(st.integers(1, 40)) :]
        elif action == "line":
            lines.insert(draw(st.integers(0, len(lines))), lines[line])
            text = "\n".join(lines)
        elif action == "indent":
            lines[line] = draw(st.sampled_from(["  ", "\t", "- "])) + lines[line]
            text = "\n".join(lines)
        elif ":" in lines[line]:
            lines[line] = f"{lines[line].partition(':')[0]}: {draw(st.sampled_from(YAML))}"
            text = "\n".join(lines)
    content = text.encode("utf-8", "surrogatepass")
    return file, content + draw(st.sampled_from([b"", b"", b"", b"\xff", b"\xed\xa0\x80"]))


@functools.cache
def _expanded(file: Path) -> dict[str, Any]:
    return load_options(OPTIONS / file).to_dict()


@st.composite
def changed_options(draw: st.DrawFn) -> tuple[Path, bytes]:
    """Whole options, changed as a tree; JSON is YAML."""
    file = draw(st.sampled_from(FILES))
    tree = draw(changed_tree(_expanded(file), ODD_VALUES))
    return file, json.dumps(tree).encode()


@pytest.mark.slow
@FUZZ
@given(case=changed_texts())
def test_changed_texts(room: Room, case: tuple[Path, bytes]) -> None:
    room.attempt(*case)


@pytest.mark.slow
@FUZZ
@given(case=changed_options())
def test_changed_options(room: Room, case: tuple[Path, bytes]) -> None:
    room.attempt(*case)


@pytest.mark.parametrize("text", BOMBS, ids=range(len(BOMBS)))
def test_bombs(room: Room, text: str) -> None:
    before = room.tally.accepted
    room.attempt(FILES[0], text.encode())
    assert room.tally.accepted == before
