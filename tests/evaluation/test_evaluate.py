"""From a checkpoint to the report, in Python and as ``deblurkit test``."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import run_here

from deblurkit import Deblurrer, checkpoint, evaluate
from deblurkit.data.images import read_image
from deblurkit.errors import UserError
from deblurkit.evaluation.evaluate import find_weights
from deblurkit.metrics.psnr import psnr
from deblurkit.metrics.ssim import ssim
from deblurkit.options.load import load_options

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "test.py"
Rewrite = Callable[[str, str], None]


def run_tool(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(TOOL), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment)


def rows_of(file: Path) -> list[dict[str, str]]:
    with open(file, encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table))


def test_numbers_equal_a_computation_by_hand(experiment: Any) -> None:
    metrics = evaluate(weights=experiment.best, plugins=[experiment.plugin], device="cpu", save_images=True)
    report = experiment.work_dir / "report"
    assert json.loads((report / "metrics.json").read_text(encoding="utf-8")) == metrics
    assert list(metrics) == [
        *("name", "metrics", "weights", "restored", "trained_on", "environment", "datasets", "notes"),
    ]
    assert metrics["name"] == "sharpener"
    protocol = metrics["datasets"]["pairs"]["protocol"]
    assert (protocol["id"], protocol["version"]) == ("gopro-basicsr-v1", 1)
    assert metrics["metrics"]["psnr"] == {"unit": "dB", "higher_is_better": True}
    assert (metrics["datasets"]["pairs"]["inference"], metrics["restored"]) == ("whole", None)
    assert metrics["weights"] == {
        "file": str(experiment.best),
        "iteration": 10,
        "ema": True,
        "sha256": hashlib.sha256(experiment.best.read_bytes()).hexdigest(),
    }
    assert [note.split(": ")[0] for note in metrics["notes"]] == ["pairs", "blind"]
    assert all("gopro-basicsr-v1 is defined on GoPro" in note for note in metrics["notes"])

    rows = [row for row in rows_of(report / "per_image.csv") if row["dataset"] == "pairs"]
    keys = [f"{name}/{number:06}" for name in ("astronaut", "chelsea") for number in range(3)]
    assert [row["image"] for row in rows] == keys
    deblurrer = Deblurrer(experiment.best, [experiment.plugin], "cpu")
    for row in rows:
        scene, number = row["image"].split("/")
        blurred, sharp = (read_image(experiment.data / scene / kind / f"{number}.png") for kind in ("blur", "sharp"))
        restored = deblurrer(blurred)
        assert np.array_equal(read_image(report / "images" / "pairs" / scene / f"{number}.png"), restored)
        for name, metric in (("psnr", psnr), ("ssim", ssim)):
            assert float(row[f"{name}_blurred"]) == metric(blurred, sharp)
            assert float(row[f"{name}_restored"]) == metric(restored, sharp)
    pairs = metrics["datasets"]["pairs"]
    for side in ("blurred", "restored"):
        for name in ("psnr", "ssim"):
            assert pairs[side][name] == pytest.approx(np.mean([float(row[f"{name}_{side}"]) for row in rows]))
    assert pairs["restored"]["psnr"] > pairs["blurred"]["psnr"]
    assert pairs["images"] == 6
    assert pairs["published"] == {"psnr": 30.18, "ssim": 0.9312}
    assert set(pairs["seconds_per_image"]) == {"median", "p95"}
    assert set(pairs["seconds"]) == {"decode", "network", "metrics", "wall"}
    assert (pairs["scored"], pairs["inference_used"], pairs["groups"]) == (6, {"whole": 6}, {})
    gains = [float(row["psnr_restored"]) - float(row["psnr_blurred"]) for row in rows]
    assert pairs["gain"]["psnr"] == pytest.approx(np.mean(gains))
    low, high = pairs["intervals"]["gain"]["psnr"]
    assert min(gains) <= low < pairs["gain"]["psnr"] < high <= max(gains)

    blind = metrics["datasets"]["blind"]
    assert (blind["images"], blind["scored"], blind["published"]) == (6, 0, None)
    assert (blind["blurred"], blind["restored"], blind["gain"]) == (None, None, None)
    assert (report / "images" / "blind" / "chelsea" / "000002.png").is_file()


def test_the_page(experiment: Any) -> None:
    evaluate(weights=experiment.best, plugins=[experiment.plugin], device="cpu")
    report = experiment.work_dir / "report"
    page = (report / "report.md").read_text(encoding="utf-8")
    assert "| 30.18 |" in page
    assert f"--weights {experiment.best} --protocol gopro-basicsr-v1 --plugin {experiment.plugin}" in page
    links = [line.split("](")[1].split(")")[0] for line in page.splitlines() if line.startswith("![")]
    assert len(links) == 6
    for link in links:
        picture = read_image(report / link)
        panels = 3 if "pairs" in link else 2
        assert picture.shape == (61, 90 * panels + 4 * (panels - 1), 3)
    html = (report / "report.html").read_text(encoding="utf-8")
    assert "EvaluationSharpener" in html, "the option file"
    assert not (report / "unfinished").exists()


def test_only_the_sets_asked_for(experiment: Any, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere"
    metrics = evaluate(load_options(experiment.options), experiment.best, datasets=["blind"], out=out, device="cpu")
    assert list(metrics["datasets"]) == ["blind"]
    reports = ["metrics.json", "per_image.csv", "report.html", "report.md", "strips", "tables.csv", "tables.tex"]
    assert sorted(path.name for path in out.iterdir()) == reports
    assert not (experiment.work_dir / "report").exists()
    with pytest.raises(
        UserError, match=r"no test set is named 'pears' \(did you mean 'pairs'\?\); known: pairs, blind"
    ):
        evaluate(load_options(experiment.options), experiment.best, datasets=["pears"], device="cpu")


def test_without_weights_the_best_else_the_newest(experiment: Any) -> None:
    options = load_options(experiment.options)
    older = experiment.save("iter_00000010.pth", strength=0.1)
    newest = experiment.save("iter_00000020.pth", strength=0.2, iteration=20)
    (newest.parent / "last").write_text("iter_00000020.pth\n", encoding="utf-8")
    assert evaluate(options, device="cpu")["weights"]["file"] == str(experiment.best)
    experiment.best.unlink()
    assert evaluate(options, device="cpu")["weights"]["iteration"] == 20
    (newest.parent / "last").unlink()
    assert older.is_file()
    with pytest.raises(UserError, match=r"no checkpoint in work_dirs.sharpener.checkpoints: train"):
        find_weights(experiment.work_dir)


def test_limited_sets_say_so(experiment: Any, rewrite: Rewrite) -> None:
    rewrite(
        'blurred: "' + str(experiment.data) + '/*/blur"}', 'blurred: "' + str(experiment.data) + '/*/blur", limit: 2}'
    )
    experiment.save("best_psnr.pth", losses={"vgg": {"type": "PerceptualLoss", "weights": "random"}})
    metrics = evaluate(load_options(experiment.options), experiment.best, device="cpu")
    assert metrics["datasets"]["blind"]["images"] == 2
    assert [note for note in metrics["notes"] if "is defined on" not in note] == [
        "the loss 'vgg' was trained with random instead of pretrained weights (weights: random)",
        "blind: limited to 2 of 6 images",
    ]
    assert "**blind: limited to 2 of 6 images**" in (experiment.work_dir / "report" / "report.md").read_text("utf-8")


def test_another_generator_is_refused(experiment: Any, rewrite: Rewrite) -> None:
    rewrite("{type: EvaluationSharpener}", "{type: EvaluationSharpener, strength: 0.9}")
    with pytest.raises(UserError, match="it holds another generator than the options of sharpener"):
        evaluate(load_options(experiment.options), experiment.best, device="cpu")


def test_nothing_to_evaluate(experiment: Any, rewrite: Rewrite) -> None:
    with pytest.raises(UserError, match="give the options, the weights, or both"):
        evaluate()
    options = load_options(experiment.options)
    with pytest.raises(UserError, match="precision: 'int8' is unknown"):
        evaluate(options, device="cpu", precision="int8")
    with pytest.raises(UserError, match="x4"):
        evaluate(options, device="cpu", inference="x4")
    with pytest.raises(UserError, match="--protocol: no protocol is named 'psnr'"):
        evaluate(options, device="cpu", protocol="psnr")
    text = experiment.options.read_text(encoding="utf-8")
    head, tail = text.index("  test:"), text.index("train: {iters")
    experiment.options.write_text(text[:head] + text[tail:], encoding="utf-8")
    with pytest.raises(UserError, match=r"sharpener: it has no test sets \(datasets.test\)"):
        evaluate(load_options(experiment.options), device="cpu")


def test_tool_with_a_checkpoint_alone(experiment: Any) -> None:
    done = run_tool("--weights", experiment.best, "--plugin", experiment.plugin, "--device", "cpu")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^ *pairs +psnr \(dB\) ↑ +6 ", done.stdout, re.MULTILINE)
    assert done.stdout.splitlines()[-1] == f"report: {experiment.work_dir / 'report'}"
    assert (experiment.work_dir / "report" / "metrics.json").is_file()


def test_tool_with_an_option_file(experiment: Any) -> None:
    done = run_here("test.py", "-opt", experiment.options, "--dataset", "pairs", "--out", "here", "--device", "cpu")
    assert (done.returncode, done.stderr) == (0, "")
    assert list(json.loads(Path("here/metrics.json").read_text(encoding="utf-8"))["datasets"]) == ["pairs"]


def test_tool_reports_mistakes(experiment: Any) -> None:
    state = checkpoint.read(experiment.best)
    state["options"]["generator"] = {"type": "NobodysSharpener"}
    checkpoint.save(state, experiment.best)
    done = run_here("test.py", "--weights", experiment.best)
    assert done.returncode == 2
    assert f"{experiment.plugin}: name them with --plugin" in done.stderr
    experiment.save("best_psnr.pth")
    done = run_here("test.py", "-opt", experiment.options, "--dataset", "pears", "--dataset", "blinds")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2
    assert "Traceback" not in done.stderr
    assert run_here("test.py").returncode == 2


@pytest.mark.parametrize("out", ["taken", "taken/below"])
def test_tool_refuses_an_out_that_is_a_file(experiment: Any, out: str) -> None:
    Path("taken").write_text("a file", encoding="utf-8")
    done = run_here("test.py", "-opt", experiment.options, "--out", out, "--device", "cpu")
    assert done.returncode == 2
    assert re.fullmatch(rf"--out {re.escape(str(Path(out)))}: (File exists|Not a directory)\n", done.stderr)
    assert Path("taken").read_text(encoding="utf-8") == "a file"


def test_tool_explains_protocols() -> None:
    done = run_here("test.py", "--explain", "gopro-basicsr-v1")
    assert done.returncode == 0
    assert "rounded half up to 8 bits" in done.stdout
    done = run_here("test.py", "--explain", "gopro")
    assert done.returncode == 2
    assert "--explain: no protocol is named 'gopro'; known: " in done.stderr


def test_settings_are_not_misspelt(experiment: Any) -> None:
    with pytest.raises(TypeError, match="dataset"):
        evaluate(weights=experiment.best, dataset=["pairs"])
