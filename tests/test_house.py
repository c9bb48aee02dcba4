"""The package stays as easy to read as it was made: the limits of ``benchmarks/house.py``'s counts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from house import House, measure  # noqa: E402


@pytest.fixture(scope="module")
def house() -> House:
    return measure(ROOT / "deblurkit")


def test_it_is_no_denser_and_explains_itself(house: House):
    assert house.per_100(house.comprehensions) <= 3.5
    assert house.per_100(house.ternaries) <= 2.0
    assert house.per_100(house.comments) >= 3.0


def test_what_flows_has_a_type(house: House):
    assert house.bare_any / house.arguments <= 0.02
    assert house.probes <= 15


def test_what_is_counted(tmp_path: Path):
    (tmp_path / "room.py").write_text(
        '"""A room."""\n\n'
        "def outer(given: Any, other: list[Any], plain):  # why\n"
        "    return _once([x for x in other] if hasattr(given, 'x') else getattr(given, 'y', None))\n\n"
        "def _once(value):\n"
        '    value.get("key"), value["key"], value.get(0), getattr(value, "z")  # noqa: B018\n',
        encoding="utf-8",
    )
    counted = measure(tmp_path)
    assert (counted.files, counted.lines, counted.written, counted.functions) == (1, 7, 5, 2)
    assert (counted.comprehensions, counted.ternaries, counted.comments) == (1, 1, 1)
    assert (counted.private_once, counted.private_once_short) == (1, 1)
    assert (counted.arguments, counted.bare_any, counted.probes, counted.string_keys) == (4, 1, 2, 2)
