"""Several checkpoints at once: a folder each and a comparison above."""

from __future__ import annotations

import gc
import json
import weakref
from pathlib import Path
from typing import Any

import pytest

from deblurkit import evaluate
from deblurkit.errors import UserError
from deblurkit.evaluation.candidates import settle_names, split_names
from deblurkit.evaluation.evaluate import Settings, evaluate_all
from deblurkit.evaluation.sources import NetworkSource


@pytest.fixture
def two(experiment: Any) -> list[str]:
    """A checkpoint that sharpens and one that does little."""
    return [f"strong={experiment.best}", f"weak={experiment.save('iter_00000001.pth', strength=0.05)}"]


def settings(experiment: Any, **changed: Any) -> Settings:
    return Settings(plugins=[experiment.plugin], datasets=["pairs"], device="cpu", **changed)


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many networks are in memory whenever one is about to restore."""
    held: list[Any] = []
    counts: list[int] = []
    made = NetworkSource.__init__

    def watched(self: NetworkSource, generator: Any, *arguments: Any) -> None:
        gc.collect()
        held.append(weakref.ref(generator))
        counts.append(len({id(one()) for one in held if one() is not None}))
        made(self, generator, *arguments)

    monkeypatch.setattr(NetworkSource, "__init__", watched)
    return counts


def test_a_folder_each_and_the_comparison_above(experiment: Any, two: list[str], alive: list[int]) -> None:
    told: list[str] = []
    report = evaluate_all(None, two, settings(experiment, out="both", say=told.append))
    assert set(alive) == {1}, "each network is freed before the next"
    assert told == [f"the test sets are those that {experiment.best} was trained with"]
    above = sorted(path.name for path in Path("both").iterdir())
    assert above == ["comparison.json", "comparison.md", "report.html", "strong", "tables.csv", "tables.tex", "weak"]
    compared = json.loads(Path("both/comparison.json").read_text(encoding="utf-8"))
    (pair,) = (pair for pair in compared["datasets"]["pairs"]["pairs"] if pair["metric"] == "psnr")
    alone = evaluate(weights=experiment.best, plugins=[experiment.plugin], datasets=["pairs"], device="cpu")
    assert not (Path("both/strong/unfinished")).exists()
    single = json.loads(Path("both/strong/metrics.json").read_text(encoding="utf-8"))
    assert single["datasets"]["pairs"]["restored"] == alone["datasets"]["pairs"]["restored"]
    assert (single["name"], alone["name"]) == ("strong", "sharpener")
    strong, weak = (candidate.to_json()["datasets"]["pairs"]["restored"]["psnr"] for candidate in report.candidates)
    assert pair["difference"] == pytest.approx(strong - weak)
    assert strong > weak
    assert pair["interval"][0] < pair["difference"] < pair["interval"][1]
    page = Path("both/report.html").read_text(encoding="utf-8")
    assert "restored/strong" in page
    assert "restored/weak" in page
    command = Path("both/comparison.md").read_text(encoding="utf-8")
    assert f"--weights strong={experiment.best} weak=" in command


def test_names_that_were_not_given_are_numbered() -> None:
    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

    candidates = [Named("madn"), Named("madn"), Named("madn-2"), Named("madn")]
    settle_names(candidates, [None, "madn", "madn-2", None])  # type: ignore[arg-type]
    assert [candidate.name for candidate in candidates] == ["madn-3", "madn", "madn-2", "madn-4"]


def test_names_are_checked(tmp_path: Path) -> None:
    existing = tmp_path / "a=b.pth"
    existing.touch()
    assert split_names([str(existing), "A=b=c.pth", "d.pth"]) == [
        (None, existing),
        ("A", Path("b=c.pth")),
        (None, Path("d.pth")),
    ]
    with pytest.raises(UserError) as caught:
        split_names(["a/b=c.pth", "=c.pth", "A=x.pth", "A=y.pth", "B="])
    *others, pathless = caught.value.problems
    assert [problem.split(": ")[1].split(" ")[0] for problem in others] == ["'a/b'", "''", "the"]
    assert pathless == "B=: no path after the name"


def test_a_folder_used_again_holds_one_report(experiment: Any, two: list[str]) -> None:
    """Files of the last report that the new one does not replace are gone; what is not ours stays."""
    of_several, of_one = {"comparison.json", "comparison.md"}, {"metrics.json", "per_image.csv", "report.md"}
    evaluate_all(None, two, settings(experiment, out="out"))
    Path("out/notes.txt").touch()
    evaluate_all(None, two[:1], settings(experiment, out="out", save_images=True))
    assert {path.name for path in Path("out").iterdir()} & (of_several | of_one) == of_one
    evaluate_all(None, two, settings(experiment, out="out"))
    assert {path.name for path in Path("out").iterdir()} & (of_several | of_one) == of_several
    assert Path("out/notes.txt").is_file()
    assert len(list(Path("out/images").rglob("*.png"))) == 6
    assert Path("out/strong/metrics.json").is_file()


def test_one_run_at_a_time(experiment: Any, two: list[str]) -> None:
    """A second run on the same folder is refused while the first one scores."""
    refused: list[str] = []

    def again(name: str, done: int, total: int) -> None:
        if not refused:
            with pytest.raises(UserError) as caught:
                evaluate_all(None, two[:1], settings(experiment, out="out"))
            refused.extend(caught.value.problems)

    report = evaluate_all(None, two[:1], settings(experiment, out="out", progress=again))
    assert refused == ["--out out: another run is writing its report there"]
    assert report.candidates[0].to_json()["datasets"]["pairs"]["images"] == 6
    assert not Path("out/unfinished").exists()


def test_one_bad_checkpoint_stops_all_before_any_work(experiment: Any, two: list[str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match=r"bad\.pth: refused"):
        evaluate_all(None, [*two, f"bad={bad}"], settings(experiment, out="three"))
    assert not Path("three").exists()
