"""Several candidates side by side: only what all have, pairs by image, the direction of every metric."""

from __future__ import annotations

import json
import math

import pytest
from made_candidates import PAPER, candidate, images, in_folder

from deblurkit.errors import UserError
from deblurkit.evaluation.comparison import compare
from deblurkit.report.comparison import comparison_markdown, comparison_tables
from deblurkit.results import ImageScore, ProtocolReference

BASE = [27.0, 28.0, 29.0, 30.0, 31.0, 32.0, 33.0]


def two() -> list:
    first = images([value + 0.5 + index / 100 for index, value in enumerate(BASE)], lpips=[0.2] * 7)
    return [candidate("A", {"gopro": first}), candidate("B|2", {"gopro": images(BASE, lpips=[0.3] * 7)})]


def test_two_candidates():
    compared = compare(two()).to_json()
    entry = compared["datasets"]["gopro"]
    assert entry["images"] == 7
    assert entry["blurred"] == {"psnr": 20.0, "lpips": 0.5}
    assert entry["restored"]["B|2"] == {"psnr": 30.0, "lpips": pytest.approx(0.3)}
    psnr, lpips = entry["pairs"]
    assert (psnr["first"], psnr["second"], psnr["metric"]) == ("A", "B|2", "psnr")
    assert psnr["difference"] == pytest.approx(0.53)
    assert psnr["p_value"] == pytest.approx(2 / 2**7)
    assert 0.5 < psnr["interval"][0] < 0.53 < psnr["interval"][1] < 0.56  # over pairs: the images' spread is out
    assert lpips["difference"] == pytest.approx(-0.1)
    assert compared["candidates"]["A"]["metrics"] == "A/metrics.json"
    assert compared["notes"] == []
    json.dumps(compared, allow_nan=False)


def test_only_images_that_all_have_are_compared():
    first, second = two()
    fewer = candidate("C", {"gopro": [*first.rows["gopro"][2:], ImageScore("other", None, {"psnr": 90.0}, None)]})
    compared = compare([first, second, fewer]).to_json()
    entry = compared["datasets"]["gopro"]
    assert entry["images"] == 5
    assert entry["restored"]["B|2"]["psnr"] == 31.0
    assert entry["restored"]["C"]["psnr"] == entry["restored"]["A"]["psnr"]
    assert [(pair["first"], pair["second"], pair["images"]) for pair in entry["pairs"] if pair["metric"] == "psnr"] == [
        ("A", "B|2", 7),
        ("A", "C", 5),
        ("B|2", "C", 5),
    ]
    assert "gopro: C has 6 scored images, compared are the 5 that all have" in compared["notes"]
    untested = next(pair for pair in entry["pairs"] if pair["second"] == "C")
    assert (untested["p_value"], untested["test"]) == (None, "not tested: fewer than 6 images")


def test_a_metric_that_one_lacks_is_not_compared():
    first, second = two()
    psnr_only = [ImageScore(row.key, row.blurred, {"psnr": 25.0}, 0.1) for row in second.rows["gopro"]]
    compared = compare([first, candidate("D", {"gopro": psnr_only})]).to_json()
    entry = compared["datasets"]["gopro"]
    assert [pair["metric"] for pair in entry["pairs"]] == ["psnr"]
    assert set(entry["restored"]["D"]) == set(entry["restored"]["A"]) == set(entry["blurred"]) == {"psnr"}
    assert compared["notes"] == ["gopro: lpips is not compared: no image has it of all candidates"]


def test_means_are_over_the_same_images_where_a_metric_is_not_always_defined():
    """The third image has no NIQE of A's: B's bad one there is no difference between the two."""

    def made(name: str, *niqe: float | None):
        rows = []
        for key, value in enumerate(niqe):
            scores = {"psnr": 30.0 + key} if value is None else {"psnr": 30.0 + key, "niqe": value}
            rows.append(ImageScore(str(key), {"psnr": 20.0, "niqe": 9.0 + key}, scores, None))
        return candidate(name, {"gopro": rows})

    compared = compare([made("A", 3.0, 3.0, None), made("B", 3.0, 3.0, 30.0)]).to_json()
    entry = compared["datasets"]["gopro"]
    assert {name: means["niqe"] for name, means in entry["restored"].items()} == {"A": 3.0, "B": 3.0}
    assert {name: ends["niqe"] for name, ends in entry["intervals"].items()} == {"A": [3.0, 3.0], "B": [3.0, 3.0]}
    assert entry["restored"]["A"]["psnr"] == entry["restored"]["B"]["psnr"] == 31.0
    assert entry["blurred"] == {"psnr": 20.0, "niqe": 9.5}
    (pair,) = (pair for pair in entry["pairs"] if pair["metric"] == "niqe")
    assert (pair["images"], pair["difference"]) == (2, 0.0)
    assert compared["notes"] == ["gopro: niqe is compared on 2 of 3 images: those on which all have it"]
    alone = compare([made("A", 3.0, 3.0, None)]).to_json()
    assert (alone["datasets"]["gopro"]["restored"]["A"]["niqe"], alone["notes"]) == (3.0, [])


def test_infinite_scores():
    """Identical images: the mean is infinite, the pair is compared without them."""
    perfect = images([math.inf, *BASE[1:]])
    compared = compare([candidate("A", {"gopro": perfect}), two()[1]])
    entry = compared.to_json()["datasets"]["gopro"]
    assert entry["restored"]["A"]["psnr"] == "inf"
    assert "psnr" not in entry["intervals"]["A"]
    assert (entry["pairs"][0]["images"], entry["pairs"][0]["excluded"], entry["pairs"][0]["difference"]) == (6, 1, 0.0)
    scores, differences = comparison_tables(compared)
    assert scores.rows[1][2] == "inf"
    assert differences.rows[0][3:] == ["6 (1 left out)", "0.00 [0.00, 0.00]", "-"]


def test_notes_say_what_differs():
    first = two()[0]
    changed = {"notes": ["both", "own"], "inference": "tlc:256"}
    elsewhere = images(BASE, blurred=21.0)
    third = candidate("C", {"gopro": elsewhere, "hide": images(BASE)}, **changed)
    notes = compare([candidate("A", first.rows, notes=["both"]), third]).notes
    assert notes == [
        "both",
        "C: own",
        "gopro: inference modes differ: A whole, C tlc:256",
        "hide: not compared, A did not restore it",
        "gopro: the candidates' blurred inputs score differently: they are not the same images",
    ]


@pytest.mark.parametrize("other", [ProtocolReference("realblur-ecc-v1", 1), ProtocolReference("gopro-basicsr-v1", 2)])
def test_protocols_must_be_equal(other: ProtocolReference):
    first, second = two()
    scored_otherwise = candidate("B", second.rows, protocol=other)
    refusal = r"^gopro: B was scored by .* but A by gopro-basicsr-v1 version 1: not comparable$"
    with pytest.raises(UserError, match=refusal):
        compare([first, scored_otherwise])


def test_images_without_truth_are_not_compared():
    blind = [ImageScore("a", None, None, 0.1)]
    compared = compare([candidate(name, {"lai": blind}) for name in "AB"])
    assert compared.datasets["lai"].images == 0
    assert comparison_tables(compared) == []


def test_the_page():
    page = comparison_markdown(compare(two()), "explained", "deblurkit test", PAPER)
    for part in (
        "# A, B\\|2\n",
        "| candidate | inference | psnr (dB) ↑ | lpips ↓ |\n| --- | --- | ---: | ---: |\n| blurred | - | 20.00 | 0.50",
        "| gopro | A - B\\|2 | psnr (dB) ↑ | 7 | +0.53 [+0.52, +0.54] | 0.016 |",
        "| gopro | A - B\\|2 | lpips ↓ | 7 | -0.1000 [-0.1000, -0.1000] | 0.016 |",
        "2 tests, not corrected for their number.",
        "Frames of one video are alike",
        "As printed in: Blur & how\\_to. Not measured by us; protocols differ.",
        "- B\\|2: `w.pth`, figures in `B|2/metrics.json`",
    ):
        assert part in page


def test_folders_of_restored_images_are_named():
    from_folder = candidate("X", {"gopro": images(BASE)}, inference=None, **in_folder("their/out"))
    page = comparison_markdown(compare([from_folder, two()[0]]), "", "")
    assert "- X: `their/out`, figures in `X/metrics.json`" in page
    assert "inference modes differ: X restored elsewhere, A whole" in page
    alone = comparison_tables(compare([from_folder]))
    assert [table.columns for table in alone] == [["candidate", "psnr (dB) ↑", "lpips ↓"]]  # no mode is known
