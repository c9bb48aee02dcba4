"""Scoring a checkpoint takes one reading of its file, one network, and one restoration of each image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from deblurkit import checkpoint, evaluate
from deblurkit.evaluation.evaluate import Settings, evaluate_all
from deblurkit.evaluation.resume import kept_images
from deblurkit.evaluation.showcase import choose_images
from deblurkit.evaluation.sources import NetworkSource
from deblurkit.options.load import load_options
from deblurkit.results import ImageScore


@pytest.fixture
def counts(experiment: Any, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often files are read and networks built, and how often each image is restored."""
    counted: Counter[str] = Counter()

    def watch(owner: Any, name: str, what: Callable[..., str]) -> None:
        original = getattr(owner, name)

        def counting(*arguments: Any, **options: Any) -> Any:
            counted[what(*arguments)] += 1
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, counting)

    watch(torch, "load", lambda *_: "read")
    watch(checkpoint, "load_generator", lambda *_: "built")
    watch(NetworkSource, "restore", lambda source, sample, seed: f"restored {sample['key']}")
    return counted


def restored(counts: Counter[str]) -> list[int]:
    return [number for what, number in counts.items() if what.startswith("restored")]


def test_one_checkpoint(experiment: Any, counts: Counter[str]) -> None:
    evaluate(load_options("sharpener.yml"), out="out", device="cpu")
    assert (counts["read"], counts["built"]) == (1, 1)
    assert restored(counts) == [2] * 6, "each key once in each of two data sets"
    assert list(Path("out/strips").rglob("*.png"))
    assert "restored/sharpener" in Path("out/report.html").read_text(encoding="utf-8")
    assert not list(Path("out").rglob("unfinished"))
    assert not Path("out/images").exists()


def test_two_checkpoints(experiment: Any, counts: Counter[str]) -> None:
    names = [f"strong={experiment.best}", f"weak={experiment.save('iter_00000001.pth', strength=0.05)}"]
    settings = Settings(plugins=[experiment.plugin], datasets=["pairs"], device="cpu", out="both")
    evaluate_all(None, names, settings)
    assert (counts["read"], counts["built"]) == (2, 2)
    assert restored(counts) == [2] * 6, "each key once by each candidate"
    assert not list(Path("both").rglob("unfinished"))


def test_what_got_lost_after_an_interruption_is_restored_again_where_it_is_shown(
    experiment: Any, counts: Counter[str]
) -> None:
    class StoppedError(Exception):
        """What the evaluation is interrupted with."""

    def stop(name: str, done: int, total: int) -> None:
        if done == total:
            raise StoppedError

    def run(out: str, **settings: Any) -> None:
        evaluate(load_options("sharpener.yml"), out=out, device="cpu", datasets=["pairs"], **settings)

    run("whole")
    with pytest.raises(StoppedError):
        run("out", progress=stop)
    kept = kept_images(Path("out"), "pairs")
    assert len(list(kept.iterdir())) == 6
    (kept / "000004.png").unlink()
    counts.clear()
    run("out", say=lambda line: None)
    assert restored(counts) == [1]
    for picture in Path("whole/strips").rglob("*.png"):
        assert Path("out", picture.relative_to("whole")).read_bytes() == picture.read_bytes()


def test_the_images_of_a_page_depend_on_nothing_but_the_scores() -> None:
    gains = {"a": 0.5, "b": 2.0, "c": -1.0, "d": 0.7, "e": 0.9}
    rows = [ImageScore(key, {"psnr": 25.0}, {"psnr": 25.0 + gain}, 0.1) for key, gain in gains.items()]
    shown = choose_images({"net": rows}, "psnr", most=3)
    assert shown.pictures == {"b": "greatest gain", "c": "smallest gain", "d": "median gain"}
    assert {title: row.key for title, row in shown.strips.items()} == {
        "greatest gain": "b",
        "median gain": "d",
        "smallest gain": "c",
    }
    assert shown.every_key() == ["b", "c", "d"]
