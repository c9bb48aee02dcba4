"""Test sets that name their own protocol: one run scores each by its own, and says so everywhere."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch

from deblurkit import checkpoint, evaluate
from deblurkit.data.images import write_image
from deblurkit.errors import UserError
from deblurkit.evaluation.evaluate import Settings, evaluate_all
from deblurkit.evaluation.resume import journal_file
from deblurkit.evaluation.sets import open_test_sets
from deblurkit.options.load import load_options

Rewrite = Callable[[str, str], None]
OFFICIAL, DEFAULT = "kohler-official-v1", "gopro-basicsr-v1"
KOHLER = f"    kohler: {{type: Kohler, protocol: {OFFICIAL}}}\n"


@pytest.fixture
def kohler(experiment: Any, rewrite: Rewrite) -> Path:
    """Köhler's benchmark beside the experiment's own pairs: a camera that moves by whole pixels, two photographs."""
    root = Path("datasets/Kohler")
    photograph = skimage.data.astronaut()
    for shake in (1, 2):
        frames = [photograph[40 + n : 240 + n, 60:260] for n in range(3 * shake)]
        below = root / "Image1" / f"Kernel{shake}"
        below.mkdir(parents=True)
        for number, frame in enumerate(frames, start=1):
            write_image(below / f"GroundTruth1_{shake}_{number}.png", np.ascontiguousarray(frame))
        write_image(root / f"Blurry1_{shake}.png", np.mean(frames, axis=0).astype(np.uint8))
    add(rewrite, KOHLER)
    return root


def add(rewrite: Rewrite, entry: str) -> None:
    rewrite("train: {iters: 10}", f"{entry}train: {{iters: 10}}")


def run(experiment: Any, **settings: Any) -> dict[str, Any]:
    return evaluate(load_options(experiment.options), experiment.best, device="cpu", **settings)


def test_one_report_scores_each_set_by_its_own(experiment: Any, kohler: Path) -> None:
    metrics = run(experiment, datasets=["pairs", "kohler"])
    report = experiment.work_dir / "report"
    scored = metrics["datasets"]
    assert {name: entry["protocol"]["id"] for name, entry in scored.items()} == {"pairs": DEFAULT, "kohler": OFFICIAL}
    assert set(scored["pairs"]["restored"]) == {"psnr", "ssim"}
    assert set(scored["kohler"]["restored"]) == {"psnr", "mssim", "ssim2d_luma"}
    assert set(scored["kohler"]["groups"]) == {"poster", "trajectory"}

    alone = run(experiment, datasets=["kohler"], out="alone", protocol=OFFICIAL)
    assert scored["kohler"]["restored"] == alone["datasets"]["kohler"]["restored"]

    page = (report / "report.md").read_text(encoding="utf-8")
    assert f"- pairs: `{DEFAULT}` (version 1, digest " in page
    assert f"- kohler: `{OFFICIAL}` (version 1, digest " in page
    assert f"| kohler, by {OFFICIAL} | psnr (dB) ↑ | 2 |" in page
    assert page.count("metric psnr:") == 2, "both protocols are explained"
    html = (report / "report.html").read_text(encoding="utf-8")
    assert f'<dt>Protocol of kohler</dt><dd><a href="#protocol">{OFFICIAL}</a>' in html
    assert f"2 images, {OFFICIAL}" in html
    assert f"6 images, {DEFAULT}" in html
    latex = (report / "tables.tex").read_text(encoding="utf-8")
    assert rf"\texttt{{{DEFAULT}}}, version 1, inference \texttt{{whole}} (pairs); by \texttt{{{OFFICIAL}}}" in latex
    with open(report / "per_image.csv", encoding="utf-8", newline="") as table:
        told = {(row["dataset"], row["protocol"]) for row in csv.DictReader(table)}
    assert told == {("pairs", f"{DEFAULT} version 1"), ("kohler", f"{OFFICIAL} version 1")}
    with open(report / "tables.csv", encoding="utf-8", newline="") as table:
        (row,) = (row for row in csv.DictReader(table) if row["kind"] == "scored")
    assert row["protocol"] == f"pairs: {DEFAULT} version 1, kohler: {OFFICIAL} version 1"


def test_an_interrupted_run_goes_on_with_each_sets_own(experiment: Any, kohler: Path) -> None:
    class StoppedError(Exception):
        pass

    def stop(name: str, done: int, total: int) -> None:
        if name == "kohler":
            raise StoppedError

    chosen = {"datasets": ["pairs", "kohler"], "out": "out"}
    with pytest.raises(StoppedError):
        run(experiment, progress=stop, **chosen)
    recorded = len(journal_file(Path("out"), "kohler").read_bytes().splitlines()) - 1
    told: list[str] = []
    resumed = run(experiment, say=told.append, **chosen)
    assert told == [
        "pairs: 6 of 6 images were scored by an earlier run; going on from there",
        f"kohler: {recorded} of 2 images were scored by an earlier run; going on from there",
    ]
    assert set(resumed["datasets"]["kohler"]["restored"]) == {"psnr", "mssim", "ssim2d_luma"}


def test_several_candidates_are_compared_set_by_set(experiment: Any, kohler: Path) -> None:
    weak = experiment.save("iter_00000001.pth", strength=0.05)
    named = [f"strong={experiment.best}", f"weak={weak}"]
    settings = Settings(device="cpu", datasets=["pairs", "kohler"], out="both")
    report = evaluate_all(load_options(experiment.options), named, settings)
    compared = json.loads(Path("both/comparison.json").read_text(encoding="utf-8"))
    assert "protocol" not in compared
    assert compared["datasets"]["kohler"]["protocol"]["id"] == OFFICIAL
    assert {pair["metric"] for pair in compared["datasets"]["kohler"]["pairs"]} == {"psnr", "mssim", "ssim2d_luma"}
    text = report.text()
    assert f"pairs, 6 images, {DEFAULT} version 1" in text
    assert f"kohler, 2 images, {OFFICIAL} version 1" in text
    html = Path("both/report.html").read_text(encoding="utf-8")
    for protocol in (OFFICIAL, DEFAULT):
        assert f"Mean differences and their 95 % intervals, {protocol}" in html, "one plot each: never on one axis"


def test_the_command_line_replaces_the_default_only(experiment: Any, kohler: Path) -> None:
    told: list[str] = []
    chosen = {"datasets": ["pairs", "kohler"], "say": told.append}
    metrics = run(experiment, protocol="gopro-matlab-v1", **chosen)
    assert {entry["protocol"]["id"] for entry in metrics["datasets"].values()} == {"gopro-matlab-v1", OFFICIAL}
    assert told == [f"--protocol gopro-matlab-v1 is for test sets that name none: kohler keeps {OFFICIAL}"]
    page = (experiment.work_dir / "report" / "report.md").read_text(encoding="utf-8")
    assert "--protocol gopro-matlab-v1" in page, "the command that gives these numbers again"
    with pytest.raises(UserError, match="--protocol: no protocol is named 'psnr'"):
        run(experiment, protocol="psnr", datasets=["kohler"])


def test_each_sets_protocol_decides_how_its_images_pass(experiment: Any, kohler: Path, rewrite: Rewrite) -> None:
    rewrite(f"protocol: {OFFICIAL}", "protocol: gopro-nafnet-v1")
    options = load_options(experiment.options)

    def modes(**settings: Any) -> dict[str, str]:
        opened = open_test_sets(options, Settings(datasets=["pairs", "kohler"], **settings), torch.device("cpu"))
        return {name: test.inference for name, test in opened.sets.items()}

    assert modes() == {"pairs": "whole", "kohler": "tlc:256"}
    assert modes(inference="x8") == {"pairs": "x8", "kohler": "x8"}


def test_backbones_go_to_the_protocols_that_use_them(experiment: Any, kohler: Path) -> None:
    with pytest.raises(UserError, match=r"backbones: got 'alxe', but none of its metrics is a network"):
        run(experiment, datasets=["pairs", "kohler"], backbones={"alxe": "random"})


def test_a_published_set_that_is_not_here_is_left_out_in_words(experiment: Any, rewrite: Rewrite) -> None:
    add(rewrite, KOHLER)
    told: list[str] = []
    metrics = run(experiment, say=told.append)
    assert list(metrics["datasets"]) == ["pairs", "blind"]
    (line,) = told
    assert line.startswith("kohler: not scored, its data are not here: there is no folder datasets/Kohler")
    assert "get BlurryImages.zip" in line
    assert line in metrics["notes"]
    for file in ("report.md", "report.html", "tables.tex"):
        assert "kohler: not scored" in (experiment.work_dir / "report" / file).read_text(encoding="utf-8")


def test_a_set_asked_for_by_name_must_be_here(experiment: Any, rewrite: Rewrite) -> None:
    add(rewrite, KOHLER)
    with pytest.raises(UserError, match=r"^datasets.test.kohler: Kohler: no image found in any of"):
        run(experiment, datasets=["pairs", "kohler"])


def test_a_set_that_is_here_and_damaged_is_refused(experiment: Any, kohler: Path) -> None:
    (kohler / "Image1" / "Kernel2").rename(kohler / "Image1" / "Kernel3")
    with pytest.raises(UserError, match=r"^datasets.test.kohler: .*Blurry1_2.png: it has no sharp frames"):
        run(experiment)


def test_without_any_set_there_is_no_report(experiment: Any) -> None:
    text = experiment.options.read_text(encoding="utf-8")
    head, tail = text.index("    pairs:"), text.index("train: {iters")
    experiment.options.write_text(text[:head] + KOHLER + text[tail:], encoding="utf-8")
    with pytest.raises(UserError, match=r"^datasets.test.kohler: Kohler: no image found"):
        run(experiment)
    assert not (experiment.work_dir / "report").exists()


def test_published_figures_stand_only_under_the_conditions_that_they_are_of(
    experiment: Any, rewrite: Rewrite, tmp_path: Path
) -> None:
    """Two option files test a set of one name on other images: neither's published figure stands under the other's."""
    changes = ["crop=48", "protocol=gopro-matlab-v1"]
    overrides = [*(f"datasets.test.pairs.{change}" for change in changes), "paper.published={pairs: {psnr: 31.5}}"]
    other = load_options(experiment.options, overrides)
    state = {**checkpoint.read(experiment.best), "options": other.to_dict()}
    checkpoint.save(state, tmp_path / "other.pth")
    named = [f"own={experiment.best}", f"other={tmp_path / 'other.pth'}"]
    settings = Settings(device="cpu", datasets=["pairs"], out="both")
    report = evaluate_all(load_options(experiment.options), named, settings)
    own, another = (candidate.to_json() for candidate in report.candidates)
    assert own["datasets"]["pairs"]["published"] == {"psnr": 30.18, "ssim": 0.9312}
    assert another["datasets"]["pairs"]["published"] is None
    words = (
        "its published figures of pairs are not shown: its option file tests pairs with crop: 48, protocol: "
        "gopro-matlab-v1, here it is crop: None, protocol: None"
    )
    assert words in another["notes"]
    assert f"other: {words}" in Path("both/comparison.md").read_text(encoding="utf-8")
    assert "31.5" not in Path("both/tables.tex").read_text(encoding="utf-8")
