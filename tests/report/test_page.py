"""The page as text: complete whatever is missing, safe whatever names hold, and not too large."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from deblurkit.evaluation.comparison import compare
from deblurkit.report.model import PageContent, Paper, PublishedRow
from deblurkit.report.page.embedded import data_uri, image_tables, thumbnails
from deblurkit.report.page.facts import facts, provenance
from deblurkit.report.page.headline import blocks
from deblurkit.report.page.numbers import MINUS, between, shown
from deblurkit.report.page.page import page_html
from deblurkit.report.tables import NOTHING, p_value
from deblurkit.results import CandidateResult, DatasetResult, ImageScore, ProtocolReference, ScoreKind, SecondsPerImage

HOSTILE = "</script><script>hacked()</script>\"><img src=x onerror=hacked()>'&amp;"
VOID = {"meta", "link", "img", "input", "br", "wbr", "hr"}


class Reader(HTMLParser):
    """Collects elements and the texts of scripts, and checks that elements are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)
        elif not self.open or self.open[-1] != "style":
            self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def minimal(rows: list[ImageScore], **entry: Any) -> PageContent:
    """A content with nothing that need not be there."""
    figures = DatasetResult(ProtocolReference("gopro-float-v1", 1), "whole", len(rows), len(rows), **entry)
    candidate = CandidateResult(
        name="net",
        metrics={"psnr": ScoreKind("dB"), "lpips": ScoreKind(higher_is_better=False)},
        weights=None,
        restored=None,
        trained_on=None,
        date=None,
        environment={},
        datasets={"set": figures},
        notes=[],
        rows={"set": rows},
    )
    return PageContent("net", [candidate], compare([candidate]), {}, {}, protocol="", command="deblurkit test")


def hostile(one: PageContent) -> PageContent:
    """Return a content in which whatever comes from data would break out of markup, script or address."""
    candidate = one.candidates[0]
    rows = [dataclasses.replace(row, key=f"{number}{HOSTILE}") for number, row in enumerate(candidate.rows["small"])]
    rows[0] = dataclasses.replace(rows[0], restored_facts={HOSTILE: HOSTILE})
    named = dataclasses.replace(
        candidate,
        name=HOSTILE,
        datasets={HOSTILE: candidate.datasets["small"]},
        notes=[HOSTILE],
        environment={HOSTILE: HOSTILE},
        rows={HOSTILE: rows},
    )
    (picture,) = one.pictures["small"]
    panels = {name.replace("gentle", HOSTILE): data for name, data in picture.panels.items()}
    errors = {name.replace("gentle", HOSTILE): data for name, data in picture.errors.items()}
    picture = dataclasses.replace(picture, key=rows[0].key, title=HOSTILE, panels=panels, errors=errors)
    return PageContent(
        HOSTILE,
        [named],
        compare([named]),
        {HOSTILE: [picture]},
        {HOSTILE: {row.key: next(iter(one.thumbnails["small"].values())) for row in rows}},
        protocol=HOSTILE,
        command=HOSTILE,
        options=HOSTILE,
        paper=Paper(HOSTILE, {}, [PublishedRow(HOSTILE, HOSTILE, {HOSTILE: HOSTILE})]),
        files={HOSTILE: {rows[0].key: {"sharp": "javascript:hacked()"}}},
    )


UNSCORED = minimal([ImageScore("a", None, None, None)])
INFINITE = minimal(
    [ImageScore("a", {"psnr": 30.0}, {"psnr": math.inf}, 0.5), ImageScore("b", {"psnr": 1.0}, {"psnr": 0.5}, 0.4)],
    blurred={"psnr": 15.5},
    restored={"psnr": math.inf},
    gain={"psnr": math.inf},
    seconds_per_image=SecondsPerImage(0.45, 0.5),
)
UNKNOWN_BLURRED = minimal([ImageScore("a", None, {"lpips": 0.25}, None)], restored={"lpips": 0.25})
EMPTY = minimal([])


def test_the_page_is_one_well_formed_file_without_addresses(one_page: str, two_page: str):
    for page in map(read, (one_page, two_page)):
        for tag, attributes in page.elements:
            assert tag not in ("link", "iframe", "object", "base")
            for name in ("src", "href", "xlink:href", "srcset", "action"):
                assert re.match(r"#|data:image/", attributes.get(name) or "#"), (tag, name)
        ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids))


def test_the_policy_allows_the_pages_own_script_only(one_page: str):
    page = read(one_page)
    policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    (script,) = (text for attributes, text in page.scripts if "type" not in attributes)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in (policy or "")
    assert "default-src 'none'" in (policy or "")
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_sections_are_listed_in_the_contents(one_page: str):
    elements = read(one_page).elements
    sections = {attributes.get("id") for tag, attributes in elements if tag == "section"}
    assert {"scores", "look", "images", "distributions", "groups", "speed", "provenance", "reproduce"} <= sections
    linked = {(attributes["href"] or "")[1:] for tag, attributes in elements if tag == "a"}
    assert sections - {"mind", None} <= linked


def test_the_headline_says_blurred_restored_gain_and_published(one: PageContent, one_page: str):
    page = read(one_page)
    figures = one.candidates[0].to_json()["datasets"]["photographs"]
    for side in ("blurred", "restored"):
        assert f"{figures[side]['psnr']:.2f}" in page.text
    low, high = figures["intervals"]["gain"]["psnr"]
    assert f"[{low:+.2f}, {high:+.2f}]" in page.text.replace(MINUS, "-")
    assert "published: 30.2, the paper's own, not measured here" in page.text
    assert re.search(r"30\.2\s", page.text)
    assert not re.search(r"30\.20|0\.9300", page.text), "published figures have the decimals that they were given with"
    assert "gopro-basicsr-v1" in page.text
    assert "a demonstration of the page" in page.text
    assert one.command in page.text
    assert (one.options or "").splitlines()[1] in page.text


def test_a_comparison_says_difference_interval_and_test(two: PageContent, two_page: str):
    page = read(two_page)
    pair = two.comparison.to_json()["datasets"]["photographs"]["pairs"][0]
    assert shown(pair["difference"], "psnr", signed=True) in page.text
    assert between(pair["interval"], "psnr", signed=True) in page.text
    assert f"p = {p_value(pair['p_value'])}" in page.text
    assert pair["test"] in page.text
    assert f"gentle {MINUS} strong" in page.text


@pytest.mark.parametrize(
    "content", [UNSCORED, INFINITE, UNKNOWN_BLURRED, EMPTY], ids=["unscored", "infinite", "no_blurred", "empty"]
)
def test_whatever_is_missing_the_page_is_made(content: PageContent):
    page = read(page_html(content))
    assert "nan" not in page.text.lower().split()
    assert not any(attributes.get("id") == "look" for _, attributes in page.elements)
    compared = dataclasses.replace(content.candidates[0], name="other")
    candidates = [content.candidates[0], compared]
    read(page_html(dataclasses.replace(content, candidates=candidates, comparison=compare(candidates))))


def test_infinite_scores_are_shown_as_such():
    page = read(page_html(INFINITE))
    assert "∞" in page.text
    (table,) = (json.loads(text) for attributes, text in page.scripts if attributes.get("id") == "images-0")
    assert table["candidates"][0]["restored"]["psnr"] == ["inf", 0.5]


def test_names_from_data_start_no_markup(one: PageContent, one_page: str):
    page, before = read(page_html(hostile(one))), read(one_page)
    executed = [text for attributes, text in page.scripts if "type" not in attributes]
    assert executed == [text for attributes, text in before.scripts if "type" not in attributes]
    assert not any(attributes.get("onerror") for _, attributes in page.elements)
    assert page.text.count(HOSTILE) > 10
    (table,) = (json.loads(text) for attributes, text in page.scripts if attributes.get("id") == "images-0")
    assert all(HOSTILE in key for key in table["keys"])
    assert table["files"][0] == {"sharp": "javascript%3Ahacked%28%29"}


def test_1111_images_and_a_dozen_crops_stay_below_25_megabytes(many_page: str):
    assert len(many_page.encode()) < 25e6
    assert many_page.count("data:image/webp") >= 1111 + 12 * 7


def test_thumbnails_are_left_out_where_they_would_make_the_page_too_large(many: PageContent):
    data = next(iter(many.thumbnails["photographs"].values()))
    heavy = data + bytes(6000 - len(data))
    kept, left_out = thumbnails(
        dataclasses.replace(many, thumbnails={"a": dict.fromkeys(map(str, range(1000)), heavy)})
    )
    assert len(kept["a"]) + left_out == 1000
    assert sum(map(len, kept["a"].values())) < 6.1e6
    assert left_out > 0


def test_images_of_several_candidates_are_matched_by_key(two: PageContent):
    first, second = two.candidates
    reversed_rows = {"photographs": list(second.rows["photographs"])[::-1]}
    turned = dataclasses.replace(two, candidates=[first, dataclasses.replace(second, rows=reversed_rows)])
    assert image_tables(turned) == image_tables(two)


def test_what_all_candidates_share_is_said_once(two: PageContent):
    shared, *own = provenance(two)
    assert shared.name == ""
    assert "Environment" in shared.tables
    assert [(origin.name, list(origin.tables)) for origin in own] == [
        ("gentle", ["Restored images"]),
        ("strong", ["Restored images"]),
    ]


def test_a_date_alone_sets_no_environments_apart(two: PageContent):
    dated = [dataclasses.replace(each, environment={"python": "3"}, date=each.name) for each in two.candidates]
    shared, *own = provenance(dataclasses.replace(two, candidates=dated))
    assert shared.tables["Environment"] == [("python", "3")]
    assert [origin.tables["Restored images"][-1] for origin in own] == [
        ("evaluated", "gentle"),
        ("evaluated", "strong"),
    ]


@pytest.mark.parametrize(
    ("gain", "text", "tone"),
    [(-0.004, "0.00", ""), (0.004, "0.00", ""), (-0.006, f"{MINUS}0.01", "bad"), (0.006, "+0.01", "good")],
)
def test_a_gain_is_good_or_bad_as_it_reads(gain: float, text: str, tone: str):
    content = minimal([], blurred={"psnr": 30.0}, restored={"psnr": 30.0 + gain}, gain={"psnr": gain})
    ((row,),) = (block.rows for block in blocks(content))
    cell = row.cells[-1]
    assert (cell.text, cell.tone) == (text, tone)


def test_candidates_that_read_the_same_are_both_the_best(two: PageContent):
    entry = two.comparison.datasets["photographs"]
    close = dataclasses.replace(entry, restored={"gentle": {"psnr": 30.001}, "strong": {"psnr": 29.999}})
    compared = dataclasses.replace(two.comparison, datasets={"photographs": close})
    (block,) = blocks(dataclasses.replace(two, comparison=compared))
    assert [row.cells[0].best for row in block.rows] == [False, True, True]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.5, "0.5"),
        (0.0312, "0.031"),
        (3.14e-9, "3.1 \N{MULTIPLICATION SIGN} 10⁻⁹"),
        (1e-150, "< 10⁻⁹⁹"),
        (0.0, "< 10⁻⁹⁹"),
        (None, NOTHING),
    ],
)
def test_p_values(value: float | None, written: str):
    assert p_value(value).replace("\N{NO-BREAK SPACE}", " ") == written


def test_facts_of_nested_mappings():
    assert facts({"set": "GoPro", "crop": {"size": [1, 2], "seed": None}}) == [
        ("set", "GoPro"),
        ("crop: size", "1, 2"),
        ("crop: seed", NOTHING),
    ]


def test_only_images_become_data_uris():
    assert data_uri(b"\x89PNG\r\n").startswith("data:image/png;base64,")
    assert data_uri(b"\xff\xd8\xff").startswith("data:image/jpeg;base64,")
    with pytest.raises(ValueError, match="neither WebP nor PNG nor JPEG"):
        data_uri(b"<svg onload=hacked()>")
