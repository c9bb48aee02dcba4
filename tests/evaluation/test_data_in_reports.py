"""Every report says what was trained and tested on, and what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gopro_tree import make_gopro, mislabel

from deblurkit import checkpoint, evaluate
from deblurkit.data.loader import describe
from deblurkit.engine.build import train
from deblurkit.evaluation import record
from deblurkit.options.load import load_options

Evaluate = Callable[..., tuple[dict[str, Any], str]]


@pytest.fixture
def evaluated(experiment: Any, rewrite: Callable[[str, str], None]) -> Evaluate:
    """Evaluate on GoPro a generator trained on GoPro: ``metrics.json`` and the page."""

    def run(trained: str, tested: str, **saved: Any) -> tuple[dict[str, Any], str]:
        pattern = f'{{type: PairedImages, blurred: "{experiment.data}/*/blur", sharp: "{experiment.data}/*/sharp"}}'
        rewrite(f"train: {pattern}", f"train: {{type: GoPro, split: train, variant: {trained}}}")
        rewrite(f"pairs: {pattern}", f"pairs: {{type: GoPro, split: test, variant: {tested}}}")
        file = experiment.save("best_psnr.pth")
        checkpoint.save({**checkpoint.load(file), **saved}, file)
        evaluate(weights=file, plugins=[experiment.plugin], datasets=["pairs"], device="cpu")
        report = experiment.work_dir / "report"
        metrics = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
        return metrics, (report / "report.md").read_text(encoding="utf-8")

    return run


def test_gamma_tested_as_linear_shows(evaluated: Evaluate, tmp_path: Path) -> None:
    mislabel(make_gopro(tmp_path / "datasets" / "GoPro", "test", pairs=8), "test")
    metrics, page = evaluated("linear", "linear")
    facts = {"set": "GoPro", "variant": "linear", "split": "test", "images": 8, "measured": "gamma"}
    assert metrics["datasets"]["pairs"]["data"] == facts
    assert metrics["trained_on"] == {"set": "GoPro", "split": "train", "variant": "linear"}
    few, wrong = metrics["notes"]
    assert few == "pairs: 8 of 1111 images"
    assert re.fullmatch(
        r"pairs: says variant: linear, but the blur of \d of \d pairs was averaged in gamma light", wrong
    )
    assert f"- **{wrong}**" in page
    assert "| pairs | set: GoPro, variant: linear, split: test, images: 8, measured: gamma |" in page
    assert "| training | set: GoPro, split: train, variant: linear |" in page


def test_gamma_trained_as_linear_shows(evaluated: Evaluate, tmp_path: Path) -> None:
    """What training found is in the checkpoint, the training set itself is not looked at again."""
    make_gopro(tmp_path / "datasets" / "GoPro", "test", pairs=8)
    note = "says variant: linear, but the blur of 12 of 12 pairs was averaged in gamma light"
    facts = {"set": "GoPro", "variant": "linear", "split": "train", "images": 2103, "measured": "gamma"}
    metrics, page = evaluated("linear", "linear", trained_on=facts, data_notes=[note])
    assert metrics["trained_on"] == facts
    assert f"training data: {note}" in metrics["notes"]
    assert f"- **training data: {note}**" in page
    assert "| training | set: GoPro, variant: linear, split: train, images: 2103, measured: gamma |" in page


def test_trained_on_one_variant_and_tested_on_the_other(evaluated: Evaluate, tmp_path: Path) -> None:
    make_gopro(tmp_path / "datasets" / "GoPro", "test", pairs=8)
    metrics, _ = evaluated("gamma", "linear")
    assert metrics["notes"][-1] == "pairs: tested on variant linear, but trained on variant gamma"


def test_patterns_show_where_no_variant_is_known(experiment: Any) -> None:
    metrics = evaluate(weights=experiment.best, plugins=[experiment.plugin], datasets=["blind"], device="cpu")
    patterns = {"blurred": f"{experiment.data}/*/blur", "sharp": f"{experiment.data}/*/sharp"}
    assert metrics["trained_on"] == {"set": "PairedImages", **patterns}
    assert metrics["datasets"]["blind"]["data"] == {"set": "BlurredImages", "blurred": patterns["blurred"]}
    assert metrics["notes"] == []


def test_sets_and_weights_that_cannot_say() -> None:
    class Plain:
        """A plugin's data set with nothing beyond the contract."""

    assert describe(Plain()) == {"set": "Plain"}
    assert record.trained_on({"options": {"datasets": {"train": None}}}) is None
    assert record.data_notes({"options": {}}, {"plain": Plain()}) == []


def test_from_training_to_the_report(experiment: Any, tmp_path: Path) -> None:
    """The gamma blur under the linear one's name: in the log of the training and in the report of its checkpoint."""
    root = mislabel(make_gopro(tmp_path / "datasets" / "GoPro"))
    make_gopro(root, "test", pairs=8)
    gopro = "{{type: GoPro, split: {}, variant: linear}}".format
    options = load_options(
        experiment.options,
        [
            f"datasets.train={gopro('train')}",
            f"datasets.test={{pairs: {gopro('test')}, blind: null}}",
            *("train.iters=1", "logging.tensorboard=false"),
        ],
    )
    work_dir = train(options, tmp_path / "run", device="cpu")
    note = "says variant: linear, but the blur of 12 of 12 pairs was averaged in gamma light"
    assert f"datasets.train: {note}" in (work_dir / "log.txt").read_text(encoding="utf-8")
    weights = work_dir / "checkpoints" / "iter_00000001.pth"
    metrics = evaluate(weights=weights, plugins=[experiment.plugin], device="cpu")
    assert f"training data: {note}" in metrics["notes"]
    assert metrics["trained_on"]["variant"] == "linear"
    assert f"**training data: {note}**" in (work_dir / "report" / "report.md").read_text(encoding="utf-8")
