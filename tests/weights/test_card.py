"""Scores come into a card from a report, and only those of the weights in the box."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from deblurkit import evaluate
from deblurkit.errors import UserError
from deblurkit.exporting.network import Labels, read_network
from deblurkit.exporting.tensors import export_safetensors
from deblurkit.interop.foreign import read_weights
from deblurkit.torchfile.read import digest
from deblurkit.weights import box
from deblurkit.weights.card import measured_in, read_card

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import fill_card


@pytest.fixture
def boxed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the box, whose card names one score, of the set ``pairs``, that was not measured."""
    folder = tmp_path / "box"
    shutil.copytree(box.FOLDER, folder, ignore=shutil.ignore_patterns("*.py", "*.scores.json", "__pycache__"))
    text = (folder / "starter.yml").read_text(encoding="utf-8")
    before, _, after = text.partition("scores:\n")
    score = "  two: {what: two photographs, dataset: pairs, command: deblurkit test}\n"
    (folder / "starter.yml").write_text(f"{before}scores:\n{score}{after[after.index('limits:') :]}", encoding="utf-8")
    monkeypatch.setattr(box, "FOLDER", folder)
    return folder


@pytest.fixture
def report(boxed: Path, tmp_path: Path, experiment: Any) -> Path:
    """A report of the network in the box on two pairs that were sharp before."""
    options = experiment(read_weights(box.find("starter"))["options"]["generator"])
    evaluate(options, "starter", out=tmp_path / "report", device="cpu", inference="whole")
    return tmp_path / "report"


def test_a_score_that_was_not_measured_says_so(boxed: Path, tmp_path: Path) -> None:
    fill_card.main(["starter", "--docs", str(tmp_path)])
    page = (tmp_path / "starter.md").read_text(encoding="utf-8")
    assert "- two photographs: not measured yet.\n  `deblurkit test`\n" in page
    assert "Intervals in brackets" not in page


def test_a_report_fills_it(boxed: Path, report: Path, tmp_path: Path) -> None:
    fill_card.main(["starter", f"two={report}", "--docs", str(tmp_path)])
    card = read_card("starter")
    measured = card.measured["two"]
    assert measured == measured_in(report, "pairs")
    assert measured.harmed == 2, "any change of a sharp photograph harms it"
    assert measured.result.blurred == {"psnr": float("inf"), "ssim": 1.0}
    assert measured.weights.sha256 == digest(boxed / "starter.safetensors")
    assert str(tmp_path) not in (boxed / "starter.scores.json").read_text(encoding="utf-8")
    page = (tmp_path / "starter.md").read_text(encoding="utf-8")
    low, high = measured.result.intervals.restored["psnr"]
    # They were sharp before: no gain of minus infinity, and no two that were harmed.
    restored = measured.result.restored["psnr"]
    against_themselves = f"↑ {restored:.2f} [{low:.2f}, {high:.2f}] against themselves; ssim ↑ 1.0"
    words = " ".join(page.split())
    assert against_themselves in words
    assert "2 images, gopro-basicsr-v1 version 1, inference whole. `deblurkit" in words
    assert "Intervals in brackets" in page


def test_scores_of_other_weights_do_not_get_in_and_do_not_stay(boxed: Path, report: Path, tmp_path: Path) -> None:
    fill_card.main(["starter", f"two={report}", "--docs", str(tmp_path)])
    export_safetensors(read_network("starter", Labels("changed")), boxed / "starter.safetensors")
    with pytest.raises(UserError, match=r"scores of starter, not of the starter\.safetensors that is in the box"):
        fill_card.main(["starter", f"two={report}", "--docs", str(tmp_path)])
    fill_card.main(["starter", "--docs", str(tmp_path)])
    assert read_card("starter").measured == {}
    assert "not measured yet" in (tmp_path / "starter.md").read_text(encoding="utf-8")


def test_mistakes_are_named(boxed: Path, report: Path, tmp_path: Path) -> None:
    for text, message in [
        (f"tow={report}", r"the card names no score 'tow' \(did you mean 'two'\?\)"),
        (f"two={tmp_path / 'none'}", "expected the report of one network"),
    ]:
        with pytest.raises(UserError, match=message):
            fill_card.main(["starter", text, "--docs", str(tmp_path)])
    with pytest.raises(UserError, match=r"no data set is named 'pears' \(did you mean 'pairs'\?\)"):
        measured_in(report, "pears")
