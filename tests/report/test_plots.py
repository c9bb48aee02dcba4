"""Plots are SVG elements in the page's colours that say what they show."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from deblurkit.report.plots import ERROR_LEVELS, SERIES, Plot, error_colours, histogram, intervals, parts, scatter

RNG = np.random.default_rng(0)
BLURRED = RNG.normal(26, 2, 1111).tolist()
GAINS = {"a": RNG.normal(1, 0.5, 1111).tolist(), "b": RNG.normal(0.2, 0.3, 1111).tolist()}
HOSTILE = '</svg><script>alert(1)</script>" $x_1$'

PLOTS = {
    "histogram": histogram("Gain", "gain, dB", GAINS),
    "scatter": scatter("Gain against blur", ("psnr, dB", "gain, dB"), BLURRED, GAINS),
    "intervals": intervals("Differences", "dB", {"a - b": (0.8, (0.7, 0.9)), "b - c": (0.1, None)}),
    "parts": parts("Seconds", {"gopro": {"decode": 1.5, "network": 20.0}, "hide": {"network": 3.0}}),
}


def texts(plot: Plot) -> list[str]:
    return [element.text or "" for element in ET.fromstring(plot.svg).iter() if element.tag.endswith("text")]


@pytest.mark.parametrize("plot", PLOTS.values(), ids=PLOTS)
def test_a_plot_is_one_element_that_takes_its_colours_from_the_page(plot: Plot):
    root = ET.fromstring(plot.svg)
    assert root.tag.endswith("svg")
    assert "viewBox" in root.attrib
    assert not {"width", "height"} & set(root.attrib)
    assert not re.findall(r"#[0-9a-f]{6}\b(?!\w)", re.sub(r'(href="#|url\(#)\w+', "", plot.svg))
    assert "var(--ink-2)" in plot.svg
    assert "<style" not in plot.svg
    assert not any(element.tag.endswith(("image", "metadata", "script")) for element in root.iter())


def test_the_same_plot_is_the_same_text_and_others_share_no_ids():
    assert histogram("Gain", "gain, dB", GAINS) == PLOTS["histogram"]
    ids = [set(re.findall(r'id="([^"]+)"', plot.svg)) for plot in PLOTS.values()]
    assert sum(map(len, ids)) == len(set.union(*ids))


def test_a_scatter_has_a_dot_for_every_image_and_stays_short():
    plot = PLOTS["scatter"]
    for series in ("series-0", "series-1"):
        paths = re.findall(rf'<path d="([^"]*)"[^>]*stroke: var\(--{series}\)', plot.svg)
        assert sum(path.count("M") for path in paths) == 1111
    assert len(plot.svg) < 120_000
    assert "1111 images" in plot.description


def test_numbers_of_axes_are_not_cut():
    shown = texts(histogram("t", "seconds", {"a": [0.0651, 0.0699, 0.0723, 0.0748, 0.0801]}))
    ticks = [text for text in shown if re.fullmatch(r"0\.0\d+", text)]
    assert len(ticks) == len(set(ticks)) > 2


def test_what_is_infinite_is_left_out_and_said():
    plot = histogram("t", "gain, dB", {"a": [1.0, 2.0, math.inf], "b": [-math.inf]})
    assert "2 infinite values are left out" in plot.description
    assert "a: median 1.5, from 1 to 2" in plot.description
    dots = scatter("t", ("x", "y"), [1.0, math.inf, 3.0], {"a": [1.0, 2.0, math.nan]})
    assert "1 images" in dots.description


@pytest.mark.parametrize("series", [{}, {"a": []}, {"a": [3.0]}, {"a": [2.0, 2.0]}], ids=str)
def test_a_histogram_of_few_values(series: dict[str, list[float]]):
    assert ET.fromstring(histogram("t", "x", series).svg) is not None


def test_names_are_texts_not_markup_and_no_formulas():
    plot = intervals("t", "dB", {HOSTILE: (1.0, None)})
    assert any("</svg>" in text for text in texts(plot))
    assert "<script" not in plot.svg
    assert any("$x" in text for text in texts(parts("t", {"$x_1$": {"decode": 1.0}})))


def test_legends_name_colours_that_the_page_has():
    names = [f"candidate {number}" for number in range(SERIES + 2)]
    legend = histogram("t", "x", {"blurred": [1.0], **{name: [2.0] for name in names}}, blurred="blurred").legend
    assert legend[0] == ("blurred", "blurred")
    assert [variable for variable, _ in legend[1:]] == [f"series-{number % SERIES}" for number in range(SERIES + 2)]


def test_error_colours_get_lighter_with_the_error():
    colours = error_colours()
    assert colours.shape == (256, 3)
    assert colours.dtype == np.uint8
    luma = colours @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(luma) > -0.5).all()
    assert luma[0] < 10
    assert luma[-1] > 200
    assert 0 < ERROR_LEVELS < 256
