"""YAML 1.2 with positions: what is read, what is refused, and where."""

from __future__ import annotations

import math
from typing import Any

import pytest

from deblurkit.options.document import Composer, follow, resolve, to_plain
from deblurkit.options.problems import Origin, Path, Problem


def read(text: str) -> tuple[Any, list[str]]:
    problems: list[Problem] = []
    node = Composer(text, Origin("o.yml", 1), problems).compose()
    return (None if node is None else to_plain(node)), [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E+2", 100.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("0o17", 15),
        ("0x1F", 31),
        ("017", 17),
        ("+12", 12),
        ("-.inf", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("yes", "yes"),
        ("off", "off"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("12:30:45", "12:30:45"),
        ("2026-11-21", "2026-11-21"),
        ("2026-11-21T08:00:00Z", "2026-11-21T08:00:00Z"),
        ("1.2.3", "1.2.3"),
        ("e5", "e5"),
    ],
)
def test_plain_scalars_follow_the_core_schema(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)
    assert read(f"key: {text}\n") == ({"key": value}, [])


def test_nan_is_read() -> None:
    assert math.isnan(resolve(".nan"))  # type: ignore[arg-type]


def test_quoted_scalars_are_text() -> None:
    assert read("a: '1e-4'\nb: \"true\"\nc: |\n  12\n") == ({"a": "1e-4", "b": "true", "c": "12\n"}, [])


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch marker']",
        "!!python/name:os.system",
        "!!str 1",
        "!!float 1e-4",
        "!own {a: 1}",
        "! 1",
        "!<tag:yaml.org,2002:int> 1",
        "[1, !!int 2]",
        "{inner: !x 1}",
    ],
)
def test_every_explicit_tag_is_refused_where_it_stands(value: str) -> None:
    _, problems = read(f"a: 1\nb: {value}\nc: 2\n")
    assert len(problems) == 1
    assert problems[0].startswith("o.yml:2: b")
    assert "tag" in problems[0]


def test_a_tagged_key_is_refused() -> None:
    assert len(read("!!str a: 1\n")[1]) == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1\nb: 2\n", 2),
        ("a: 1\n\tb: 2\n", 2),
        ("a: 1\nb: \x07\n", 2),
        ("a: b: c\n", 1),
        ("a: 1\nb: *nowhere\n", 2),
        ("a: 1\n---\nb: 1\n", 2),
        ("a: 1\nb: 'open\n", 3),
        ("a: &x [1, *x]\n", 1),
        ("a: 1\nb: &x {c: {d: *x}}\n", 2),
    ],
)
def test_what_cannot_be_read_is_reported_at_its_line(text: str, line: int) -> None:
    value, problems = read(text)
    assert value is None
    assert len(problems) == 1
    assert problems[0].startswith(f"o.yml:{line}: ")
    assert "\n" not in problems[0]


def test_a_duplicate_key_is_reported_and_reading_goes_on() -> None:
    value, problems = read("a: {x: 1}\nb: 2\na: {y: 2}\nb: 3\n")
    assert problems == [
        "o.yml:3: a: duplicate key, first on line 1",
        "o.yml:4: b: duplicate key, first on line 2",
    ]
    assert value == {"a": {"x": 1, "y": 2}, "b": 3}


@pytest.mark.parametrize("key", ["1", "true", "~", "[a]", "{a: 1}", "? [a, b]\n"])
def test_keys_are_text(key: str) -> None:
    assert len(read(f"{key}: 1\n")[1]) == 1


def test_merge_keys_are_refused() -> None:
    problems = read("a: &a {x: 1}\nb:\n  <<: *a\n")[1]
    assert len(problems) == 1
    assert problems[0].startswith("o.yml:3: b: '<<'")


def test_aliases_repeat_values() -> None:
    assert read("a: &x {y: [1, 2]}\nb: *x\n") == ({"a": {"y": [1, 2]}, "b": {"y": [1, 2]}}, [])


def test_an_alias_bomb_is_bounded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    value, problems = read("\n".join(lines))
    assert value is None
    assert len(problems) == 1
    assert "more than 10000 values" in problems[0]


def test_deep_nesting_is_bounded() -> None:
    value, problems = read("a: " + "[" * 5000 + "]" * 5000)
    assert value is None
    assert "nested deeper" in problems[0]


def test_an_integer_of_thousands_of_digits_is_no_crash() -> None:
    text = "1" * 6000
    assert read(f"a: {text}\n")[1] == []


def test_positions_are_those_of_keys() -> None:
    problems: list[Problem] = []
    root = Composer("a:\n  b:\n    - x\n    - y\n  c: 1\n", Origin("o.yml", 1), problems).compose()
    assert root is not None
    paths: list[Path] = [("a",), ("a", "b"), ("a", "b", 1), ("a", "c"), ("a", "zzz")]
    assert [follow(root, path)[-1].origin.line for path in paths] == [1, 2, 4, 5, 1]
