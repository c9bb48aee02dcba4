"""The small-scale reproductions: their experiments fit, their verdicts are right, and they run."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from datetime import datetime
from pathlib import Path

import pytest
import torch

from deblurkit.checkpoint import build_generator
from deblurkit.options.load import load_options, options_from_dict
from deblurkit.registry import DISCRIMINATORS

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import claims  # noqa: E402
import experiments  # noqa: E402
import gradient_shares  # noqa: E402
import reproduce  # noqa: E402
import reproduction_page  # noqa: E402

SHORT = dataclasses.replace(experiments.SETTINGS["tiny"], updates=2, batch=1)


def experiment(
    name: str, objective: experiments.Objective = "one", setting: experiments.Setting = SHORT
) -> experiments.Experiment:
    return experiments.Experiment(name, objective, 0, setting)


def job(folder: Path, name: str, setting: experiments.Setting = SHORT) -> reproduce.Job:
    return reproduce.Job(experiment(name, setting=setting), folder, "cpu", 1)


def finished(name: str, seed: int, psnr: float, content: str = "none", seconds: float = 60.0) -> experiments.Run:
    return experiments.Run(name, seed, content, 10, psnr, 0.7, 26.0, 18, "p version 1", "cpu", seconds, 0.1)


@pytest.mark.parametrize("setting", [experiments.SETTINGS["tiny"], experiments.SETTINGS["real"]], ids=["tiny", "real"])
@pytest.mark.parametrize("name", experiments.NAMES["one"])
def test_under_one_objective_only_the_generator_differs(name: str, setting: experiments.Setting):
    expanded = experiment(name, "one", setting).options()
    options = options_from_dict(expanded, name)
    with torch.device("meta"):
        build_generator(options)
    others = experiment("deblurgan", "one", setting).options()
    same = {key: value for key, value in expanded.items() if key not in ("name", "generator")}
    assert same == {key: value for key, value in others.items() if key not in ("name", "generator")}
    assert options.generator.get("global_skip", None) is (True if "+skip" in name else None)


@pytest.mark.parametrize("name", experiments.NAMES["own"])
def test_an_own_recipe_is_the_option_files(name: str):
    setting = dataclasses.replace(SHORT, thin=False)
    file = experiments.OPTIONS / ("" if "/" not in name else "ablations") / f"{name}.yml"
    recipe = load_options(file)
    expanded = experiment(name, "own", setting).options()
    options = options_from_dict(expanded, name)
    assert options.discriminators == recipe.discriminators
    assert options.optimizers == recipe.optimizers
    assert options.restorer == recipe.restorer
    small = {"epochs": None, "iters": 2, "freeze": {}, "checkpoint_every": 2}
    assert options.train.model_dump() == {**recipe.train.model_dump(), **small}
    for term, loss in recipe.losses.items():
        weights = {"weights": "random"} if loss.component["type"] == "PerceptualLoss" else {}
        assert options.losses[term].to_dict() == {**loss.to_dict(), **weights}
    assert set(options.losses) == set(recipe.losses)
    equal = experiment("bag", "own", setting).options()
    assert expanded["datasets"] == equal["datasets"]
    assert experiment(name, "own").content() == (
        "RANDOM VGG-19" if any("weights" in loss for loss in expanded["losses"].values()) else "none"
    )


@pytest.mark.parametrize("name", experiments.NAMES["own"])
def test_thin_networks_are_built_and_have_far_fewer_weights(name: str):
    thin, whole = (
        options_from_dict(experiment(name, "own", dataclasses.replace(SHORT, thin=thin)).options(), name)
        for thin in (True, False)
    )
    with torch.device("meta"):
        pairs = [(build_generator(thin), build_generator(whole))]
        for critic, component in thin.discriminators.items():
            pairs.append((DISCRIMINATORS.build(component), DISCRIMINATORS.build(whole.discriminators[critic])))
    for small, large in pairs:
        assert 10 * size(small) < size(large)


def size(network: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def test_widths_that_an_option_file_names_are_thinned_too():
    widened = dataclasses.replace(experiment("crosshatch", "own"), overrides=("generator.encoder=[64, 256, 512]",))
    generator = widened.options()["generator"]
    assert generator["encoder"] == [16, 64, 128]
    assert generator["res_channels"] == 64


def test_every_ablation_is_among_the_own_recipes():
    assert {"bag/plain", "madn/pixel_content", "structure_guided/wo_content"} < set(experiments.NAMES["own"])
    files = (experiments.OPTIONS / "ablations").glob("*/*.yml")
    assert {f"{file.parent.name}/{file.stem}" for file in files} < set(experiments.NAMES["own"])


def test_every_claim_is_about_experiments_of_one_kind():
    for claim in claims.CLAIMS:
        assert any({claim.better, claim.worse} <= set(names) for names in experiments.NAMES.values()), claim


@pytest.mark.parametrize(
    ("better", "worse", "word"),
    [
        ([27.0, 27.1, 27.2], [26.0, 26.1, 26.2], "held"),
        ([26.0, 26.1, 26.2], [27.0, 27.1, 27.2], "contradicted"),
        ([27.0, 26.0, 27.0], [26.0, 27.0, 26.5], "undecided"),
        ([27.0], [26.0], "undecided"),
    ],
)
def test_verdicts(better: list[float], worse: list[float], word: str):
    claim = claims.Claim("a table", "a", "b", 1.0)
    verdict = claims.judge(claim, {"a": dict(enumerate(better)), "b": dict(enumerate(worse))})
    assert verdict.word == word


def test_the_interval_is_students():
    """Three values 1, 2, 3: standard error 1 / sqrt(3), t of two degrees of freedom 4.3027."""
    assert claims.interval([1.0, 2.0, 3.0]) == pytest.approx((2.0, 4.3027 / math.sqrt(3)), abs=1e-4)
    assert claims.judge(claims.Claim("a table", "a", "b", 1.0), {"a": {0: 27.0}, "b": {1: 26.0}}) is None


@pytest.mark.slow
def test_runs_once_and_writes_the_page(tmp_path: Path):
    results = [reproduce.run(job(tmp_path, name)) for name in ("bag", "bag/model4")]
    first = tmp_path / "bag" / "seed0" / "scores.json"
    written = first.stat().st_mtime_ns
    assert reproduce.run(job(tmp_path, "bag")) == results[0]
    assert dataclasses.asdict(results[0]) == json.loads(first.read_text(encoding="utf-8"))
    assert first.stat().st_mtime_ns == written
    longer = dataclasses.replace(SHORT, batch=2)
    reproduce.run(job(tmp_path, "bag", longer))
    assert first.stat().st_mtime_ns > written, "a result of another setting or of other data is not taken for this one"
    page = reproduction_page.page({"date": "today"}, "one", results)
    assert page.count("| bag | none |") == 1
    assert "003 table 1: multi-level over plain residual" in page
    assert "001 table 5" not in page.split("## What this cannot test")[0]


def test_each_table_says_its_kind_and_each_line_what_the_content_loss_sees():
    full = [finished("structure_guided", seed, 20.0 + 0.1 * seed, "RANDOM VGG-19") for seed in (0, 1, 2)]
    without = [finished("structure_guided/wo_content", seed, 12.0 + 0.1 * seed) for seed in (0, 1, 2)]
    order = [
        finished("madn/pixel_content_adversarial", 0, 20.0),
        finished("madn/pixel_content", 0, 19.0),
    ]
    page = reproduction_page.page({}, "own", [*full, *without, *order])
    titles = [line for line in page.splitlines() if line.startswith("## ") and "cannot" not in line]
    assert len(titles) == 2
    assert all(title.endswith("own recipe") for title in titles)
    assert "| structure_guided | RANDOM VGG-19 | 10 | 20.00 | 20.10 | 20.20 | 20.10 |" in page
    assert "| 001 table 4: with the content loss | RANDOM VGG-19 / none | +2.85 | +8.00 ± 0.00 | held |" in page
    assert "| 002 figure 9: with the adversarial loss | none / none | order only | +1.00 ± inf | undecided |" in page


def test_the_end_is_expected_from_earlier_seeds_else_from_the_mean():
    runs = [finished("bag", 0, 20.0, seconds=100.0), finished("dsc", 0, 20.0, seconds=20.0)]
    left = reproduce.expected_end(["bag", "madn"], runs, jobs=2) - datetime.now()
    assert left.total_seconds() == pytest.approx((100 + 60) / 2, abs=1)


@pytest.mark.slow
def test_an_own_recipe_is_trained_and_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "record.json"
    call = ["reproduce.py", "--objective", "own", "--setting", "small", "--updates", "1", "--seeds", "0"]
    call += ["--only", "deblurgan", "--device", "cpu", "--work-dir", str(tmp_path / "work"), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", call)
    assert reproduce.main() == 0
    assert "1 of 1, expected end" in capsys.readouterr().out
    record = json.loads(out.read_text(encoding="utf-8"))
    assert record["kind"] == "own recipe"
    assert [(run["name"], run["content"]) for run in record["runs"]] == [("deblurgan", "RANDOM VGG-19")]
    assert "| deblurgan | RANDOM VGG-19 |" in out.with_suffix(".md").read_text(encoding="utf-8")


def test_a_name_of_the_other_kind_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(sys, "argv", ["reproduce.py", "--small", "--only", "structure_guided+skip"])
    with pytest.raises(SystemExit) as ended:
        reproduce.parse()
    assert ended.value.code == 2
    assert "structure_guided+skip: not among those of --objective own" in capsys.readouterr().err


def test_gradient_shares_add_up_and_an_adversarial_term_is_told_apart():
    setting = dataclasses.replace(gradient_shares.SETTING, window=90, updates=2)
    balance = gradient_shares.measure(experiments.Experiment("dsc", "own", 3, setting))
    assert set(balance.norms) == {"content", "adversarial"}
    assert sum(balance.shares.values()) == pytest.approx(1.0)
    assert balance.adversarial == balance.shares["adversarial"] > 0
    assert balance.untrained != balance.trained
    assert balance.blurred == pytest.approx(26.64, abs=0.01)
