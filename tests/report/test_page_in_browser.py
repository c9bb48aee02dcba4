"""The page in headless Chromium, opened from disk: what readers do with mouse, wheel, keyboard and a phone.

Without a browser these tests are skipped, unless the environment says ``DEBLURKIT_NEED_BROWSER=1``.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from report_page import READY, browser_file
from test_page import HOSTILE, INFINITE, UNSCORED, hostile

from deblurkit.data.images import encode_image
from deblurkit.report.inside.page import Figure, InsidePage, inside_html
from deblurkit.report.model import PageContent
from deblurkit.report.page.page import page_html

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    Open = Callable[..., Page]

TEXT_CONTRAST = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const over = ([r, g, b, a = 1], back) => [r, g, b].map((value, place) => value * a + back[place] * (1 - a));
  const ground = (element) => {
    if (!element) return [255, 255, 255];
    const own = parse(getComputedStyle(element).backgroundColor);
    return (own[3] ?? 1) === 1 ? own : over(own, ground(element.parentElement));
  };
  const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const shown = (element) =>
    [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()) &&
    element.getClientRects().length && !element.closest("script, option, .unseen, .stage, button:disabled");
  return [...document.body.querySelectorAll("*")].filter(shown).map((element) => {
    const { fill, color } = getComputedStyle(element);
    const back = ground(element);
    const front = over(parse(element.namespaceURI.endsWith("svg") ? fill : color), back);
    const [low, high] = [light(front), light(back)].sort((one, other) => one - other);
    return [(high + 0.05) / (low + 0.05), element.tagName, element.textContent.slice(0, 30)];
  });
}"""
FOCUS = """() => {
  const focused = document.activeElement;
  const outline = getComputedStyle(focused).outlineStyle;
  const shadow = getComputedStyle(focused.firstElementChild ?? focused).boxShadow;
  return [focused.id || focused.tagName, outline !== "none" || shadow !== "none"];
}"""
UNNAMED = """() => [...document.querySelectorAll("button, select, input, nav, section[id], [role]:not([role=status])")]
  .filter((one) => !(one.tagName === "BUTTON" && one.textContent.trim()) && !one.labels?.length && !one.ariaLabel)
  .filter((one) => !document.getElementById(one.getAttribute("aria-labelledby")))
  .map((one) => one.outerHTML.slice(0, 80))"""
LOW_CONTROLS = """() => [...document.querySelectorAll("button, select, input, nav a")]
  .filter((one) => one.offsetParent && !one.closest("table") && one.getBoundingClientRect().height < 36)
  .map((one) => one.outerHTML.slice(0, 80))"""

LETTERS = """() => Math.min(...[...document.querySelectorAll(".plot text")].map((text) => {
  const { a, b } = text.getScreenCTM();
  return Math.hypot(a, b) * parseFloat(getComputedStyle(text).fontSize);
}))"""
CUT_OFF = """() => [...document.querySelectorAll(".scroller")]
  .filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.ariaLabel)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    needed = os.environ.get("DEBLURKIT_NEED_BROWSER") == "1"
    file = browser_file()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        file = None
    if file is None:
        reason = "needs the package playwright and Chromium (on the PATH, or named by DEBLURKIT_CHROMIUM)"
        pytest.fail(reason) if needed else pytest.skip(reason)
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=file, args=["--no-sandbox"] if root else [])
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Write a page and open it; when the test ends, nothing may have been asked for, or complained about."""
    asked: list[str] = []
    said: list[str] = []
    contexts = []

    def opened(text: str, ready: bool = True, **settings: Any) -> Page:
        file = tmp_path / "räport.html"
        file.write_text(text, encoding="utf-8")
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
        contexts.append(context)
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(file.as_uri())
        if ready:
            page.wait_for_function(f"() => {READY} > 0")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [url for url in asked if not re.match(r"file://.*r%C3%A4port\.html$|data:image/", url)] == []
    assert said == []


def split(page: Page) -> int:
    return int(page.get_attribute("#divider", "aria-valuenow") or -1)


def percent(page: Page) -> int:
    return int(page.inner_text("#zoom").split()[0])


def column(page: Page, number: int) -> list[str]:
    return page.locator(f"#rows tr > :nth-child({number})").all_inner_texts()


def numbers(texts: list[str]) -> list[float]:
    return [float(text.replace("\N{MINUS SIGN}", "-")) for text in texts]


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=4)
    page.mouse.up()


def box(page: Page, selector: str) -> dict[str, float]:
    page.locator(selector).scroll_into_view_if_needed()
    found = page.locator(selector).bounding_box()
    assert found is not None
    return dict(found)


def test_the_slider_follows_the_mouse(open_page: Open, one_page: str):
    page = open_page(one_page)
    stage = box(page, "#stage")
    middle = stage["y"] + stage["height"] / 2
    drag(page, (stage["x"] + stage["width"] / 2, middle), (stage["x"] + 0.9 * stage["width"], middle))
    assert split(page) == pytest.approx(90, abs=1)
    left = page.locator("#stage").screenshot()
    drag(page, (stage["x"] + 0.9 * stage["width"], middle), (stage["x"] - 50, middle))
    assert split(page) == 0
    assert page.locator("#stage").screenshot() != left
    assert page.evaluate("getComputedStyle(document.getElementById('side-left')).clipPath") == "inset(0px 100% 0px 0px)"


def test_the_slider_follows_the_keyboard(open_page: Open, one_page: str):
    page = open_page(one_page)
    page.focus("#divider")
    seen = []
    for key in ("ArrowRight", "ArrowLeft", "ArrowLeft", "PageUp", "Home", "End"):
        page.keyboard.press(key)
        seen.append(split(page))
    assert seen == [52, 50, 48, 58, 0, 100]
    assert page.get_attribute("#divider", "aria-valuetext") == "100 % blurred, the rest restored"


def test_both_sides_are_zoomed_and_moved_together(open_page: Open, one_page: str):
    page = open_page(one_page)
    stage = box(page, "#stage")
    transforms = "[...document.querySelectorAll('.stage img')].map((image) => image.style.transform)"
    fitting = percent(page)
    assert fitting == 200, "small pictures are drawn twice as large, and no larger"
    page.mouse.move(stage["x"] + 100, stage["y"] + 100)
    page.mouse.wheel(0, -120)
    assert percent(page) == fitting, "the wheel belongs to the page until the picture is clicked"
    page.evaluate("document.getElementById('stage').scrollIntoView()")
    stage = box(page, "#stage")
    page.mouse.click(stage["x"] + 100, stage["y"] + 100)
    page.mouse.wheel(0, -600)
    page.wait_for_function(f"() => parseInt(document.getElementById('zoom').textContent) > {4 * fitting}")
    left, right = page.evaluate(transforms)
    assert left == right
    assert page.locator("#stage.pixels").count() == 1
    drag(page, (stage["x"] + 300, stage["y"] + 200), (stage["x"] + 260, stage["y"] + 170))
    moved = page.evaluate(transforms)
    assert moved[0] == moved[1] != left
    page.keyboard.press("ArrowRight")
    assert page.evaluate(transforms)[0] != moved[0]
    page.keyboard.press("0")
    assert percent(page) == fitting
    page.keyboard.press("1")
    assert percent(page) == 100
    page.click("#zoom-fit")
    page.click("#zoom-in")
    assert percent(page) == pytest.approx(1.4 * fitting, abs=1)


def test_all_panels_side_by_side_share_the_view(open_page: Open, two_page: str):
    page = open_page(two_page)
    page.click("#all")
    assert page.locator("#tiles figcaption").all_inner_texts() == [
        *(page.locator("#tiles figcaption").nth(number).inner_text() for number in range(4)),
        "error of blurred",
        "error of gentle",
        "error of strong",
    ]
    assert page.locator("#error-scale").is_visible()
    page.focus("#tiles")
    page.keyboard.press("+")
    page.keyboard.press("+")
    transforms = page.evaluate("[...document.querySelectorAll('.tile img')].map((image) => image.style.transform)")
    assert len(transforms) == 7
    assert len(set(transforms)) == 1
    page.keyboard.press("a")
    assert page.locator("#stage").is_visible()


def test_either_side_shows_any_panel_of_any_picture(open_page: Open, two_page: str):
    page = open_page(two_page)
    assert [page.input_value("#left"), page.input_value("#right")] == ["restored/gentle", "restored/strong"]
    before = page.get_attribute("#side-right img", "src")
    assert not page.locator("#error-scale").is_visible()
    page.select_option("#right", "error/blurred")
    assert page.get_attribute("#side-right img", "src") != before
    assert page.locator("#error-scale").is_visible()
    page.click("#swap")
    assert page.input_value("#left") == "error/blurred"
    about = page.inner_text("#about")
    page.click(".pick:nth-child(2)")
    page.wait_for_function("() => document.querySelector('.pick:nth-child(2)').ariaPressed === 'true'")
    assert page.input_value("#left") == "error/blurred"
    page.wait_for_function(f"() => document.getElementById('about').innerText !== {about!r}")


def test_the_table_sorts(open_page: Open, one_page: str):
    page = open_page(one_page)
    assert page.get_attribute("#head th:nth-child(1)", "aria-sort") == "ascending"
    gain = page.locator("#head th:nth-child(4)")
    gain.locator("button").click()
    assert gain.get_attribute("aria-sort") == "descending"
    shown = numbers(column(page, 4))
    assert shown == sorted(shown, reverse=True)
    gain.locator("button").press("Enter")
    assert gain.get_attribute("aria-sort") == "ascending"
    assert numbers(column(page, 4))[0] <= min(shown)
    assert page.locator("#head [aria-sort]").count() == 1


def test_the_table_filters_and_turns_pages(open_page: Open, one_page: str):
    page = open_page(one_page)
    assert page.inner_text("#counted") == "1 to 25 of 30"
    page.click("#next")
    assert page.inner_text("#counted") == "26 to 30 of 30"
    assert page.locator("#next").is_disabled()
    page.fill("#words", "CAT coffee")
    assert page.inner_text("#counted") == "none of 30"
    page.fill("#words", "coffee 01")
    found = column(page, 1)
    assert found
    assert all("coffee" in name for name in found)
    page.click("#filters [type=reset]")
    page.wait_for_function("() => document.getElementById('counted').textContent === '1 to 25 of 30'")
    page.select_option("#page-size", "0")
    gains = numbers(column(page, 4))
    page.fill("#least", "0.5")
    page.fill("#most", "1.5")
    assert page.locator("#column option:checked").inner_text() == "gain"
    assert len(column(page, 4)) == sum(0.5 <= gain <= 1.5 for gain in gains) > 0
    page.fill("#least", "")
    page.fill("#most", "")
    page.select_option("#dataset", "1")
    assert page.inner_text("#counted") == "1 to 4 of 4"
    page.select_option("#metric", "ssim")
    assert all(re.fullmatch(r"0\.\d{4}", text) for text in column(page, 2))


def test_a_row_leads_to_its_picture(open_page: Open, one_page: str):
    page = open_page(one_page)
    row = page.locator("#rows tr", has=page.get_by_text("look closely")).last
    name = row.locator(".image-name").inner_text().split("\n")[0]
    row.get_by_text("look closely").click()
    page.wait_for_function(f"() => document.querySelector('#about b').textContent === {name!r}")
    assert page.evaluate("document.activeElement.id") == "stage"


def test_light_and_dark(open_page: Open, one_page: str):
    background = "getComputedStyle(document.body).backgroundColor"
    page = open_page(one_page, color_scheme="dark")
    assert page.evaluate(background) == "rgb(20, 22, 26)"
    page.emulate_media(color_scheme="light")
    assert page.evaluate(background) == "rgb(251, 250, 247)"
    page.click("#theme")
    assert page.evaluate(background) == "rgb(20, 22, 26)"
    assert page.inner_text("#theme") == "Light"
    page.reload()
    page.wait_for_function(f"() => {READY} > 0")
    assert page.evaluate(background) == "rgb(20, 22, 26)"


def test_texts_stand_out_from_their_background(open_page: Open, two_page: str):
    page = open_page(two_page)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        contrasts = page.evaluate(TEXT_CONTRAST)
        assert len(contrasts) > 150
        assert [found for found in contrasts if found[0] < 4.5] == [], scheme


@pytest.mark.parametrize("which", ["one_page", "two_page"])
def test_a_phone_shows_all_without_scrolling_sideways(open_page: Open, request: pytest.FixtureRequest, which: str):
    page = open_page(request.getfixturevalue(which), viewport={"width": 390, "height": 844}, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("document.querySelector('.picks').getBoundingClientRect().right") <= 390
    assert page.evaluate(LOW_CONTROLS) == []
    cut_off = page.evaluate(CUT_OFF)
    assert cut_off[0] == "Scores of single images", "nothing of the scores, the differences and the times is cut off"
    assert all(label == cut_off[0] or ", by " in label for label in cut_off)
    assert page.evaluate(LETTERS) > 11


def test_a_small_laptop_shows_tables_as_a_whole(open_page: Open, two_page: str):
    assert open_page(two_page).evaluate(CUT_OFF) == []


def test_pictures_are_one_stop_of_the_tab_key(open_page: Open, one_page: str):
    page = open_page(one_page)
    page.focus(".pick")
    chosen = "() => document.querySelector('.pick:nth-child({})').ariaPressed === 'true'"
    for key, number in (("ArrowRight", 2), ("End", 5), ("ArrowRight", 1), ("ArrowLeft", 5), ("Home", 1)):
        page.keyboard.press(key)
        page.wait_for_function(chosen.format(number))
        assert page.locator(f".pick:nth-child({number}):focus").count() == 1
    assert page.locator(".pick[tabindex='0']").count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "left"


def test_the_keyboard_reaches_everything_and_everything_has_a_name(open_page: Open, one_page: str):
    page = open_page(one_page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert box(page, ".skip")["y"] >= 0
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        name, visible = page.evaluate(FOCUS)
        assert visible or name == "BODY", f"{name}: its focus cannot be seen"
        reached.add(name)
    assert {"theme", "left", "right", "zoom-in", "all", "stage", "divider", "words", "least", "column"} <= reached
    assert page.evaluate(UNNAMED) == []
    alts = page.evaluate("[...document.querySelectorAll('.stage img')].map((image) => image.alt)")
    assert re.fullmatch(r"blurred, psnr [\d.]+;restored, psnr [\d.]+", ";".join(reversed(alts)))


def test_the_command_is_copied_or_selected(open_page: Open, one_page: str):
    page = open_page(one_page)
    page.click("#copy")
    page.wait_for_function("() => ['Copied', 'Selected'].includes(document.getElementById('copy').textContent)")
    assert page.evaluate("getSelection().toString().trim()") == page.inner_text("#command").strip()


def test_hostile_names_are_shown_and_do_nothing(open_page: Open, one: PageContent):
    page = open_page(page_html(hostile(one)))
    assert page.inner_text("h1") == HOSTILE
    assert all(HOSTILE in name for name in column(page, 1))
    page.select_option("#right", "restored/" + HOSTILE)
    assert HOSTILE in page.inner_text("#about")
    assert page.locator("img[src=x]").count() == 0


def test_infinite_and_missing_scores(open_page: Open):
    page = open_page(page_html(INFINITE), ready=False)
    page.click("#head th:nth-child(3) button")
    assert column(page, 3) == ["∞", "0.50"]
    assert column(page, 4) == ["+∞", "\N{MINUS SIGN}0.50"]
    unscored = open_page(page_html(UNSCORED), ready=False)
    assert unscored.inner_text("#counted") == "1 to 1 of 1"
    assert unscored.locator("#head th").count() == 1


def test_1111_images_open_and_are_all_there(open_page: Open, many_page: str):
    page = open_page(many_page)
    assert percent(page) == 100
    assert page.inner_text("#counted") == "1 to 25 of 1111"
    page.select_option("#page-size", "0")
    assert page.locator("#rows tr").count() == 1111
    loaded = (
        "[...document.querySelectorAll('#rows img')].filter((image) => image.complete && image.naturalWidth).length"
    )
    page.wait_for_function(f"() => {loaded} === 1111")
    assert len(set(page.evaluate("[...document.querySelectorAll('#rows img')].map((image) => image.src)"))) > 1000


def test_without_scripts_the_page_says_what_is_missing(open_page: Open, one_page: str):
    page = open_page(one_page, ready=False, java_script_enabled=False)
    assert page.locator("#table").is_hidden()
    assert page.get_by_text("The same scores stand in per_image.csv").is_visible()
    assert page.locator("table.scores").first.is_visible()


def inside_page() -> str:
    """A page of inner outputs with hostile texts everywhere."""
    pixels = np.zeros((300, 900, 3), np.uint8)
    source = f"data:image/jpeg;base64,{base64.b64encode(encode_image(pixels, '.jpg')).decode()}"
    figures = [Figure(f"{HOSTILE} {number}", HOSTILE, HOSTILE, source) for number in range(5)]
    facts = {"weights": HOSTILE, "precision": "fp32"}
    return inside_html(InsidePage(HOSTILE, HOSTILE, facts, [HOSTILE], figures, HOSTILE))


def test_the_page_of_inner_outputs(open_page: Open):
    page = open_page(inside_page(), ready=False)
    assert page.inner_text("h1") == f"{HOSTILE}: {HOSTILE}"
    loaded = "[...document.images].filter((image) => image.complete && image.naturalWidth === 900).length"
    page.wait_for_function(f"() => {loaded} === 5")
    assert page.locator("img[src=x]").count() == 0
    assert page.evaluate(UNNAMED) == []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert [found for found in page.evaluate(TEXT_CONTRAST) if found[0] < 4.5] == [], scheme
    page.click("#copy")
    page.wait_for_function("() => ['Copied', 'Selected'].includes(document.getElementById('copy').textContent)")
    phone = open_page(inside_page(), ready=False, viewport={"width": 390, "height": 844}, has_touch=True)
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
    assert phone.evaluate(LOW_CONTROLS) == []
