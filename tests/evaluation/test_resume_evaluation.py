"""Evaluations that were interrupted go on where they stopped, and end with the same files."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from deblurkit import evaluate
from deblurkit.evaluation.evaluate import Settings, evaluate_all
from deblurkit.evaluation.resume import Journal, journal_file
from deblurkit.evaluation.scoring import Outcome, Spent
from deblurkit.options.load import load_options
from deblurkit.results import ImageScore

ROOT = Path(__file__).resolve().parents[2]
CLOCKS = re.compile(
    r"""<figure[^>]*"speed-.*?</figure>   # plots of times
    |(?<=,\ s")>[^<]*                    # cells of tables whose column is in seconds
    |"seconds":\ ?\[[^]]*\]
    |\d{4}-\d\d-\d\dT[\d:+]+""",
    re.DOTALL | re.VERBOSE,
)
"""Wall-clock values in ``report.html``."""


def outcome(index: int, **changed: Any) -> Outcome:
    row = ImageScore(f"a/{index}", {"psnr": 20.0 + index / 3}, {"psnr": float("inf")}, 0.25, {}, {"ecc": "failed"})
    events = ("done in tile:256,64: no memory",)
    values = {"mode": "whole", "live_bytes": 4096, "events": events, "spent": Spent(0.1, 0.25, 0.3)}
    return Outcome(index, row, **{**values, "thumbnail": b"\x00webp", **changed})


def test_what_is_recorded_is_read_again(tmp_path: Path) -> None:
    file, wanted = tmp_path / "unfinished" / "gopro.jsonl", {"weights": "ab", "size": (1, 2)}
    journal = Journal(file, wanted)
    for index in (4, 0):
        journal.record(outcome(index))
    elsewhere = outcome(2, mode=None, events=(), thumbnail=None)
    journal.record(elsewhere)
    journal.close()
    again = Journal(file, wanted)
    again.close()
    assert again.outcomes == {4: outcome(4), 0: outcome(0), 2: elsewhere}
    assert again.elapsed == journal.elapsed > 0
    assert again.differing == []


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_that_was_cut_short_does_not_count(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "gopro.jsonl"
    journal = Journal(file, {"weights": "ab"})
    for index in range(3):
        journal.record(outcome(index))
    journal.close()
    whole = file.read_bytes()
    file.write_bytes(whole[:-cut])
    again = Journal(file, {"weights": "ab"})
    assert sorted(again.outcomes) == [0, 1]
    again.record(outcome(2))
    again.close()
    kept = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert [line.get("index") for line in kept] == [None, 0, 1, 2]


def test_another_evaluation_starts_anew_and_knows_why(tmp_path: Path) -> None:
    file = tmp_path / "gopro.jsonl"
    first = Journal(file, {"weights": "ab", "seed": 1})
    first.record(outcome(0))
    first.close()
    other = Journal(file, {"weights": "cd", "seed": 1, "precision": "fp16"})
    assert (other.outcomes, sorted(other.differing)) == ({}, ["precision", "weights"])
    other.close()
    assert len(file.read_bytes().splitlines()) == 1
    file.write_bytes(b"\xff no journal at all")
    anew = Journal(file, {"seed": 1})
    anew.close()
    assert (anew.outcomes, anew.differing) == ({}, [])


@pytest.mark.parametrize("change", ["drop", "rename", "retype"])
def test_a_journal_laid_out_otherwise_starts_anew(tmp_path: Path, change: str) -> None:
    """As an older or newer version of the package would leave it."""
    file = tmp_path / "gopro.jsonl"
    first = Journal(file, {"weights": "ab"})
    first.record(outcome(0))
    first.close()
    head, line = map(json.loads, file.read_bytes().splitlines())
    changed = {"drop": {}, "rename": {"row": {"name": "a"}}, "retype": {"events": 3}}[change]
    line = {key: value for key, value in line.items() if change != "drop" or key != "live_bytes"} | changed
    file.write_text(f"{json.dumps(head)}\n{json.dumps(line)}\n", encoding="utf-8")
    again = Journal(file, {"weights": "ab"})
    again.close()
    assert (again.outcomes, again.elapsed, again.differing) == ({}, 0.0, ["layout"])
    assert len(file.read_bytes().splitlines()) == 1
    file.write_text(json.dumps({"weights": "ab"}) + "\n", encoding="utf-8")
    unnumbered = Journal(file, {"weights": "ab"})
    unnumbered.close()
    assert unnumbered.differing == ["layout"]


@pytest.fixture
def forwards(experiment: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the experiment's network leaves a mark at each image."""
    monkeypatch.setenv("FORWARDS", str(Path("forwards").absolute()))
    return Path("forwards").absolute()


class StoppedError(Exception):
    """What an evaluation is interrupted with."""


def start(out: str, save_images: bool = True, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "tools" / "test.py"), "-opt", "sharpener.yml", "--out", out]
    command += ["--device", "cpu", *(["--save-images"] if save_images else [])]
    known = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", env={**known, **environment}
    )


def wait_for(process: subprocess.Popen[str], journal: Path, images: int) -> None:
    """Wait until so many images are recorded."""
    deadline = time.monotonic() + 300
    while not journal.is_file() or len(journal.read_bytes().splitlines()) <= images:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def without_clocks(value: Any) -> Any:
    """Return ``metrics.json`` without wall-clock values."""
    if isinstance(value, dict):
        gone = ("seconds", "seconds_per_image", "date")
        return {key: without_clocks(item) for key, item in value.items() if key not in gone}
    return value


def whole(path: Path) -> bool:
    """Say whether a file holds no wall-clock values."""
    return path.suffix == ".png" or path.name in ("tables.tex", "tables.csv", "comparison.json", "comparison.md")


def html_of(folder: Path) -> str:
    """Return the page without wall-clock values."""
    return CLOCKS.sub("", (folder / "report.html").read_text(encoding="utf-8"))


def files_of(out: str) -> dict[str, Any]:
    """Return what a report says, but for wall-clock values."""
    folder = Path(out)
    with open(folder / "per_image.csv", encoding="utf-8", newline="") as table:
        rows = [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(table)]
    page = (folder / "report.md").read_text(encoding="utf-8")
    page = re.sub(r"\d+\.\d{3}( \||, 95th|\b)|\d{4}-\d\d-\d\dT[\d:+]+|(decode|network|metrics|wall) [\d.]+", "", page)
    return {
        "metrics": without_clocks(json.loads((folder / "metrics.json").read_text(encoding="utf-8"))),
        "rows": rows,
        "page": page,
        "html": html_of(folder),
        "files": {
            str(path.relative_to(folder)): path.read_bytes() if whole(path) else b""
            for path in sorted(folder.rglob("*"))
        },
    }


def run(out: str, save_images: bool = True, **options: Any) -> None:
    evaluate(load_options("sharpener.yml"), out=out, save_images=save_images, device="cpu", **options)


@pytest.mark.parametrize("save_images", [pytest.param(True, marks=pytest.mark.slow), False])
def test_killed_and_started_again_gives_the_same_files(
    forwards: Path, caplog: pytest.LogCaptureFixture, save_images: bool
) -> None:
    """A real process, killed in the middle of the second data set."""
    run("whole", save_images)
    restored = len(forwards.read_text())

    forwards.unlink()
    killed = start("killed", save_images, PAUSE="0.1")
    journal = journal_file(Path("killed"), "blind")
    wait_for(killed, journal, images=2)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not Path("killed/metrics.json").exists(), "no report of a part"
    done = len(journal.read_bytes().splitlines()) - 1
    before = len(forwards.read_text())

    run("killed", save_images)
    assert caplog.messages == [
        "pairs: 6 of 6 images were scored by an earlier run; going on from there",
        f"blind: {done} of 6 images were scored by an earlier run; going on from there",
    ]
    assert len(forwards.read_text()) - before == restored - 6 - done, "no image is restored twice"
    assert files_of("killed") == files_of("whole")
    assert not journal.parent.exists()


def test_interrupted_and_one_image_removed(forwards: Path) -> None:
    interrupted = start("out", PAUSE="0.5")
    journal = journal_file(Path("out"), "pairs")
    wait_for(interrupted, journal, images=3)
    interrupted.send_signal(signal.SIGINT)
    _, errors = interrupted.communicate(timeout=300)
    assert (interrupted.returncode, errors) == (130, "interrupted\n")
    done = len(journal.read_bytes().splitlines()) - 1
    removed = Path("out/images/pairs/astronaut/000001.png")
    removed.unlink()
    told: list[int] = []
    run("out", datasets=["pairs"], progress=lambda name, done, total: told.append(done))
    assert told == list(range(done, 7)), "all but the removed one were known"
    assert removed.is_file()


def test_other_weights_start_anew(experiment: Any, caplog: pytest.LogCaptureFixture) -> None:
    def stop(name: str, done: int, total: int) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        run("out", datasets=["pairs"], progress=stop)
    assert journal_file(Path("out"), "pairs").is_file()
    experiment.save("best_psnr.pth", strength=0.3)
    run("out", datasets=["pairs"])
    assert caplog.messages == ["pairs: an earlier run was interrupted, but differed in candidate; starting anew"]
    assert json.loads(Path("out/metrics.json").read_text(encoding="utf-8"))["datasets"]["pairs"]["images"] == 6


def test_changed_plugins_start_anew(experiment: Any, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """A metric or a data set may come from a plugin."""

    def stop(name: str, done: int, total: int) -> None:
        raise StoppedError

    other = tmp_path / "other.py"
    other.write_text("FIRST = 1\n", encoding="utf-8")
    with pytest.raises(StoppedError):
        run("out", datasets=["pairs"], progress=stop, plugins=[str(other)])
    other.write_text("FIRST = 2\n", encoding="utf-8")
    run("out", datasets=["pairs"], plugins=[str(other)])
    assert caplog.messages == ["pairs: an earlier run was interrupted, but differed in plugins; starting anew"]


@pytest.mark.slow
def test_of_several_the_second_was_interrupted(experiment: Any, caplog: pytest.LogCaptureFixture) -> None:
    weak = experiment.save("iter_00000001.pth", strength=0.05)
    names = [f"strong={experiment.best}", f"weak={weak}"]
    told: list[str] = []

    def stop(name: str, done: int, total: int) -> None:
        told.append(name)
        if (name, done) == ("weak, pairs", 2):
            raise StoppedError

    def compare(out: str, **changed: Any) -> None:
        settings = Settings(out=out, save_images=True, device="cpu", datasets=["pairs"], **changed)
        evaluate_all(load_options("sharpener.yml"), names, settings)

    compare("whole")
    with pytest.raises(StoppedError):
        compare("stopped", progress=stop)
    assert list(dict.fromkeys(told)) == ["strong, pairs", "weak, pairs"]
    recorded = len(journal_file(Path("stopped/weak"), "pairs").read_bytes().splitlines()) - 1
    compare("stopped")
    assert caplog.messages == [
        "strong, pairs: 6 of 6 images were scored by an earlier run; going on from there",
        f"weak, pairs: {recorded} of 6 images were scored by an earlier run; going on from there",
    ]
    for name in ("strong", "weak"):
        assert files_of(f"stopped/{name}") == files_of(f"whole/{name}")
    assert html_of(Path("stopped")) == html_of(Path("whole"))
    above = {path.name: path.read_bytes() for path in Path("whole").iterdir() if path.is_file() and whole(path)}
    assert set(above) == {"comparison.json", "comparison.md", "tables.csv", "tables.tex"}
    assert {name: Path("stopped", name).read_bytes() for name in above} == above
    assert not list(Path("stopped").rglob("unfinished"))
