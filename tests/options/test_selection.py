"""Selections: names of outputs, seen through views."""

from __future__ import annotations

import pytest

from deblurkit.options.selection import Selection, parse_selection


@pytest.mark.parametrize(
    ("text", "name", "views"),
    [
        ("image", "image", ()),
        ("sobel(sharp)", "sharp", ("sobel",)),
        ("sobel(pyramid(image))", "image", ("pyramid", "sobel")),
        (" sobel ( sharp ) ", "sharp", ("sobel",)),
        ("a(b(c(d)))", "d", ("c", "b", "a")),
    ],
)
def test_views_come_in_order_of_application(text: str, name: str, views: tuple[str, ...]) -> None:
    assert parse_selection(text) == Selection(name, views)
    assert parse_selection(str(parse_selection(text))) == Selection(name, views)


@pytest.mark.parametrize("text", ["", "f(", "f()", "f(image", "image)", "a b", "f(a, b)", "f(a)(b)", "1a", "a.b"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_selection(text)
