"""The small-scale reproduction: its experiments fit, its verdicts are right, and it runs."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from pathlib import Path

import pytest
import torch

from deblurkit.checkpoint import build_generator
from deblurkit.options.load import options_from_dict

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import claims  # noqa: E402
import reproduce  # noqa: E402

NAMES = [*reproduce.PAPERS, *reproduce.STRUCTURES]
SHORT = dataclasses.replace(reproduce.SETTINGS["tiny"], updates=2, batch=1)


def job(folder: Path, name: str, setting: reproduce.Setting = SHORT, seed: int = 0) -> reproduce.Job:
    return reproduce.Job(name, seed, setting, folder, None, None, "cpu", 1)


@pytest.mark.parametrize("setting", reproduce.SETTINGS.values(), ids=reproduce.SETTINGS)
@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_passes_the_check(tmp_path: Path, name: str, setting: reproduce.Setting):
    expanded = reproduce.experiment(job(tmp_path, name, setting))
    options = options_from_dict(expanded, name)
    with torch.device("meta"):
        build_generator(options)
    others = reproduce.experiment(job(tmp_path, "deblurgan", setting))
    same = {key: value for key, value in expanded.items() if key not in ("name", "generator")}
    assert same == {key: value for key, value in others.items() if key not in ("name", "generator")}
    assert options.generator.get("global_skip", None) is (True if "+skip" in name else None)


def test_every_claim_is_about_an_experiment_that_is_run():
    assert {name for claim in claims.CLAIMS for name in (claim.better, claim.worse)} <= set(NAMES)


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


def test_runs_once_and_writes_the_page(tmp_path: Path):
    results = [reproduce.run(job(tmp_path, name, seed=seed)) for seed in (0, 1) for name in ("bag", "bag/model4")]
    first = tmp_path / "bag" / "seed0" / "result.json"
    written = first.stat().st_mtime_ns
    assert reproduce.run(job(tmp_path, "bag")) == results[0] == json.loads(first.read_text(encoding="utf-8"))
    assert first.stat().st_mtime_ns == written
    longer = dataclasses.replace(SHORT, batch=2)
    reproduce.run(job(tmp_path, "bag", longer))
    assert first.stat().st_mtime_ns > written, "a result of another setting or of other data is not taken for this one"
    page = claims.page({"setting": dataclasses.asdict(SHORT), "about": {"date": "today"}, "runs": results})
    assert page.count("| bag |") == 1
    assert "003 table 1: multi-level over plain residual" in page
    assert "001 table 5" not in page.split("## What this cannot test")[0]
    assert "cannot test" in page
