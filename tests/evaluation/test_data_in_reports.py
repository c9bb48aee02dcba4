"""Every report says what was trained and tested on, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gopro_tree import SEQUENCE, make_gopro, mislabel

from deblurkit import checkpoint, evaluate
from deblurkit.data.loader import describe
from deblurkit.data.sample import SamplePairs
from deblurkit.engine.train import train
from deblurkit.evaluation import provenance
from deblurkit.options.load import load_options

MISLABELLED = "says variant: linear, but its blur was averaged in light (gamma)"
LINEAR_AFTER_GAMMA = "tested on blur averaged in stored values (linear), but trained on blur averaged in light (gamma)"
GAMMA_AFTER_LINEAR = "tested on blur averaged in light (gamma), but trained on blur averaged in stored values (linear)"

Evaluate = Callable[..., tuple[dict[str, Any], str]]


@pytest.fixture
def evaluated(experiment: Any, rewrite: Callable[[str, str], None]) -> Evaluate:
    """Evaluate on GoPro a generator trained on GoPro: ``metrics.json`` and the page."""

    def run(trained: str, tested: str, **saved: Any) -> tuple[dict[str, Any], str]:
        pattern = f'{{type: PairedImages, blurred: "{experiment.data}/*/blur", sharp: "{experiment.data}/*/sharp"}}'
        rewrite(f"train: {pattern}", f"train: {{type: GoPro, split: train, variant: {trained}}}")
        rewrite(f"pairs: {pattern}", f"pairs: {{type: GoPro, split: test, variant: {tested}}}")
        file = experiment.save("best_psnr.pth")
        checkpoint.save({**checkpoint.read(file), **saved}, file)
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
    few, wrong, other = metrics["notes"]
    assert few == "pairs: 8 of 1111 images"
    assert wrong == f"pairs: {MISLABELLED}"
    assert other == f"pairs: {GAMMA_AFTER_LINEAR}"
    assert f"- **{wrong}**" in page
    assert "| pairs | set: GoPro, variant: linear, split: test, images: 8, measured: gamma |" in page
    assert "| training | set: GoPro, split: train, variant: linear |" in page


def test_gamma_trained_as_linear_shows(evaluated: Evaluate, tmp_path: Path) -> None:
    """What training found is in the checkpoint, the training set itself is not looked at again."""
    make_gopro(tmp_path / "datasets" / "GoPro", "test", pairs=8)
    facts = {"set": "GoPro", "variant": "linear", "split": "train", "images": 2103, "measured": "gamma"}
    metrics, page = evaluated("linear", "linear", trained_on=facts, data_notes=[MISLABELLED])
    assert metrics["trained_on"] == facts
    assert f"training data: {MISLABELLED}" in metrics["notes"]
    assert f"- **training data: {MISLABELLED}**" in page
    assert "| training | set: GoPro, variant: linear, split: train, images: 2103, measured: gamma |" in page


def test_trained_on_one_variant_and_tested_on_the_other(evaluated: Evaluate, tmp_path: Path) -> None:
    make_gopro(tmp_path / "datasets" / "GoPro", "test", pairs=8)
    metrics, _ = evaluated("gamma", "linear")
    assert metrics["notes"][-1] == f"pairs: {LINEAR_AFTER_GAMMA}"


def test_patterns_show_where_no_variant_is_known(experiment: Any) -> None:
    metrics = evaluate(weights=experiment.best, plugins=[experiment.plugin], datasets=["blind"], device="cpu")
    patterns = {"blurred": f"{experiment.data}/*/blur", "sharp": f"{experiment.data}/*/sharp"}
    assert metrics["trained_on"] == {"set": "PairedImages", **patterns}
    assert metrics["datasets"]["blind"]["data"] == {"set": "BlurredImages", "blurred": patterns["blurred"]}
    assert [note for note in metrics["notes"] if "is defined on" not in note] == []


def test_sets_and_weights_that_cannot_say() -> None:
    class Plain:
        """A plugin's data set with nothing beyond the contract."""

    assert describe(Plain()) == {"set": "Plain"}
    assert provenance.trained_on({"options": {"datasets": {"train": None}}}) is None
    assert provenance.data_notes({"options": {}}, {"plain": Plain()}) == []


@pytest.mark.parametrize(
    ("trained", "tested", "expected"),
    [
        ({"variant": "linear"}, {"variant": "gamma"}, [GAMMA_AFTER_LINEAR]),
        ({"measured": "gamma"}, {"variant": "linear", "measured": "linear"}, [LINEAR_AFTER_GAMMA]),
        ({"measured": "gamma"}, {"variant": "linear", "measured": "unclear"}, [LINEAR_AFTER_GAMMA]),
        ({"variant": "linear", "measured": "gamma"}, {"variant": "gamma"}, []),
        ({"measured": "gamma"}, {"measured": "gamma"}, []),
        ({"measured": "gamma"}, {"measured": "unclear"}, []),
        ({"measured": "gamma"}, {}, []),
        ({}, {"variant": "linear"}, []),
        (
            {"variant": "blur", "measured": "gamma"},
            {"variant": "blur_jpeg", "measured": "gamma"},
            ["tested on variant blur_jpeg, but trained on variant blur"],
        ),
        ({"variant": "blur"}, {"set": "Other", "variant": "linear"}, []),
    ],
)
def test_sets_are_compared_by_what_is_known_of_their_blur(
    trained: dict[str, str], tested: dict[str, str], expected: list[str]
) -> None:
    class Described:
        def describe(self) -> dict[str, str]:
            return {"set": "REDS", **tested}

    state = {"options": {}, "trained_on": {"set": "REDS", **trained}}
    assert provenance.data_notes(state, {"pairs": Described()}) == [f"pairs: {note}" for note in expected]


@pytest.mark.parametrize(
    ("tested", "expected"),
    [
        ({"set": "GoPro", "variant": "gamma", "measured": "gamma"}, []),
        ({"set": "Other", "measured": "linear"}, [f"pairs: {LINEAR_AFTER_GAMMA}"]),
        ({"set": "REDS", "variant": "blur_comp"}, ["pairs: tested on variant blur_comp, but trained on variant blur"]),
        ({"set": "REDS", "variant": "blur"}, []),
    ],
)
def test_each_of_several_training_sets_counts(tested: dict[str, str], expected: list[str]) -> None:
    class Described:
        def describe(self) -> dict[str, str]:
            return tested

    facts = {"set": "GoPro + REDS", "0.set": "GoPro", "0.measured": "gamma", "0.share": "50 %"}
    facts |= {"1.set": "REDS", "1.variant": "blur", "1.measured": "gamma"}
    assert provenance.data_notes({"options": {}, "trained_on": facts}, {"pairs": Described()}) == expected


def test_the_sample_set_raises_no_alarm() -> None:
    train, test = SamplePairs("train"), SamplePairs("test")
    for data in (train, test):
        data.verify()
        assert data.describe()["measured"] == "gamma"
    assert provenance.data_notes({"options": {}, "trained_on": train.describe()}, {"sample": test}) == []


def test_gamma_blur_under_a_neutral_name_shows(experiment: Any, tmp_path: Path) -> None:
    """A plain copy of GoPro's gamma blur, as anyone may have: what it is is measured, not read from its name."""
    root = make_gopro(tmp_path / "GoPro")
    make_gopro(root, "test", pairs=8)
    for side, name in (("blur_gamma", "input"), ("sharp", "target")):
        (root / "train" / SEQUENCE / side).rename(tmp_path / name)
    _, metrics, page = _trained_and_tested(
        experiment,
        tmp_path,
        "{type: PairedImages, blurred: input, sharp: target}",
        f"{{type: GoPro, split: test, variant: linear, root: {root}}}",
    )
    assert metrics["trained_on"] == {
        "set": "PairedImages",
        "measured": "gamma",
        "blurred": "input",
        "sharp": "target",
    }
    assert f"pairs: {LINEAR_AFTER_GAMMA}" in metrics["notes"]
    assert f"- **pairs: {LINEAR_AFTER_GAMMA}**" in page


def test_from_training_to_the_report(experiment: Any, tmp_path: Path) -> None:
    """The gamma blur under the linear one's name: in the log of the training and in the report of its checkpoint."""
    root = mislabel(make_gopro(tmp_path / "datasets" / "GoPro"))
    make_gopro(root, "test", pairs=8)
    gopro = "{{type: GoPro, split: {}, variant: linear}}".format
    log, metrics, page = _trained_and_tested(experiment, tmp_path, gopro("train"), gopro("test"))
    assert f"datasets.train: {MISLABELLED}" in log
    assert f"training data: {MISLABELLED}" in metrics["notes"]
    assert metrics["trained_on"]["variant"] == "linear"
    assert f"**training data: {MISLABELLED}**" in page


def _trained_and_tested(experiment: Any, tmp_path: Path, trained: str, tested: str) -> tuple[str, dict[str, Any], str]:
    """Train one iteration and evaluate it: the training's log, ``metrics.json`` and the page."""
    sets = [f"datasets.train={trained}", f"datasets.test={{pairs: {tested}, blind: null}}"]
    options = load_options(
        experiment.options, [*sets, "train.iters=1", "logging.tensorboard=false", "logging.curves=false"]
    )
    work_dir = train(options, tmp_path / "run", device="cpu")
    weights = work_dir / "checkpoints" / "iter_00000001.pth"
    metrics = evaluate(weights=weights, plugins=[experiment.plugin], device="cpu")
    log, page = (work_dir / name for name in ("log.txt", "report/report.md"))
    return log.read_text(encoding="utf-8"), metrics, page.read_text(encoding="utf-8")
