"""The report's tables and files, without torch."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from made_candidates import PAPER, candidate, content_of, entry, images, in_folder

from deblurkit.files import write_atomically
from deblurkit.report.markdown import report_markdown
from deblurkit.report.model import Paper
from deblurkit.report.ranking import ranked, ranked_by_score, share_gained
from deblurkit.report.tables import as_text, escape, headline, published, scale
from deblurkit.report.write import per_image_csv, write_comparison, write_report
from deblurkit.results import CandidateResult, ImageScore, Means, ScoreKind, SecondsSpent, plain

ROWS = {
    "gopro": [
        ImageScore("a/1", {"psnr": 26.0, "ssim": 0.80}, {"psnr": 27.5, "ssim": 0.85}, 0.25),
        ImageScore("a/2", {"psnr": 28.0, "ssim": 0.90}, {"psnr": 27.75, "ssim": 0.90}, 0.5),
        ImageScore('b,"1"', {"psnr": 30.0, "ssim": 0.95}, {"psnr": math.inf, "ssim": 1.0}, 0.125),
    ],
    "blind": [ImageScore("x|y", None, None, 1.0)],
}
FILES = ["metrics.json", "per_image.csv", "report.html", "report.md", "tables.csv", "tables.tex"]


@pytest.fixture
def scored() -> CandidateResult:
    videos = {name: Means(1, {"psnr": 26.0, "ssim": 0.8}, {"psnr": 27.5, "ssim": 0.85}) for name in ("a", "b")}
    gopro = entry(ROWS["gopro"], published={"psnr": 30.18, "lpips": 0.1}, groups={"video": videos})
    blind = entry(ROWS["blind"], data=None)
    notes = ["gopro: limited to 3 of 1111 images"]
    return candidate("my_*experiment*", ROWS, datasets={"gopro": gopro, "blind": blind}, notes=notes)


def test_published() -> None:
    table = published(PAPER)
    assert table.columns == ["method", "data set", "psnr", "ssim", "seconds"]
    assert table.rows == [["Nah", "gopro", "29.08", "0.9135", "-"], ["A|B", "gopro", "27", "-", "0.85"]]
    assert published(Paper("A paper", {}, [])) is published(None) is None


def test_what_a_paper_prints_of_itself_is_shown_whether_scored_here_or_not() -> None:
    """A data set that is not among those tested, such as a user study, has no table of scores to stand in."""
    table = published(dataclasses.replace(PAPER, published={"user_study": {"mean": 7.2}}))
    assert table is not None
    assert table.columns == ["method", "data set", "mean", "psnr", "ssim", "seconds"]
    assert table.rows[0] == ["the paper itself", "user_study", "7.2", "-", "-", "-"]


def test_headline(scored: CandidateResult) -> None:
    table = headline(scored)
    assert table.columns == ["data set", "score", "images", "blurred", "restored", "gain", "published", "s/image"]
    gain = "+0.0333 [0.0000, +0.0500]"
    assert table.rows == [
        ["gopro", "psnr (dB) ↑", "3", "28.00 [26.00, 30.00]", "inf", "+inf", "30.18", "0.250"],
        ["gopro", "ssim ↑", "3", "0.8833 [0.8000, 0.9500]", "0.9167 [0.8500, 1.0000]", gain, "-", "0.250"],
        ["gopro", "lpips ↓", "3", "-", "-", "-", "0.1", "0.250"],
        ["blind", "-", "1", "-", "-", "-", "-", "0.250"],
    ]


def test_headline_of_a_folder(scored: CandidateResult) -> None:
    """What is known of nothing has no column: no paper and no time; part of the images has scores."""
    part = entry(images([27.0, 28.0]), images=5, seconds_per_image=None)
    table = headline(candidate("folder", {}, datasets={"gopro": part}))
    assert table.columns == ["data set", "score", "images", "blurred", "restored", "gain"]
    assert table.rows[1] == ["gopro", "lpips ↓", "2 of 5", *["0.5000 [0.5000, 0.5000]"] * 2, "0.0000 [0.0000, 0.0000]"]


def test_tables_print_aligned_and_unbroken(scored: CandidateResult) -> None:
    printed = as_text(headline(scored))
    assert as_text(headline(scored), headline(scored)) == f"{printed}\n\n{printed}"
    assert printed.startswith("Scores\n  data set   score         images ")
    assert "  gopro      ssim ↑             3   0.8833 [0.8000, 0.9500]   0.9167 [0.8500, 1.0000]" in printed


def test_gains() -> None:
    assert [row.key for row in ranked(ROWS["gopro"])] == ['b,"1"', "a/1", "a/2"]
    assert [row.key for row in ranked(ROWS["gopro"], higher_is_better=False)] == ["a/2", "a/1", 'b,"1"']
    assert share_gained(ROWS["gopro"]) == pytest.approx(2 / 3)
    assert share_gained(ROWS["gopro"], higher_is_better=False) == pytest.approx(1 / 3)
    assert share_gained(ROWS["blind"]) is None
    assert [row.key for row in ranked_by_score(ROWS["gopro"], "ssim")] == ['b,"1"', "a/2", "a/1"]
    assert ranked_by_score(ROWS["gopro"], "ssim", higher_is_better=False)[0].key == "a/1"
    assert ranked_by_score(ROWS["blind"], "ssim") == []
    unchanged = ImageScore("same", {"psnr": math.inf}, {"psnr": math.inf}, 0.0)
    assert unchanged.gain("psnr") is None


def test_scales() -> None:
    known = {"lpips": ScoreKind(higher_is_better=False), "psnr": ScoreKind("dB")}
    assert [scale(name, known).title for name in ("psnr", "lpips", "other")] == ["psnr (dB) ↑", "lpips ↓", "other"]
    assert [scale(name, known).sign for name in ("psnr", "lpips", "other")] == [1, -1, 0]


def test_csv_holds_full_precision_and_quotes_names() -> None:
    assert per_image_csv(candidate("a", ROWS)).splitlines() == [
        "dataset,image,psnr_blurred,psnr_restored,ssim_blurred,ssim_restored,protocol,inference,seconds",
        "gopro,a/1,26.0,27.5,0.8,0.85,gopro-basicsr-v1 version 1,whole,0.250000",
        "gopro,a/2,28.0,27.75,0.9,0.9,gopro-basicsr-v1 version 1,whole,0.500000",
        'gopro,"b,""1""",30.0,inf,0.95,1.0,gopro-basicsr-v1 version 1,whole,0.125000',
        "blind,x|y,,,,,gopro-basicsr-v1 version 1,whole,1.000000",
    ]


def test_csv_of_facts_and_of_what_is_unknown() -> None:
    shifted = ImageScore("1", {"psnr": 1.0}, {"psnr": 2.0}, None, {"ecc": "failed"}, {"ecc": "converged", "best": 3})
    alone = ImageScore("2", None, {"psnr": 2.0, "niqe": 4.5}, None)
    assert per_image_csv(candidate("a", {"s": [shifted, alone]}, inference=None)).splitlines() == [
        "dataset,image,psnr_blurred,psnr_restored,niqe_blurred,niqe_restored,"
        "ecc_blurred,ecc_restored,best_blurred,best_restored,protocol,inference,seconds",
        "s,1,1.0,2.0,,,failed,converged,,3,gopro-basicsr-v1 version 1,,",
        "s,2,,2.0,,4.5,,,,,gopro-basicsr-v1 version 1,,",
    ]


def test_values_that_json_cannot_hold() -> None:
    assert plain({"a": [math.inf, -math.inf, None, 1]}) == {"a": ["inf", "-inf", None, 1]}
    with pytest.raises(ValueError, match="NaN"):
        plain({"a": math.nan})


def test_files(tmp_path: Path, scored: CandidateResult) -> None:
    out = tmp_path / "new" / "Bericht ü"
    strips = {"gopro": {"best: a|1": "strips/gopro/best.png"}}
    write_report(out, content_of(scored, paper=PAPER), strips)
    assert sorted(path.name for path in out.iterdir()) == FILES
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["datasets"]["gopro"]["restored"]["psnr"] == "inf"
    page = (out / "report.md").read_text(encoding="utf-8")
    for part in (
        "# my\\_\\*experiment\\*\n\nScored by `gopro-basicsr-v1` (version 1), inference `whole`.\n\n## Mind\n\n",
        "- **gopro: limited to 3 of 1111 images**",
        "| gopro | psnr (dB) ↑ | 3 | 28.00 [26.00, 30.00] | inf | +inf | 30.18 | 0.250 |",
        "Frames of one video are alike",
        "As printed in: Blur & how\\_to. Not measured by us; protocols differ.\n\n| method |",
        "66.7 % of the images gained in psnr. The greatest and the smallest gains:\n\n| image |",
        "| training | set: GoPro, variant: linear |\n| gopro | set: GoPro, variant: gamma, images: 3 |\n\n",
        "| video | images | psnr blurred | psnr restored | ssim blurred | ssim restored |",
        "Inference used, images: whole: 3.  \nSeconds an image: median 0.250, 95th percentile 0.475.  \n"
        "Seconds for all, parts of different images overlap: decode 0.0, network 1.0, metrics 0.5, wall 1.2.\n\n"
        "![best: a\\|1](strips/gopro/best.png)  \nbest: a\\|1\n\n",
        "1 images without their true ones: restored, not scored.\n",
        "`w.pth`: iteration 5, raw weights",
        "| device | cpu (a\\|b) |",
        "| a/2 | 28.00 | 27.75 | -0.25 | 0.9000 | 0.9000 | 0.0000 |",
        "```\ndeblurkit test --weights w.pth\n```\n",
    ):
        assert part in page
    assert "\n\n\n" not in page


def test_nothing_is_replaced_unless_all_is_rendered(tmp_path: Path, scored: CandidateResult) -> None:
    write_report(tmp_path, content_of(scored), {})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    not_plain = dataclasses.replace(scored, environment={"load": math.nan})
    for broken in (not_plain, dataclasses.replace(scored, environment=None)):
        with pytest.raises((ValueError, TypeError)):
            write_report(tmp_path, content_of(broken), {})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_no_file_stays_half_written(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_atomically(tmp_path / "taken", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_files_of_a_comparison(tmp_path: Path) -> None:
    both = [candidate(name, {"gopro": images([value] * 7)}) for name, value in (("A", 27.0), ("B", math.inf))]
    write_comparison(tmp_path, content_of(*both))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "comparison.json",
        "comparison.md",
        "report.html",
        "tables.csv",
        "tables.tex",
    ]
    compared = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    assert compared["datasets"]["gopro"]["restored"]["B"]["psnr"] == "inf"
    assert compared["datasets"]["gopro"]["pairs"][0]["excluded"] == 7
    assert "# A, B\n" in (tmp_path / "comparison.md").read_text(encoding="utf-8")


def test_long_tables_show_both_ends() -> None:
    many = [ImageScore(f"i{n:02}", {"psnr": 20.0}, {"psnr": 20.0 + n}, 0.1) for n in range(20)]
    groups = {"scene": {f"s{n:02}": Means(1, None, {"psnr": 20.0}) for n in range(40)}}
    long = candidate("long", {"gopro": many}, datasets={"gopro": entry(many, groups=groups)})
    text = report_markdown(long, "", "", {})
    listed = [line.split(" | ")[0][2:] for line in text.splitlines() if line.startswith("| i")]
    assert listed[1:] == ["i19", "i18", "i17", "i02", "i01", "i00"]
    assert "| s29 | 1 | - | 20.00 |\n\n10 more are in `metrics.json`.\n" in text


def test_lower_is_better_first() -> None:
    rows = [ImageScore(f"i{n}", {"lpips": 0.5}, {"lpips": 0.5 - n / 100}, 0.1) for n in range(3)]
    text = report_markdown(candidate("perceptual", {"s": rows}), "", "", {})
    assert "66.7 % of the images gained in lpips." in text
    assert text.index("| i2 | 0.5000 | 0.4800 | -0.0200 |") < text.index("| i0 | 0.5000 | 0.5000 | 0.0000 |")


def test_restorations_made_elsewhere() -> None:
    """A folder of images, with neither weights nor blurred input nor times."""
    rows = [ImageScore(f"i{n}", None, {"psnr": 20.0 + n}, None) for n in range(3)]
    untold = {"inference": None, "inference_used": {}, "data": {}}
    timeless = entry(rows, seconds_per_image=None, seconds=SecondsSpent(decode=1.0), **untold)
    text = report_markdown(
        candidate("theirs", {"s": rows}, datasets={"s": timeless}, **in_folder("their/out")), "", "", {}
    )
    assert "Scored by `gopro-basicsr-v1` (version 1).\n" in text
    assert "Scored as they lie in `their/out`; how they were made is not known here." in text
    assert "The best and the worst in psnr:\n\n| image | psnr restored |\n| --- | ---: |\n| i2 | 22.00 |\n" in text
    assert "Seconds for all, parts of different images overlap: decode 1.0.\n" in text
    assert "## Data" not in text
    assert "None" not in text
    assert "\n\n\n" not in text


def test_escape() -> None:
    assert escape("a|b\n<c> [d] `e`") == "a\\|b \\<c> \\[d] \\`e\\`"


def test_reports_need_no_torch() -> None:
    modules = "write, comparison, publication, plots, page.page"
    imports = "; ".join(f"import deblurkit.report.{module}" for module in modules.split(", "))
    code = (
        f"import sys, deblurkit.cli; {imports}; sys.exit(bool({{'torch', 'matplotlib', 'jinja2'}} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).resolve().parents[2]).returncode == 0
