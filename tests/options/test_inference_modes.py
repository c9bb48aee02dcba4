"""The grammar of inference modes."""

from __future__ import annotations

import itertools

import pytest

from deblurkit.options.inference import Inference, parse_inference

SPACES = {
    "whole": Inference(),
    "tile:512,64": Inference("tile", 512, 64),
    "tile:7,0": Inference("tile", 7),
    "grid:256": Inference("grid", 256),
}
AVERAGES = {None: {}, "tlc:256": {"tlc": 256}, "tlc:384,1.25": {"tlc": 384, "tlc_factor": 1.25}}


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("averages", AVERAGES)
@pytest.mark.parametrize("x8", [False, True])
def test_every_combination_is_read_in_any_order_and_has_one_text(space: str, averages: str | None, x8: bool) -> None:
    parts = [part for part in (averages, space, "x8" if x8 else None) if part is not None]
    made = {"space": SPACES[space].space, "size": SPACES[space].size, "overlap": SPACES[space].overlap}
    expected = Inference(**made, **AVERAGES[averages], x8=x8)
    for order in itertools.permutations(parts):
        assert parse_inference("+".join(order)) == expected
    assert parse_inference(str(expected)) == expected
    unsaid = [part for part in parts if part != "whole" or len(parts) == 1]
    assert str(expected) == "+".join(unsaid)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("tlc:256,1.5", "tlc:256"), ("tlc:256,2.0+whole", "tlc:256,2"), ("x8+tlc:8,0.125", "tlc:8,0.125+x8")],
)
def test_texts_that_say_more_than_needed(text: str, canonical: str) -> None:
    assert str(parse_inference(text)) == canonical


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is no inference mode; known, joined by \\+: whole, tile:SIZE,OVERLAP, grid:SIZE"),
        ("tiles:512,64", "'tiles:512,64' is no inference mode \\(did you mean 'tile'\\?\\)"),
        ("x4", "'x4' is no inference mode"),
        ("whole+", "'' is no inference mode"),
        ("tile:512", "'tile:512' is no inference mode: expected tile:SIZE,OVERLAP, in pixels"),
        ("tile:0,0", "expected tile:SIZE,OVERLAP, in pixels, sizes above 0"),
        ("grid:-8", "expected grid:SIZE"),
        ("tlc:256,", "expected tlc:SIZE\\[,FACTOR\\]"),
        ("tlc:256,0", "a size and a factor above 0, got 256 and 0"),
        ("tile:512,257", "tiles of 512 pixels overlap by 0 to 256, got 257: say tile:512,64"),
        ("tile:512,64+grid:256", "tile and grid exclude each other"),
        ("whole+grid:256", "whole and grid exclude each other"),
        ("x8+whole+x8", "x8 stands twice in 'x8\\+whole\\+x8'"),
        ("auto", "'auto' chooses by the memory that is free, which only photographs can be left to"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_inference(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"space": "tiles"}, "space is one of whole, tile, grid, not 'tiles'"),
        ({"space": "grid"}, "tile and grid have a size above 0"),
        ({"size": 64}, "whole has none, got whole with 64"),
        ({"space": "grid", "size": 64, "overlap": 8}, "only tiles have an overlap"),
        ({"space": "tile", "size": 64, "overlap": -1}, "overlap by 0 to 32, got -1"),
    ],
)
def test_modes_made_in_python_are_checked_too(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Inference(**arguments)
