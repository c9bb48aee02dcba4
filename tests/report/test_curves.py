"""The page of a training: what it reads, what it draws, and that it stands alone."""

from __future__ import annotations

import html
import html.parser
import itertools
import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from deblurkit.errors import UserError
from deblurkit.report.curves.groups import GROUPS, best, grouped, plots, scores_table, values_table
from deblurkit.report.curves.lines import Line, line_plot
from deblurkit.report.curves.page import write_curves
from deblurkit.report.curves.records import FULL, Curve, read_run
from deblurkit.report.tables import NOTHING

TOOL = Path(__file__).resolve().parents[2] / "tools" / "curves.py"


CLOCK = {"date": "2026-11-21T17:50:05+00:00", "time": 0.5, "data_time": 0.01, "eta": 90, "memory": 600}
VALUES = {
    "lr/generator": 1e-4,
    "critic/patch/sharp": 0.6,
    "critic/patch/restored": 0.4,
    "critic/patch": 0.3,
    "term/pixel": 0.03,
    "term/adversarial": 1e-4,
    "grad/pixel": 3e-3,
    "grad_norm/generator": 1,
}


def record(iteration: int, **more: Any) -> dict[str, Any]:
    """The least that a training writes at a logging iteration."""
    return {"iteration": iteration, "epoch": 0, "loss": 0.0301, **more}


def work_dir(folder: Path, records: list[dict[str, Any]], end: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(item) + "\n" for item in records)
    (folder / "scalars.jsonl").write_text(text + end, encoding="utf-8")
    return folder


def training(folder: Path, gain: float = 1.0, **more: Any) -> Path:
    """Ten logged iterations, each followed by a validation; the best is the seventh."""
    records = []
    for iteration in range(1, 11):
        psnr = 25 + gain * (1 - abs(iteration - 7) / 10)
        records += [record(iteration, **more), {"iteration": iteration, "epoch": 0, "val/gopro/psnr": psnr}]
    return work_dir(folder, records)


class Page(html.parser.HTMLParser):
    """Collects what a test asks about a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.ids: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join(filter(None, self.texts))


def page_of(*folders: Path, **arguments: Any) -> Page:
    return Page(write_curves(folders, **arguments).read_text(encoding="utf-8"))


def test_one_run(tmp_path: Path):
    folder = training(tmp_path / "my_gan", **VALUES, **CLOCK)
    page = page_of(folder)
    assert (folder / "curves.html").is_file()
    headings = [group.title for group in GROUPS[:-1]]
    for words in ("my_gan", *headings, "gopro: psnr", "logarithmic", "2 min", "All values", "grad_norm/generator"):
        assert words in page.text, words
    assert "best 26 at 7" in page.text, "for those who do not see the plot"
    assert "Mind" not in page.texts
    assert len(page.ids) == len(set(page.ids))
    anchors = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert {anchor.removeprefix("#") for anchor in anchors if anchor} <= set(page.ids)


def test_it_stands_alone(tmp_path: Path):
    page = write_curves([training(tmp_path / "run")]).read_text(encoding="utf-8")
    named = re.findall(r"""(?:\bsrc|\bhref|url)(?:=|\()["']?([^"')>\s]+)""", page)
    assert named
    assert {name[:1] for name in named} == {"#"}, named
    assert "@import" not in page
    assert "default-src 'none'" in html.unescape(page)


def test_several_runs_share_their_plots(tmp_path: Path):
    folders = [training(tmp_path / "one" / "gan"), training(tmp_path / "two" / "gan", gain=3.0)]
    page = page_of(*folders, out=tmp_path / "both.html")
    assert not (folders[0] / "curves.html").exists()
    assert "one/gan" in page.texts, "names that set them apart"
    assert "two/gan" in page.texts
    runs = [read_run(folder, folder.parent.name) for folder in folders]
    table = scores_table(runs)
    assert table is not None
    assert [row[:5] for row in table.rows] == [
        ["gopro: psnr", "one", "25.4", "25.7", "26"],
        ["gopro: psnr", "two", "26.2", "27.1", "28"],
    ]
    assert {row[5] for row in table.rows} == {"7"}
    (validation,) = plots(GROUPS[0], ["val/gopro/psnr"], runs)
    assert [name for _, name in validation.legend] == ["one", "two"]
    assert len({colour for colour, _ in validation.legend}) == 2


def test_a_run_given_twice_is_one(tmp_path: Path):
    folder = training(tmp_path / "run")
    page = page_of(folder, folder.parent / "other" / ".." / "run")
    assert "The run" in page.texts


def test_names_are_escaped(tmp_path: Path):
    bad = record(1, **{"term/<script>alert(1)</script>": 1.0, "val/a$b&c/psnr": 20.0})
    text = write_curves([work_dir(tmp_path / "<b>run", [bad])]).read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "<b>run" not in text
    assert "a$b&amp;c" in text


def test_while_the_training_writes(tmp_path: Path):
    folder = work_dir(tmp_path / "run", [record(1), record(2)], end='{"iteration": 3, "loss": 0.0')
    run = read_run(folder, "run")
    assert run.records == 2
    assert run.unread == 0
    assert run.standing.iteration == 2
    folder = work_dir(tmp_path / "broken", [record(1)], end="what?\n[1]\n" + json.dumps(record(5)) + "\n")
    assert "2 lines of scalars.jsonl are no records" in page_of(folder).text
    assert read_run(folder, "broken").standing.iteration == 5


def test_values_that_are_not_finite_are_gaps_with_a_count(tmp_path: Path):
    values = [1.0, 2.0, "nan", 3.0, "inf", "-inf", 4.0]
    folder = work_dir(tmp_path / "run", [record(n + 1, loss=value) for n, value in enumerate(values)])
    run = read_run(folder, "run")
    curve = run.curves["loss"]
    assert curve.bad == 3
    assert np.isnan(curve.drawn()[:, 1]).tolist() == [False, False, True, False, True, True, False]
    assert (curve.lowest, curve.highest, curve.last) == ((1, 1.0), (7, 4.0), (7, 4.0))
    page = page_of(folder)
    assert "run: values that are not finite are gaps in the curves: loss 3" in page.text
    assert "total loss (3 not finite)" in page.texts
    plot = line_plot("Total", "", [Line("loss", curve)])
    moves = [path for path in re.findall(r' d="([^"]*)"', plot.svg) if path.count("M") == 3]
    assert moves, "one line in three pieces"


def test_nothing_but_nan(tmp_path: Path):
    folder = work_dir(tmp_path / "run", [record(n, loss="nan", **{"val/a/psnr": "nan"}) for n in (1, 2)])
    page = page_of(folder)
    assert "no finite value" in page.text
    assert scores_table([read_run(folder, "run")]) is None


def test_a_single_record(tmp_path: Path):
    assert "Losses" in page_of(work_dir(tmp_path / "run", [record(1)])).text


@pytest.mark.parametrize("length", [1, FULL, FULL + 1, 5 * FULL + 3, 30_000])
def test_long_runs_keep_every_peak(length: int):
    drawn = random.Random(length)
    values = np.array([(n + 1, drawn.gauss(0, 1)) for n in range(length)])
    curve = Curve()
    for part in np.array_split(values, 7):
        curve.extend(part)
    points = curve.drawn()
    assert len(points) <= FULL + 1
    assert points[-1, 0] == length
    assert np.all(np.diff(points[:, 0]) > 0)
    assert points[:, 2].min() == values[:, 1].min()
    assert points[:, 3].max() == values[:, 1].max()
    assert np.all((points[:, 2] <= points[:, 1] + 1e-12) & (points[:, 1] <= points[:, 3] + 1e-12))
    ends = [0, *np.searchsorted(values[:, 0], points[:, 0], side="right")]
    means = [values[start:end, 1].mean() for start, end in itertools.pairwise(ends)]
    np.testing.assert_allclose(points[:, 1], means, atol=1e-12)
    assert curve.lowest == (int(values[values[:, 1].argmin(), 0]), values[:, 1].min())


def test_axis_is_logarithmic_where_it_shows_more():
    def axis(values: list[float]) -> bool:
        curve = Curve()
        curve.extend(np.array(list(enumerate(values)), float))
        return "logarithmic" in line_plot("It", "", [Line("a", curve)]).svg

    assert axis([10.0**-n for n in range(6)])
    assert not axis([1.0, 2.0, 3.0])
    assert not axis([10.0**n - 5 for n in range(6)]), "not all are positive"
    assert not axis([1.0] * 99 + [1000.0]), "one outlier"


def test_every_key_is_shown_somewhere():
    keys = ["loss", "term/a", "my_own", "grad/a", "val/x/lpips", "penalty/a", "time", "my/own"]
    held = grouped(keys)
    assert sorted(key for found in held.values() for key in found) == sorted(keys)
    assert held[GROUPS[-1]] == ["my_own", "my/own"]


NAMED_BEST = [
    ("psnr", "highest"),
    ("psnr_y", "highest"),
    ("ssim", "highest"),
    ("ssim2d_luma", "highest"),
    ("mssim", "highest"),
    ("cw_ssim", "highest"),
    ("lpips_vgg", "lowest"),
    ("dists", "lowest"),
    ("niqe", "lowest"),
    ("niqelike", None),
    ("ssimilarity", None),
    ("my_error", None),
]


@pytest.mark.parametrize(("metric", "expected"), NAMED_BEST)
def test_best_where_the_direction_is_known(metric: str, expected: str | None):
    curve = Curve()
    curve.extend(np.array([[1, 0.3], [2, 0.1], [3, 0.4], [4, 0.2]]))
    assert best(f"val/x/{metric}", curve) == (getattr(curve, expected) if expected else None)
    assert best(f"grad/{metric}", curve) is None


def test_scores_of_unknown_direction_have_no_best(tmp_path: Path):
    folder = work_dir(tmp_path / "run", [record(n, **{"val/x/my_error": n / 10}) for n in (1, 2)])
    table = scores_table([read_run(folder, "run")])
    assert table is not None
    assert table.rows == [["x: my_error", "0.1", "0.2", NOTHING, NOTHING]]
    assert "best" not in "".join(
        plot.description for plot in plots(GROUPS[0], ["val/x/my_error"], [read_run(folder, "run")])
    )


def test_many_terms_and_lower_is_better(tmp_path: Path):
    many = {f"term/t{n}": 1.0 + n for n in range(8)}
    records = [record(n, **many, **{"val/x/lpips": value}) for n, value in ((1, 0.3), (2, 0.1), (3, 0.2))]
    run = read_run(work_dir(tmp_path / "run", records), "run")
    table = scores_table([run])
    assert table is not None
    assert table.rows[0][3:] == ["0.1", "2"]
    made = plots(GROUPS[1], [*many], [run])
    assert [plot.title for plot in made] == ["Weighted terms (1)", "Weighted terms (2)"]
    assert [len(plot.legend) for plot in made] == [6, 2]
    everything = {row[0] for row in values_table([run]).rows}
    assert everything == {*many, "loss", "val/x/lpips"}


def test_samples_are_embedded(tmp_path: Path):
    folder = training(tmp_path / "run")
    (folder / "samples" / "gopro").mkdir(parents=True)
    for iteration in range(10, 200, 10):
        picture = np.full((8, 8, 3), iteration, np.uint8)
        cv2.imwrite(str(folder / "samples" / "gopro" / f"iter_{iteration:08d}.jpg"), picture)
    page = page_of(folder)
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 6
    assert all(str(picture["src"]).startswith("data:image/jpeg;base64,") for picture in pictures)
    told = [re.findall(r"gopro, iteration (\d+):", str(picture["alt"]))[0] for picture in pictures]
    assert told == ["10", "50", "80", "120", "150", "190"]


def test_strips_that_are_no_pictures_are_passed_over(tmp_path: Path):
    folder = training(tmp_path / "run")
    samples = folder / "samples" / "gopro"
    samples.mkdir(parents=True)
    cv2.imwrite(str(samples / "iter_00000002.jpg"), np.zeros((8, 8, 3), np.uint8))
    whole = (samples / "iter_00000002.jpg").read_bytes()
    (samples / "iter_00000004.jpg").touch()
    (samples / "iter_00000006.jpg").write_bytes(b"no picture")
    (samples / "iter_00000008.jpg").write_bytes(whole[: len(whole) // 2])
    (samples / "iter_00000010.jpg").mkdir()
    (samples / "iter_00000002 (copy).jpg").write_bytes(whole)
    page = page_of(folder)
    assert sum(tag == "img" for tag, _ in page.tags) == 1
    assert "run: 4 strips of samples cannot be read" in page.text


def test_strips_for_which_there_is_no_room_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = training(tmp_path / "run")
    (folder / "samples" / "gopro").mkdir(parents=True)
    for iteration in (2, 4, 6):
        cv2.imwrite(str(folder / "samples" / "gopro" / f"iter_{iteration:08d}.jpg"), np.zeros((8, 8, 3), np.uint8))
    size = (folder / "samples" / "gopro" / "iter_00000002.jpg").stat().st_size
    monkeypatch.setattr("deblurkit.report.curves.strips.MOST_BYTES", 2 * size)
    page = page_of(folder)
    assert sum(tag == "img" for tag, _ in page.tags) == 2
    assert "run: 1 strip of samples is left out, or the page would be too large" in page.text


def test_numbers_that_cannot_be_drawn(tmp_path: Path):
    values = [1e308, -1e308, 10**400, -1.1e100, 9e99, -9e99, 5e-324, 1.0]
    folder = work_dir(tmp_path / "run", [record(n, loss=value) for n, value in enumerate(values)])
    curve = read_run(folder, "run").curves["loss"]
    assert (curve.bad, curve.count) == (4, 8)
    assert (curve.lowest, curve.highest) == ((5, -9e99), (4, 9e99))
    assert "total loss (4 not finite)" in page_of(folder).texts
    tiny = work_dir(tmp_path / "tiny", [record(n, loss=value) for n, value in enumerate([5e-324, 1e-300, 9e99])])
    assert "logarithmic" in page_of(tiny).text


@pytest.mark.parametrize("iteration", [10**20, 2**53, -1, 1e20, 1.0, True, "5", None, float("nan")])
def test_iterations_that_are_none(tmp_path: Path, iteration: Any):
    folder = work_dir(tmp_path / "run", [record(0), record(1), record(iteration)])
    run = read_run(folder, "run")
    assert (run.records, run.unread, run.standing.iteration) == (2, 1, 1)
    assert "1 line of scalars.jsonl is no record and was passed over" in page_of(folder).text
    assert values_table([run]).rows == [["loss", "0.0301", "0.0301 at 0", "0.0301 at 0", "2", "0"]]


ODD_KEYS = ["critic", "penalty", "val", "val/", "lr", "/", "", "a$b"]
WRONG_VALUES = {"text": "soon", "list": [1], "truth": True, "nan": "nan", "negative": -5, "huge": 10**400}


@pytest.mark.parametrize("value", WRONG_VALUES.values(), ids=WRONG_VALUES.keys())
def test_any_value_of_any_key_gives_a_page(tmp_path: Path, value: Any):
    keys = [*CLOCK, *VALUES, *ODD_KEYS, "loss", "epoch", "val/gopro/psnr"]
    folder = work_dir(tmp_path / "run", [record(1), {**dict.fromkeys(keys, value), "iteration": 2}])
    assert "Losses" in page_of(folder).text


def test_names_that_are_no_text(tmp_path: Path):
    folder = tmp_path / "run\udcff"
    try:
        folder.mkdir()
    except (OSError, UnicodeError):
        pytest.skip("the file system takes no such names")
    work_dir(folder, [record(1, **{"term/\ud800": 1.0})])
    assert "term/?" in page_of(folder).text


@pytest.mark.parametrize("content", [b"\x00\xff\n\x80\n", b"[" * 100_000 + b"\n[]\n", b"no record\n{}\n"])
def test_a_file_without_a_single_record(tmp_path: Path, content: bytes):
    (tmp_path / "scalars.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=r"scalars\.jsonl: 2 lines, none of them a record of a training"):
        read_run(tmp_path, "run")


def test_wrong_folders_are_told_all_at_once(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    blank = work_dir(tmp_path / "blank", [])
    with pytest.raises(UserError) as refused:
        write_curves([tmp_path / "none", tmp_path / "empty", blank])
    first, second, third = refused.value.problems
    assert first == f"{tmp_path / 'none'}: there is no such folder, expected the work dir of a training"
    assert "there is no scalars.jsonl in it" in second
    assert "there is no record in it yet" in third
    good = training(tmp_path / "good")
    with pytest.raises(UserError, match="expected a file in a folder that is there"):
        write_curves([good], tmp_path / "nowhere" / "page.html")


def test_command_line(tmp_path: Path):
    folder = training(tmp_path / "run")
    done = subprocess.run([sys.executable, TOOL, folder], capture_output=True, text=True, check=True)
    assert done.stdout == f"{folder / 'curves.html'}\n"
    wrong = subprocess.run([sys.executable, TOOL, tmp_path / "none"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith(f"{tmp_path / 'none'}: there is no such folder")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_in_a_browser(tmp_path: Path):
    """The script runs: the button for dark colours shows, and nothing is wider than a narrow window."""
    page = write_curves([training(tmp_path / "a_run_with_a_rather_long_name_indeed", **CLOCK)])
    probe = page.with_name("probe.html")
    script = "const r = document.documentElement; document.body.dataset.over = r.scrollWidth - r.clientWidth"
    policy = re.compile(r"<meta http-equiv[^>]*>")
    text = policy.sub("", page.read_text(encoding="utf-8")).replace("</body>", f"<script>{script}</script></body>")
    probe.write_text(text, encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--window-size=390,900", "--dump-dom"]
    for file in (page, probe):
        shown = subprocess.run([*command, file.as_uri()], capture_output=True, text=True, check=True, timeout=60).stdout
        assert re.search(r'<html[^>]*class="scripted"', shown)
        assert not re.search(r'<button[^>]*id="theme"[^>]*hidden', shown)
    assert 'data-over="0"' in shown
